/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server against clients that mean harm. The engine behind it is a store with events and jobs
 * and nothing else, so that neither root nor libvirt is needed. Clients are raw sockets in threads
 * of their own, while the test runs the main loop.
 */
#include "api/server.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>

#include "api/request.h"
#include "base/error.h"
#include "engine/state.h"

#define CLIENT_TIMEOUT_S 20

typedef struct {
    char *dir;
    SteadPaths *paths;
    SteadEngine engine;
    SteadServer *server;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->dir = g_dir_make_tmp("stead-server-XXXXXX", NULL);
    f->paths = stead_paths_new_for_root(f->dir, &error);
    g_assert_no_error(error);
    g_assert_true(stead_make_dir(f->paths->run, 0700, NULL));
    g_autofree char *db = g_build_filename(f->dir, "db", NULL);
    f->engine.paths = f->paths;
    f->engine.store = stead_store_open(db, NULL);
    f->engine.events = stead_events_new(f->engine.store);
    f->engine.jobs = stead_jobs_new(f->engine.events);
    f->server = stead_server_start(&f->engine, f->paths, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_server_stop(f->server);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    stead_jobs_shutdown(f->engine.jobs, 1000);
    stead_jobs_free(f->engine.jobs);
    stead_events_free(f->engine.events);
    stead_store_free(f->engine.store);
    stead_remove_tree(f->dir, NULL);
    stead_paths_free(f->paths);
    g_free(f->dir);
}

/* ---- clients ---- */

static GSocketConnection *connect_to(const char *path)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_socket_client_set_timeout(client, CLIENT_TIMEOUT_S);
    GSocketConnection *connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
    g_assert_nonnull(connection);
    return connection;
}

static void send_all(GSocketConnection *connection, const char *bytes, gsize n)
{
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    /* A server that refuses may close before it has read all. */
    g_output_stream_write_all(out, bytes, n, NULL, NULL, NULL);
}

/* Reads until the server closes, or the text has come. */
static GString *read_until(GSocketConnection *connection, const char *wanted)
{
    GInputStream *in = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    GString *reply = g_string_new(NULL);
    char buffer[65536];
    for (gssize n; (n = g_input_stream_read(in, buffer, sizeof buffer, NULL, NULL)) > 0;) {
        g_string_append_len(reply, buffer, n);
        if (wanted && strstr(reply->str, wanted))
            break;
    }
    return reply;
}

typedef struct {
    Fixture *f;
    GSocketConnection *connection; /* NULL: a new one */
    const char *send;
    gsize length, times; /* bytes of `send` after `head`, and how often */
    const char *head;
    const char *wanted;
    GString *reply;
    int done;
} Talk;

