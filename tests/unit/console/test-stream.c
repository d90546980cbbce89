/* SPDX-License-Identifier: Apache-2.0 */
/* The console over HTTP: a server and its clients on one main loop. */
#include <json-glib/json-glib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/console_logs.h"
#include "api/console_socket.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "console/input.h"
#include "support.h"

typedef struct {
    Place place;
    SteadConsole *console;
    SoupServer *server;
    SoupSession *session;
    char *address;     /* http://127.0.0.1:PORT */
    GPtrArray *others; /* SteadConsole: each takes so many readers and no more */
    guint rows, columns, resizes;
    GError *refusal; /* of the last that was refused */
    int guest;       /* QEMU's listening socket */
} World;

static void on_resize(guint rows, guint columns, gpointer data)
{
    World *world = data;
    world->rows = rows;
    world->columns = columns;
    world->resizes++;
}

static void on_websocket(SoupServer *server, SoupServerMessage *message, const char *path,
                         SoupWebsocketConnection *connection, gpointer data)
{
    World *world = data;
    const char *number = strstr(path, "other");
    SteadConsole *console = world->console;
    SteadConsoleSocketOptions options = {.write = strstr(path, "write") != NULL,
                                         .force = strstr(path, "force") != NULL,
                                         .from = {STEAD_CONSOLE_START, 0},
                                         .resize = on_resize,
                                         .resize_data = world};
    if (number)
        console = world->others->pdata[strtoul(number + strlen("other"), NULL, 10)];
    g_clear_error(&world->refusal);
    if (!stead_console_websocket(connection, console, &options, &world->refusal))
        soup_websocket_connection_close(connection, 1000, NULL);
}

static void on_logs(SoupServer *server, SoupServerMessage *message, const char *path,
                    GHashTable *query, gpointer data)
{
    World *world = data;
    SteadConsoleLogsOptions options;
    g_autoptr(GError) error = NULL;
    if (!stead_console_logs_parse(query, &options, &error) ||
        !stead_console_stream_logs(message, world->console, &options, &error))
        soup_server_message_set_status(message, stead_error_http_status(stead_error_code(error)),
                                       NULL);
}

static void world_set_up(World *world, gconstpointer data)
{
    place_set_up(&world->place, NULL);
    SteadConsoleOptions options = {.log_path = world->place.log,
                                   .times_path = world->place.times,
                                   .input_path = world->place.input};
    g_autoptr(GError) error = NULL;
    world->console = stead_console_open(&options, &error);
    g_assert_no_error(error);
    world->server = soup_server_new(NULL, NULL);
    soup_server_add_handler(world->server, "/logs", on_logs, world, NULL);
    soup_server_add_websocket_handler(world->server, "/console", NULL, NULL, on_websocket, world,
                                      NULL);
    soup_server_listen_local(world->server, 0, SOUP_SERVER_LISTEN_IPV4_ONLY, &error);
    g_assert_no_error(error);
    GSList *uris = soup_server_get_uris(world->server);
    world->address = g_strdup_printf("http://127.0.0.1:%d", g_uri_get_port(uris->data));
    g_slist_free_full(uris, (GDestroyNotify)g_uri_unref);
    world->session = soup_session_new();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, world->place.input, sizeof address.sun_path);
    world->guest = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(world->guest, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(world->guest, 4), ==, 0);
}

static void world_tear_down(World *world, gconstpointer data)
{
    soup_session_abort(world->session);
    g_object_unref(world->session);
    soup_server_disconnect(world->server);
    g_object_unref(world->server);
    drain();
    g_clear_pointer(&world->others, g_ptr_array_unref);
    g_clear_error(&world->refusal);
    stead_console_close(world->console);
    stead_console_unref(world->console);
    drain();
    stead_clear_fd(&world->guest);
    g_free(world->address);
    place_tear_down(&world->place, NULL);
}

/* --- logs --- */

static void on_reply(GObject *source, GAsyncResult *result, gpointer data)
{
    *(GAsyncResult **)data = g_object_ref(result);
}

