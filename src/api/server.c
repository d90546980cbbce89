/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving: accept, bound, match, call the handler, write its reply. Bodies are bounded before they
 * are read: by their Content-Length, and chunk by chunk where they have none.
 *
 * libsoup answers when it has read the whole request. A client that announces too much would wait
 * for its answer until it has sent it all, or for ever; so that one answer is written to the socket
 * at once, beside libsoup, which goes on to read what comes, so that a client that still writes is
 * not cut off before it reads, and then finds that it cannot write.
 */
#include "api/server.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/routes.h"
#include "api/sockets.h"
#include "base/error.h"

#define GROUP "stead"
/* Connections that wait to be accepted; one more is refused at once. */
#define BACKLOG 1024
#define LISTEN_FD 3 /* sd_listen_fds(3): the first passed descriptor */

struct _SteadServer {
    SoupServer *soup;
    SteadEngine *engine;
    char *socket_path; /* NULL when systemd owns it */
};

static void write_reply(SoupServerMessage *message, SteadReply *reply)
{
    soup_server_message_set_status(message, reply->status, NULL);
    if (reply->json == NULL && reply->text == NULL)
        return;
    char *text = reply->text ? g_string_free(g_steal_pointer(&reply->text), FALSE)
                             : json_to_string(reply->json, FALSE);
    soup_server_message_set_response(message, "application/json", SOUP_MEMORY_TAKE, text,
                                     strlen(text));
}

/* 405 (RFC 9110, section 15.5.6). */
static void add_allowed(SoupServerMessage *message, const char *path)
{
    g_autofree char *allowed = stead_route_allowed(path);
    if (allowed == NULL)
        return;
    soup_server_message_set_status(message, SOUP_STATUS_METHOD_NOT_ALLOWED, NULL);
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Allow",
                                 allowed);
}

static gboolean read_body(SoupServerMessage *message, JsonNode **node, GError **error)
{
    SoupMessageBody *body = soup_server_message_get_request_body(message);
    g_autoptr(GBytes) bytes = soup_message_body_flatten(body);
    gsize length = 0;
    const char *text = g_bytes_get_data(bytes, &length);
    return stead_body_parse(text, length, node, error);
}

static void clear_request(SteadRequest *request)
{
    for (guint i = 0; i < STEAD_API_MAX_PARAMS; i++)
        g_clear_pointer(&request->params[i], g_free);
    g_clear_pointer(&request->body, json_node_unref);
}

static void on_request(SoupServer *soup, SoupServerMessage *message, const char *path,
                       GHashTable *query, gpointer data)
{
    SteadServer *server = data;
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    if (soup_server_message_get_status(message) != 0) /* refused before its body was read */
        return;
    /* What is left without a status is offered to on_websocket(). */
    if (soup_message_headers_header_contains(headers, "Upgrade", "websocket"))
        return;
    /* One request a connection: libsoup 3.2 does not notice that a client left which it waits for,
     * and keeps its descriptor for good. */
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Connection",
                                 "close");
    SteadRequest request = {
        .engine = server->engine, .server = soup, .message = message, .query = query};
    SteadReply reply = {.status = SOUP_STATUS_OK};
    g_autoptr(GError) error = NULL;
    const char *raw = g_uri_get_path(soup_server_message_get_uri(message));
    const SteadRoute *route =
        stead_route_find(soup_server_message_get_method(message), raw, request.params, &error);
    gint64 begun = g_get_monotonic_time();
    gboolean answered = route && read_body(message, &request.body, &error) &&
                        route->handle(&request, &reply, &error);
    g_debug("%s %s: %s in %" G_GINT64_FORMAT " us", soup_server_message_get_method(message), raw,
            answered ? "answered" : "refused", g_get_monotonic_time() - begun);
    if (!answered)
        stead_reply_error(message, error);
    if (route == NULL)
        add_allowed(message, raw);
    if (answered && !reply.taken)
        write_reply(message, &reply);
    g_clear_pointer(&reply.json, json_node_unref);
    clear_request(&request);
}

static void refuse_size(SoupServerMessage *message)
{
    g_autoptr(GError) error =
        stead_error_new(STEAD_ERROR_INVALID,
                        "Nothing that the API takes is as large: it is read from files, pools "
                        "and addresses that the request names.",
                        "the request is larger than %d bytes", STEAD_API_MAX_BODY);
    g_autoptr(JsonNode) node = stead_error_to_json(error);
    g_autofree char *json = json_to_string(node, FALSE);
    g_autofree char *answer = g_strdup_printf("HTTP/1.1 413 Content Too Large\r\n"
                                              "Content-Type: application/json\r\n"
                                              "Content-Length: %" G_GSIZE_FORMAT "\r\n"
                                              "Connection: close\r\n\r\n%s",
                                              strlen(json), json);
    /* So that nothing else answers it. */
    soup_server_message_set_status(message, SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE, NULL);
    soup_message_body_set_accumulate(soup_server_message_get_request_body(message), FALSE);
    GSocket *socket = soup_server_message_get_socket(message);
    if (socket == NULL)
        return;
    /* It fits into the socket, which nothing was written to; a client that left needs none. */
    g_socket_send(socket, answer, strlen(answer), NULL, NULL);
    g_socket_shutdown(socket, FALSE, TRUE, NULL);
}