static gpointer talk_thread(gpointer data)
{
    Talk *talk = data;
    g_autoptr(GSocketConnection) connection =
        talk->connection ? g_object_ref(talk->connection) : connect_to(talk->f->paths->socket);
    if (talk->head)
        send_all(connection, talk->head, strlen(talk->head));
    for (gsize i = 0; i < talk->times; i++)
        send_all(connection, talk->send, talk->length);
    talk->reply = read_until(connection, talk->wanted);
    g_atomic_int_set(&talk->done, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static char *finish_talk(Talk *talk)
{
    GThread *thread = g_thread_new("client", talk_thread, talk);
    while (!g_atomic_int_get(&talk->done))
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(thread);
    return g_string_free(talk->reply, FALSE);
}

static char *ask(Fixture *f, const char *request)
{
    return finish_talk(&(Talk){.f = f, .head = request});
}

static char *get(Fixture *f, const char *method, const char *path)
{
    g_autofree char *request = g_strdup_printf(
        "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method,
        path);
    return ask(f, request);
}

static char *post(Fixture *f, const char *path, const char *body)
{
    g_autofree char *request = g_strdup_printf(
        "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", path,
        strlen(body), body);
    return ask(f, request);
}

static void assert_status(const char *reply, guint status)
{
    g_autofree char *line = g_strdup_printf("HTTP/1.1 %u ", status);
    if (!g_str_has_prefix(reply, line))
        g_error("expected %u, got: %.300s", status, reply);
}

static void assert_lives(Fixture *f)
{
    g_autofree char *reply = get(f, "GET", "/v1/jobs");
    assert_status(reply, 200);
}

/* ---- requests ---- */

static void test_answers(Fixture *f, gconstpointer unused)
{
    g_autofree char *jobs = get(f, "GET", "/v1/jobs");
    g_autofree char *api = get(f, "GET", "/v1/openapi.json");
    assert_status(jobs, 200);
    g_assert_true(g_str_has_suffix(jobs, "[]"));
    assert_status(api, 200);
    g_assert_nonnull(strstr(api, "application/json"));
}

static void test_malformed_json(Fixture *f, gconstpointer unused)
{
    static const char *const bodies[] = {"{", "[]", "{\"name\":}", "\xff\xfe", "nothing"};
    for (gsize i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autofree char *reply = post(f, "/v1/images/pull", bodies[i]);
        assert_status(reply, 400);
        g_assert_nonnull(strstr(reply, "\"code\":\"invalid\""));
    }
}

static void test_deep_json(Fixture *f, gconstpointer unused)
{
    g_autofree char *body = g_strnfill(1024 * 1024, '[');
    g_autofree char *reply = post(f, "/v1/images/pull", body);
    assert_status(reply, 400);
    assert_lives(f);
}

static void test_unknown_and_hostile_paths(Fixture *f, gconstpointer unused)
{
    static const char *const paths[] = {"/",
                                        "/v1/nothing",
                                        "/v1/jobs/%00",
                                        "/v1/jobs/a%2f..%2fb",
                                        "/v1/jobs/%ff%fe",
                                        "/v1/jobs?active=%00",
                                        "/v1//jobs"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *reply = get(f, "GET", paths[i]);
        g_assert_true(g_str_has_prefix(reply, "HTTP/1.1 4") || strstr(paths[i], "active"));
    }
    assert_lives(f);
}

static void test_other_methods(Fixture *f, gconstpointer unused)
{
    static const char *const methods[] = {"HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "BREW"};
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
        g_autofree char *reply = get(f, methods[i], "/v1/jobs");
        assert_status(reply, 405);
        g_assert_nonnull(strstr(reply, "\r\nAllow: GET\r\n"));
        if (!g_str_equal(methods[i], "HEAD"))
            g_assert_nonnull(strstr(reply, "\"code\":\"invalid\""));
    }
    assert_lives(f);
}

/* The answer comes though nothing of the body does. */
static void test_an_announced_large_body_is_refused_at_once(Fixture *f, gconstpointer unused)
{
    static const char *const lengths[] = {"4194305", "99999999999", "9223372036854775807"};
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autofree char *head = g_strdup_printf(
            "POST /v1/images/pull HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n", lengths[i]);
        g_autofree char *reply = ask(f, head);
        assert_status(reply, 413);
        g_assert_nonnull(strstr(reply, "\"code\":\"invalid\""));
        g_assert_nonnull(strstr(reply, "\"hint\":"));
        g_assert_true(g_str_has_suffix(reply, "}"));
    }
    assert_lives(f);
}

static void test_a_large_body_is_refused_by_its_length(Fixture *f, gconstpointer unused)
{
    g_autofree char *head =
        g_strdup_printf("POST /v1/images/pull HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                        STEAD_API_MAX_BODY + 65536);
    g_autofree char *chunk = g_strnfill(65536, 'x');
    g_autofree char *reply = finish_talk(&(Talk){.f = f,
                                                 .head = head,
                                                 .send = chunk,
                                                 .length = 65536,
                                                 .times = STEAD_API_MAX_BODY / 65536 + 1,
                                                 .wanted = "is larger than"});
    assert_status(reply, 413);
    assert_lives(f);
}

static void test_a_large_body_is_refused_by_its_chunks(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) chunk = g_string_new("10000\r\n");
    g_autofree char *filling = g_strnfill(65536, 'x');
    g_string_append_printf(chunk, "%s\r\n", filling);
    GString *all = g_string_new(NULL);
    for (guint i = 0; i <= STEAD_API_MAX_BODY / 65536 + 1; i++)
        g_string_append_len(all, chunk->str, (gssize)chunk->len);
    g_string_append(all, "0\r\n\r\n");
    g_autofree char *reply =
        finish_talk(&(Talk){.f = f,
                            .head = "POST /v1/images/pull HTTP/1.1\r\nHost: x\r\n"
                                    "Transfer-Encoding: chunked\r\n\r\n",
                            .send = all->str,
                            .length = all->len,
                            .times = 1,
                            .wanted = "is larger than"});
    assert_status(reply, 413);
    g_string_free(all, TRUE);
    assert_lives(f);
}

static void test_a_client_that_leaves_in_the_middle(Fixture *f, gconstpointer unused)
{
    for (guint i = 0; i < 20; i++) {
        g_autoptr(GSocketConnection) connection = connect_to(f->paths->socket);
        const char *part = "POST /v1/up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"spec";
        send_all(connection, part, strlen(part));
        while (g_main_context_iteration(NULL, FALSE))
            continue;
    }
    assert_lives(f);
}

/* ---- WebSockets ---- */

#define UPGRADE                                                                                    \
    "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"                                     \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void test_a_websocket_on_a_wrong_path(Fixture *f, gconstpointer unused)
{
    static const char *const paths[] = {"/v1/jobs", "/v1/nothing", "/"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *head = g_strdup_printf("GET %s HTTP/1.1\r\n" UPGRADE, paths[i]);
        Talk talk = {.f = f, .head = head, .wanted = "\"error\""};
        g_autofree char *reply = finish_talk(&talk);
        assert_status(reply, 101);
    }
    assert_lives(f);
}

static void test_half_a_handshake(Fixture *f, gconstpointer unused)
{
    g_autofree char *reply = ask(f, "GET /v1/jobs HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                    "Connection: close\r\n\r\n");
    g_assert_true(g_str_has_prefix(reply, "HTTP/1.1 4"));
    assert_lives(f);
}

/* ---- event streams ---- */

#define FOLLOW "GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"

static GSocketConnection *follow(Fixture *f)
{
    GSocketConnection *connection = connect_to(f->paths->socket);
    send_all(connection, FOLLOW, strlen(FOLLOW));
    Talk talk = {.f = f, .connection = connection, .wanted = ":\n\n"};
    g_autofree char *reply = finish_talk(&talk);
    assert_status(reply, 200);
    g_assert_nonnull(strstr(reply, "text/event-stream"));
    return connection;
}

static void test_events_are_followed(Fixture *f, gconstpointer unused)
{
    g_autoptr(GSocketConnection) connection = follow(f);
    stead_events_emit(f->engine.events, "instance.created", "web", NULL);
    Talk talk = {.f = f, .connection = connection, .wanted = "}\n\n"};
    g_autofree char *reply = finish_talk(&talk);
    g_assert_nonnull(strstr(reply, "event: instance.created\ndata: {\"seq\":1,"));
}

static void test_stored_events_are_listed(Fixture *f, gconstpointer unused)
{
    stead_events_emit(f->engine.events, "a.b", "x", NULL);
    stead_events_emit(f->engine.events, "c.d", "y", NULL);
    g_autofree char *reply = get(f, "GET", "/v1/events?since=1");
    const char *body = strstr(reply, "\r\n\r\n");
    g_assert_nonnull(body);
    g_autoptr(JsonNode) node = json_from_string(body + 4, NULL);
    g_assert_true(node && JSON_NODE_HOLDS_ARRAY(node));
    g_assert_cmpuint(json_array_get_length(json_node_get_array(node)), ==, 1);
    g_autofree char *wrong = get(f, "GET", "/v1/events?since=-1");
    assert_status(wrong, 400);
}

static void test_a_slow_reader_is_dropped(Fixture *f, gconstpointer unused)
{
    g_autoptr(GSocketConnection) slow = follow(f);
    g_autofree char *filling = g_strnfill(16384, 'x');
    for (guint i = 0; i < 256; i++) {
        stead_events_emit_passing(f->engine.events, "a.b", "x",
                                  stead_event_data("filling", filling, NULL));
        while (g_main_context_iteration(NULL, FALSE))
            continue;
    }
    Talk talk = {.f = f, .connection = slow};
    g_autofree char *reply = finish_talk(&talk);
    g_assert_cmpuint(strlen(reply), <, 3 * 1024 * 1024); /* of the 4 MiB told */
    g_assert_null(strstr(reply, "\"seq\":256,"));
    assert_lives(f);
}

static void test_streams_are_limited_and_given_back(Fixture *f, gconstpointer unused)
{
    g_autoptr(GPtrArray) streams = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < 64; i++)
        g_ptr_array_add(streams, follow(f));
    g_autofree char *refused = get(f, "GET", "/v1/events?follow=1");
    g_assert_nonnull(strstr(refused, "\"code\":\"exhausted\""));
    /* They leave without a word, and it is noticed without an event being sent. */
    g_ptr_array_set_size(streams, 0);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_object_unref(follow(f));
}

static void test_the_daemon_ends_while_streams_are_open(Fixture *f, gconstpointer unused)
{
    g_autoptr(GSocketConnection) stream = follow(f);
    stead_server_stop(f->server);
    f->server = NULL;
    stead_events_emit(f->engine.events, "a.b", "x", NULL); /* there is nobody left to tell */
    Talk talk = {.f = f, .connection = stream};
    g_autofree char *reply = finish_talk(&talk);
    g_assert_null(strstr(reply, "a.b"));
}

#define ADD(path, func) g_test_add("/server/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("answers", test_answers);
    ADD("malformed-json", test_malformed_json);
    ADD("deep-json", test_deep_json);
    ADD("paths", test_unknown_and_hostile_paths);
    ADD("methods", test_other_methods);
    ADD("large-body/announced", test_an_announced_large_body_is_refused_at_once);
    ADD("large-body/length", test_a_large_body_is_refused_by_its_length);
    ADD("large-body/chunks", test_a_large_body_is_refused_by_its_chunks);
    ADD("leaves-in-the-middle", test_a_client_that_leaves_in_the_middle);
    ADD("websocket/wrong-path", test_a_websocket_on_a_wrong_path);
    ADD("websocket/half-a-handshake", test_half_a_handshake);
    ADD("events/follow", test_events_are_followed);
    ADD("events/list", test_stored_events_are_listed);
    ADD("events/slow-reader", test_a_slow_reader_is_dropped);
    ADD("events/limit", test_streams_are_limited_and_given_back);
    ADD("events/end", test_the_daemon_ends_while_streams_are_open);
    return g_test_run();
}