static char *get(World *world, const char *path, guint expected)
{
    g_autofree char *address = g_strconcat(world->address, path, NULL);
    g_autoptr(SoupMessage) message = soup_message_new("GET", address);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;
    soup_session_send_and_read_async(world->session, message, G_PRIORITY_DEFAULT, NULL, on_reply,
                                     &result);
    SPIN_UNTIL(result != NULL);
    g_autoptr(GBytes) bytes = soup_session_send_and_read_finish(world->session, result, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(soup_message_get_status(message), ==, expected);
    gsize n;
    const char *text = g_bytes_get_data(bytes, &n);
    return g_strndup(text ? text : "", n);
}

static void assert_logs(World *world, const char *path, const char *expected)
{
    g_autofree char *text = get(world, path, 200);
    g_assert_cmpstr(text, ==, expected);
}

static void test_logs_whole_tail_and_boot(World *world, gconstpointer data)
{
    assert_logs(world, "/logs", "");
    append(world->place.log, "old\r\n");
    stead_console_mark_boot(world->console);
    append(world->place.log, "one\r\ntwo\r\nthree\r\n");
    assert_logs(world, "/logs", "old\none\ntwo\nthree\n");
    assert_logs(world, "/logs?tail=2", "two\nthree\n");
    assert_logs(world, "/logs?tail=0", "");
    assert_logs(world, "/logs?boot=1", "one\ntwo\nthree\n");
    assert_logs(world, "/logs?boot=1&tail=100", "one\ntwo\nthree\n");
    assert_logs(world, "/logs?boot&tail=1", "three\n");
    g_free(get(world, "/logs?tail=many", 400));
}

static void test_logs_are_harmless_unless_raw(World *world, gconstpointer data)
{
    append(world->place.log, "\x1b]0;x\x07\x1b[31mred\x1b[0m\r\n");
    assert_logs(world, "/logs", "\x1b[31mred\x1b[0m\n");
    assert_logs(world, "/logs?raw=1", "\x1b]0;x\x07\x1b[31mred\x1b[0m\r\n");
}

static void test_logs_with_times(World *world, gconstpointer data)
{
    append(world->place.log, "one\r\ntwo\rthree\r\nfour");
    drain();
    g_autofree char *text = get(world, "/logs?timestamps=1", 200);
    g_assert_true(g_regex_match_simple("^(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z "
                                       "(one|two|three|four)(\n|$)){4}$",
                                       text, 0, 0));
}

static void test_logs_of_unwatched_time_are_marked(World *world, gconstpointer data)
{
    append(world->place.log, "seen\n");
    drain();
    stead_console_close(world->console);
    stead_console_unref(world->console);
    append(world->place.log, "unseen\n");
    SteadConsoleOptions options = {.log_path = world->place.log, .times_path = world->place.times};
    world->console = stead_console_open(&options, NULL);
    g_autofree char *text = get(world, "/logs?timestamps=1", 200);
    g_assert_true(g_regex_match_simple("^\\S+Z seen\n\\S+Z~ unseen\n$", text, 0, 0));
}

static void test_long_logs_arrive_whole(World *world, gconstpointer data)
{
    g_autoptr(GString) expected = g_string_new(NULL);
    for (int i = 0; i < 50000; i++)
        g_string_append_printf(expected, "this is line number %d of the log\n", i);
    append(world->place.log, expected->str);
    assert_logs(world, "/logs", expected->str);
}

typedef struct {
    GInputStream *stream;
    char buffer[4096];
    GString *text;
    gboolean ended;
} Follower;

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    Follower *follower = data;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result, NULL);
    if (n <= 0) {
        follower->ended = TRUE;
        return;
    }
    g_string_append_len(follower->text, follower->buffer, n);
    g_input_stream_read_async(follower->stream, follower->buffer, sizeof follower->buffer,
                              G_PRIORITY_DEFAULT, NULL, on_read, follower);
}