static void on_chunk(SoupServerMessage *message, GBytes *chunk, gpointer data)
{
    SoupMessageBody *body = soup_server_message_get_request_body(message);
    if (body->length <= STEAD_API_MAX_BODY || soup_server_message_get_status(message) != 0)
        return;
    refuse_size(message);
}

/* Called when the headers are there and the body is not. */
static void on_headers(SoupServer *soup, SoupServerMessage *message, const char *path,
                       GHashTable *query, gpointer data)
{
    goffset length =
        soup_message_headers_get_content_length(soup_server_message_get_request_headers(message));
    if (length > STEAD_API_MAX_BODY)
        refuse_size(message);
    else
        g_signal_connect(message, "got-chunk", G_CALLBACK(on_chunk), NULL);
}

static void on_websocket(SoupServer *soup, SoupServerMessage *message, const char *path,
                         SoupWebsocketConnection *connection, gpointer data)
{
    SteadServer *server = data;
    stead_sockets_accept(server->engine, message, connection);
}

/* A socket that systemd passed, by the protocol of sd_listen_fds(3); NULL when there is none. */
static GSocket *take_passed_socket(GError **error)
{
    const char *pid = g_getenv("LISTEN_PID"), *fds = g_getenv("LISTEN_FDS");
    if (pid == NULL || fds == NULL || g_ascii_strtoull(pid, NULL, 10) != (guint64)getpid() ||
        g_ascii_strtoull(fds, NULL, 10) < 1)
        return NULL;
    fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
    return g_socket_new_from_fd(LISTEN_FD, error);
}

static gboolean set_permissions(const char *path, GError **error)
{
    const struct group *group = getgrnam(GROUP);
    if (group && chown(path, (uid_t)-1, group->gr_gid) != 0)
        g_warning("%s cannot be given to the group %s: %s", path, GROUP, g_strerror(errno));
    if (g_chmod(path, group ? 0660 : 0600) == 0)
        return TRUE;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "setting the mode of %s: %s",
                path, g_strerror(errno));
    return FALSE;
}

static GSocket *listen_at(const char *path, GError **error)
{
    g_autoptr(GSocket) socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (socket == NULL)
        return NULL;
    /* The caller holds the root's lock: a socket that is there is a dead daemon's. */
    g_unlink(path);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    mode_t mask = umask(0177);
    gboolean bound = g_socket_bind(socket, address, FALSE, error);
    umask(mask);
    g_socket_set_listen_backlog(socket, BACKLOG);
    if (!bound || !set_permissions(path, error) || !g_socket_listen(socket, error)) {
        g_prefix_error(error, "listening at %s: ", path);
        return NULL;
    }
    return g_steal_pointer(&socket);
}

SteadServer *stead_server_start(SteadEngine *engine, const SteadPaths *paths, GError **error)
{
    g_autoptr(GError) passed_error = NULL;
    g_autoptr(GSocket) socket = take_passed_socket(&passed_error);
    if (passed_error) {
        g_propagate_prefixed_error(error, g_steal_pointer(&passed_error), "the passed socket: ");
        return NULL;
    }
    SteadServer *server = g_new0(SteadServer, 1);
    server->engine = engine;
    server->soup = soup_server_new("server-header", "stead", NULL);
    if (socket == NULL) {
        socket = listen_at(paths->socket, error);
        server->socket_path = g_strdup(paths->socket);
    }
    soup_server_add_early_handler(server->soup, NULL, on_headers, server, NULL);
    soup_server_add_handler(server->soup, NULL, on_request, server, NULL);
    soup_server_add_websocket_handler(server->soup, NULL, NULL, NULL, on_websocket, server, NULL);
    if (socket && soup_server_listen_socket(server->soup, socket, 0, error))
        return server;
    stead_server_stop(server);
    return NULL;
}

void stead_server_stop(SteadServer *server)
{
    if (server == NULL)
        return;
    soup_server_disconnect(server->soup);
    g_object_unref(server->soup);
    if (server->socket_path)
        g_unlink(server->socket_path);
    g_free(server->socket_path);
    g_free(server);
}