static void test_logs_follow_until_the_end(World *world, gconstpointer data)
{
    Follower follower = {.text = g_string_new(NULL)};
    g_autofree char *address = g_strconcat(world->address, "/logs?follow=1", NULL);
    g_autoptr(SoupMessage) message = soup_message_new("GET", address);
    g_autoptr(GAsyncResult) result = NULL;
    append(world->place.log, "first\n");
    soup_session_send_async(world->session, message, G_PRIORITY_DEFAULT, NULL, on_reply, &result);
    SPIN_UNTIL(result != NULL);
    follower.stream = soup_session_send_finish(world->session, result, NULL);
    g_assert_nonnull(follower.stream);
    g_input_stream_read_async(follower.stream, follower.buffer, sizeof follower.buffer,
                              G_PRIORITY_DEFAULT, NULL, on_read, &follower);
    SPIN_UNTIL(g_str_equal(follower.text->str, "first\n"));
    append(world->place.log, "second\n");
    SPIN_UNTIL(g_str_equal(follower.text->str, "first\nsecond\n"));
    append(world->place.log, "last\n");
    stead_console_close(world->console);
    SPIN_UNTIL(follower.ended);
    g_assert_cmpstr(follower.text->str, ==, "first\nsecond\nlast\n");
    g_object_unref(follower.stream);
    g_string_free(follower.text, TRUE);
}

static gboolean ignore(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    return TRUE;
}

static const SteadConsoleReader quiet = {.bytes = ignore};

/* Nothing is written on the console meanwhile. */
static void test_follower_that_leaves(World *world, gconstpointer data)
{
    SteadConsoleFrom from = {STEAD_CONSOLE_NOW, 0};
    g_autofree char *address = g_strconcat(world->address, "/logs?follow=1", NULL);
    append(world->place.log, "x\n");
    guint others[STEAD_CONSOLE_READERS_MAX - 1];
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        others[i] = stead_console_subscribe(world->console, from, &quiet, NULL, NULL);
        g_assert_cmpuint(others[i], !=, 0);
    }
    for (int i = 0; i < 20; i++) {
        g_autoptr(SoupMessage) message = soup_message_new("GET", address);
        g_autoptr(GAsyncResult) result = NULL;
        g_autoptr(SoupSession) session = soup_session_new();
        soup_session_send_async(session, message, G_PRIORITY_DEFAULT, NULL, on_reply, &result);
        SPIN_UNTIL(result != NULL);
        g_autoptr(GInputStream) stream = soup_session_send_finish(session, result, NULL);
        g_assert_cmpuint(soup_message_get_status(message), ==, 200);
        soup_session_abort(session);
        g_clear_object(&stream);
        guint id = 0; /* there is room for one more as soon as it is gone */
        SPIN_UNTIL((g_main_context_iteration(NULL, FALSE),
                    (id = stead_console_subscribe(world->console, from, &quiet, NULL, NULL)) != 0));
        stead_console_unsubscribe(world->console, id);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        stead_console_unsubscribe(world->console, others[i]);
}

/* --- WebSocket --- */

typedef struct {
    SoupWebsocketConnection *connection;
    GString *bytes;
    GString *texts;
    gboolean closed;
} Client;

static void on_message(SoupWebsocketConnection *connection, SoupWebsocketDataType type,
                       GBytes *message, gpointer data)
{
    Client *client = data;
    gsize n;
    const char *bytes = g_bytes_get_data(message, &n);
    g_string_append_len(type == SOUP_WEBSOCKET_DATA_TEXT ? client->texts : client->bytes, bytes,
                        (gssize)n);
}

static void on_closed(SoupWebsocketConnection *connection, gpointer data)
{
    ((Client *)data)->closed = TRUE;
}

static Client *client_new(World *world, const char *path)
{
    Client *client = g_new0(Client, 1);
    g_autofree char *address = g_strconcat(world->address, path, NULL);
    g_autoptr(SoupMessage) message = soup_message_new("GET", address);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;
    soup_session_websocket_connect_async(world->session, message, NULL, NULL, G_PRIORITY_DEFAULT,
                                         NULL, on_reply, &result);
    SPIN_UNTIL(result != NULL);
    client->connection = soup_session_websocket_connect_finish(world->session, result, &error);
    g_assert_no_error(error);
    client->bytes = g_string_new(NULL);
    client->texts = g_string_new(NULL);
    soup_websocket_connection_set_max_incoming_payload_size(client->connection, 0);
    g_signal_connect(client->connection, "message", G_CALLBACK(on_message), client);
    g_signal_connect(client->connection, "closed", G_CALLBACK(on_closed), client);
    return client;
}

static void client_free(Client *client)
{
    if (!client->closed) {
        soup_websocket_connection_close(client->connection, 1000, NULL);
        SPIN_UNTIL(client->closed);
    }
    g_signal_handlers_disconnect_by_data(client->connection, client);
    g_object_unref(client->connection);
    g_string_free(client->bytes, TRUE);
    g_string_free(client->texts, TRUE);
    g_free(client);
    drain();
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

static gboolean says(const Client *client, const char *part)
{
    return strstr(client->texts->str, part) != NULL;
}

static void test_several_readers_see_all(World *world, gconstpointer data)
{
    append(world->place.log, "before ");
    g_autoptr(Client) a = client_new(world, "/console");
    g_autoptr(Client) b = client_new(world, "/console");
    append(world->place.log, "after\xff");
    SPIN_UNTIL(g_str_equal(a->bytes->str, "before after\xff"));
    SPIN_UNTIL(g_str_equal(b->bytes->str, "before after\xff"));
    g_assert_cmpstr(a->texts->str, ==, "{\"writer\":false}");
}

static void test_writer_and_the_one_who_comes_late(World *world, gconstpointer data)
{
    g_autoptr(Client) a = client_new(world, "/console/write");
    SPIN_UNTIL(says(a, "{\"writer\":true}"));
    g_autoptr(Client) b = client_new(world, "/console/write");
    SPIN_UNTIL(says(b, "{\"writer\":false}"));
    g_assert_true(says(b, "\"code\":\"busy\""));
    g_assert_true(says(b, "--force"));
    g_autoptr(Client) c = client_new(world, "/console/write/force");
    SPIN_UNTIL(says(c, "{\"writer\":true}"));
    SPIN_UNTIL(says(a, "{\"writer\":false}"));
}

static void test_input_reaches_the_guest(World *world, gconstpointer data)
{
    char got[16] = "";
    g_autoptr(Client) client = client_new(world, "/console/write");
    SPIN_UNTIL(says(client, "{\"writer\":true}"));
    soup_websocket_connection_send_binary(client->connection, "\x03ls\n", 4);
    SPIN_UNTIL(says(client, "{\"written\":4}"));
    stead_autofd guest = accept4(world->guest, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    g_assert_cmpint(recv(guest, got, sizeof got - 1, MSG_DONTWAIT), ==, 4);
    g_assert_cmpstr(got, ==, "\x03ls\n");
}

static void test_reader_may_not_write(World *world, gconstpointer data)
{
    g_autoptr(Client) client = client_new(world, "/console");
    soup_websocket_connection_send_binary(client->connection, "x", 1);
    SPIN_UNTIL(says(client, "\"code\":\"denied\""));
}

static void test_too_much_input_is_told(World *world, gconstpointer data)
{
    g_autofree char *bulk = g_strnfill(STEAD_CONSOLE_FRAME_MAX - 100, 'x');
    g_autoptr(Client) client = client_new(world, "/console/write");
    SPIN_UNTIL(says(client, "{\"writer\":true}"));
    for (int i = 0; i < 40; i++)
        soup_websocket_connection_send_binary(client->connection, bulk, strlen(bulk));
    SPIN_UNTIL(says(client, "\"code\":\"exhausted\""));
}

static void test_window_size(World *world, gconstpointer data)
{
    g_autoptr(Client) client = client_new(world, "/console/write");
    soup_websocket_connection_send_text(client->connection, "{\"resize\":[24,80]}");
    for (int i = 1; i <= 30; i++) {
        g_autofree char *text = g_strdup_printf("{\"resize\":[%d,132]}", i);
        soup_websocket_connection_send_text(client->connection, text);
    }
    SPIN_UNTIL(world->rows == 30 && world->columns == 132);
    g_assert_cmpuint(world->resizes, <=, 3);
}

static void test_window_size_of_a_reader_is_ignored(World *world, gconstpointer data)
{
    g_autoptr(Client) client = client_new(world, "/console");
    soup_websocket_connection_send_text(client->connection, "{\"resize\":[24,80]}");
    soup_websocket_connection_send_text(client->connection, "{}");
    SPIN_UNTIL(says(client, "\"code\":\"invalid\""));
    g_assert_cmpuint(world->resizes, ==, 0);
}

static void test_hostile_control_frames(World *world, gconstpointer data)
{
    static const char *const frames[] = {"",
                                         "x",
                                         "[]",
                                         "null",
                                         "{\"resize\":1}",
                                         "{\"resize\":[1]}",
                                         "{\"resize\":[0,80]}",
                                         "{\"resize\":[24,100000]}",
                                         "{\"resize\":[[],{}]}",
                                         "{\"resize\":[-1,null]}"};
    g_autofree char *deep = g_strnfill(STEAD_CONSOLE_CONTROL_MAX + 1, '[');
    g_autoptr(Client) client = client_new(world, "/console/write");
    for (gsize i = 0; i < G_N_ELEMENTS(frames); i++) {
        g_string_truncate(client->texts, 0);
        soup_websocket_connection_send_text(client->connection, frames[i]);
        SPIN_UNTIL(says(client, "\"code\":\"invalid\""));
    }
    g_string_truncate(client->texts, 0);
    soup_websocket_connection_send_text(client->connection, deep);
    SPIN_UNTIL(says(client, "\"code\":\"invalid\""));
    g_assert_cmpuint(world->resizes, ==, 0);
}

static void test_oversized_frame_ends_the_connection(World *world, gconstpointer data)
{
    g_autofree char *bulk = g_strnfill(STEAD_CONSOLE_FRAME_MAX * 2, 'x');
    g_autoptr(Client) client = client_new(world, "/console/write");
    soup_websocket_connection_send_binary(client->connection, bulk, STEAD_CONSOLE_FRAME_MAX * 2);
    SPIN_UNTIL(client->closed);
    Client *next = client_new(world, "/console/write");
    SPIN_UNTIL(says(next, "{\"writer\":true}")); /* the writer's place is free again */
    client_free(next);
}

static void test_end_of_the_console(World *world, gconstpointer data)
{
    g_autofree char *bulk = g_strnfill(300000, 'b');
    g_autoptr(Client) client = client_new(world, "/console/write");
    append(world->place.log, bulk);
    stead_console_close(world->console);
    SPIN_UNTIL(client->closed);
    g_assert_cmpstr(client->bytes->str, ==, bulk);
    g_assert_cmpuint(soup_websocket_connection_get_close_code(client->connection), ==, 1000);
}

static gsize resident_pages(void)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    return (gsize)g_ascii_strtoull(strchr(text, ' '), NULL, 10);
}

/* A client on a bare socket, which makes the handshake and then reads nothing. */
static void test_client_that_does_not_read_costs_little(World *world, gconstpointer data)
{
    static const char request[] = "GET /console HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    g_autoptr(GSocketClient) maker = g_socket_client_new();
    g_autoptr(GSocketConnection) peer =
        g_socket_client_connect_to_uri(maker, world->address, 80, NULL, NULL);
    int fd = g_socket_get_fd(g_socket_connection_get_socket(peer));
    gsize sent = 0, length = 24 * 1000 * 1000;
    g_assert_cmpint(send(fd, request, strlen(request), 0), ==, (int)strlen(request));
    g_autofree char *bulk = g_strnfill(length, 'b');
    append(world->place.log, bulk);
    gsize before = resident_pages();
    drain();                                                  /* ends: nothing spins */
    g_assert_cmpuint(resident_pages() - before, <, 16 * 256); /* nor is all of it queued */
    /* It gets everything when it reads at last; that wakes no source here, so nothing may block. */
    guint watchdog = g_timeout_add_seconds(60, give_up_waiting, (gpointer) "all of the log");
    while (sent <= length) {
        char buffer[65536];
        gssize n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        sent += n > 0 ? (gsize)n : 0;
        g_main_context_iteration(NULL, FALSE);
    }
    g_source_remove(watchdog);
}

static void test_origins(World *world, gconstpointer data)
{
    SteadConsoleFrom from;
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_console_from_parse(NULL, &from, NULL));
    g_assert_cmpint(from.origin, ==, STEAD_CONSOLE_NOW);
    g_assert_true(stead_console_from_parse("start", &from, NULL));
    g_assert_cmpint(from.origin, ==, STEAD_CONSOLE_START);
    g_assert_true(stead_console_from_parse("tail:25", &from, NULL));
    g_assert_cmpint(from.origin, ==, STEAD_CONSOLE_TAIL);
    g_assert_cmpuint(from.n, ==, 25);
    g_assert_false(stead_console_from_parse("tail:-1", &from, NULL));
    g_assert_false(stead_console_from_parse("yesterday", &from, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void close_console(gpointer console)
{
    stead_console_close(console);
    stead_console_unref(console);
}

static void open_others(World *world, guint n)
{
    world->others = g_ptr_array_new_with_free_func(close_console);
    for (guint i = 0; i < n; i++) {
        g_autofree char *log = g_strdup_printf("%s-%u", world->place.log, i);
        g_autofree char *times = g_strdup_printf("%s-%u", world->place.times, i);
        SteadConsoleOptions options = {
            .log_path = log, .times_path = times, .input_path = world->place.input};
        g_autoptr(GError) error = NULL;
        g_ptr_array_add(world->others, stead_console_open(&options, &error));
        g_assert_no_error(error);
    }
}

static void test_one_socket_too_many_is_refused(World *world, gconstpointer data)
{
    g_autofree Client **clients = g_new0(Client *, STEAD_CONSOLE_SOCKETS_MAX);
    open_others(world, STEAD_CONSOLE_SOCKETS_MAX / STEAD_CONSOLE_READERS_MAX);
    for (guint i = 0; i < STEAD_CONSOLE_SOCKETS_MAX; i++) {
        g_autofree char *path = g_strdup_printf("/console/other%u", i / STEAD_CONSOLE_READERS_MAX);
        clients[i] = client_new(world, path);
        g_assert_no_error(world->refusal);
    }
    Client *late = client_new(world, "/console");
    g_assert_error(world->refusal, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
    SPIN_UNTIL(late->closed);
    client_free(late);
    client_free(clients[0]);
    drain();
    clients[0] = client_new(world, "/console");
    g_assert_no_error(world->refusal);
    for (guint i = 0; i < STEAD_CONSOLE_SOCKETS_MAX; i++)
        client_free(clients[i]);
}

#define WORLD(path, function) g_test_add(path, World, NULL, world_set_up, function, world_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    WORLD("/logs/whole-tail-and-boot", test_logs_whole_tail_and_boot);
    WORLD("/logs/harmless-unless-raw", test_logs_are_harmless_unless_raw);
    WORLD("/logs/with-times", test_logs_with_times);
    WORLD("/logs/unwatched-time-is-marked", test_logs_of_unwatched_time_are_marked);
    WORLD("/logs/long-logs-arrive-whole", test_long_logs_arrive_whole);
    WORLD("/logs/follow-until-the-end", test_logs_follow_until_the_end);
    WORLD("/logs/follower-that-leaves", test_follower_that_leaves);
    WORLD("/websocket/several-readers-see-all", test_several_readers_see_all);
    WORLD("/websocket/writer-and-the-one-who-comes-late", test_writer_and_the_one_who_comes_late);
    WORLD("/websocket/input-reaches-the-guest", test_input_reaches_the_guest);
    WORLD("/websocket/reader-may-not-write", test_reader_may_not_write);
    WORLD("/websocket/too-much-input-is-told", test_too_much_input_is_told);
    WORLD("/websocket/window-size", test_window_size);
    WORLD("/websocket/window-size-of-a-reader", test_window_size_of_a_reader_is_ignored);
    WORLD("/websocket/hostile-control-frames", test_hostile_control_frames);
    WORLD("/websocket/oversized-frame", test_oversized_frame_ends_the_connection);
    WORLD("/websocket/end-of-the-console", test_end_of_the_console);
    WORLD("/websocket/client-that-does-not-read", test_client_that_does_not_read_costs_little);
    WORLD("/websocket/one-too-many", test_one_socket_too_many_is_refused);
    WORLD("/websocket/origins", test_origins);
    return g_test_run();
}
