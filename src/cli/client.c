/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests over the daemon's socket with libsoup, whose sessions send every request to one fixed
 * address ("remote-connectable"). A session costs about a millisecond and is made at first use.
 */
#include "cli/client.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"

#define BASE "http://stead"
#define READ_CHUNK (64 * 1024)
/* An error reply that is not the API's is quoted up to this length. */
#define MAX_QUOTE 200

struct _SteadClient {
    char *socket;
    guint timeout;
    SoupSession *session; /* NULL until the first request */
};

SteadClient *stead_client_new_for_socket(const char *socket)
{
    SteadClient *client = g_new0(SteadClient, 1);
    client->socket = g_strdup(socket);
    client->timeout = STEAD_CLIENT_TIMEOUT;
    return client;
}

SteadClient *stead_client_new(GError **error)
{
    g_autoptr(SteadPaths) paths = stead_paths_new(error);
    return paths ? stead_client_new_for_socket(paths->socket) : NULL;
}

void stead_client_free(SteadClient *client)
{
    if (client == NULL)
        return;
    g_clear_object(&client->session);
    g_free(client->socket);
    g_free(client);
}

const char *stead_client_socket(const SteadClient *client)
{
    return client->socket;
}

SoupSession *stead_client_session(const SteadClient *client, guint timeout)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(client->socket);
    return soup_session_new_with_options("remote-connectable", address, "timeout", timeout,
                                         "user-agent", "stead/" STEAD_VERSION, NULL);
}

void stead_client_set_timeout(SteadClient *client, guint seconds)
{
    client->timeout = seconds;
    g_clear_object(&client->session);
}

char *stead_client_path(const char *first, ...)
{
    GString *path = g_string_new("/v1");
    va_list parts;
    va_start(parts, first);
    for (const char *part = first; part != NULL; part = va_arg(parts, const char *)) {
        g_string_append_c(path, '/');
        g_string_append_uri_escaped(path, part, ":", FALSE);
    }
    va_end(parts);
    return g_string_free(path, FALSE);
}

/* --- errors --- */

static gboolean systemd_runs(void)
{
    return g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR);
}

static GError *unreachable(const SteadClient *client, const char *why)
{
    const char *hint = systemd_runs()
                           ? "Start it with 'sudo systemctl start stead'; 'stead doctor' "
                             "says what the host lacks."
                           : "Start it with 'sudo stead daemon start'; 'stead doctor' says "
                             "what the host lacks.";
    return stead_error_new(STEAD_ERROR_UNAVAILABLE, hint,
                           "the stead daemon does not answer at %s: %s", client->socket, why);
}

static GError *forbidden(const SteadClient *client)
{
    return stead_error_new(
        STEAD_ERROR_DENIED,
        "Join the group 'stead' ('sudo usermod -aG stead \"$USER\"', then log in "
        "anew), or use sudo.",
        "you may not use %s", client->socket);
}

GError *stead_client_connect_error(const SteadClient *client, GError *error)
{
    g_autoptr(GError) cause = error;
    if (cause->domain != G_IO_ERROR)
        return stead_error_new(STEAD_ERROR_INTERNAL, NULL, "talking to the stead daemon: %s",
                               cause->message);
    switch (cause->code) {
    case G_IO_ERROR_PERMISSION_DENIED:
        return forbidden(client);
    case G_IO_ERROR_NOT_FOUND:
        /* A folder that the caller may not look into hides the socket as well. */
        return unreachable(client, "there is no such socket");
    case G_IO_ERROR_CONNECTION_REFUSED:
        return unreachable(client, "nothing listens there");
    case G_IO_ERROR_TIMED_OUT:
        return unreachable(client, "it took the request and then was silent");
    case G_IO_ERROR_PARTIAL_INPUT:
    case G_IO_ERROR_CONNECTION_CLOSED:
        return unreachable(client, "it closed the connection");
    case G_IO_ERROR_CANCELLED:
        return g_steal_pointer(&cause);
    default:
        return unreachable(client, cause->message);
    }
}

static const char *member_text(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

static GError *error_from_object(JsonObject *object)
{
    int code = stead_error_code_from_name(member_text(object, "code"));
    const char *message = member_text(object, "message");
    if (code < 0 || message == NULL)
        return NULL;
    return stead_error_new((SteadErrorCode)code, member_text(object, "hint"), "%s", message);
}

GError *stead_client_error_from_reply(guint status, const char *text, gsize length)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    if (json_parser_load_from_data(parser, text, (gssize)length, NULL)) {
        JsonNode *root = json_parser_get_root(parser);
        GError *error = root && JSON_NODE_HOLDS_OBJECT(root)
                            ? error_from_object(json_node_get_object(root))
                            : NULL;
        if (error != NULL)
            return error;
    }
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)MIN(length, MAX_QUOTE));
    return stead_error_new(STEAD_ERROR_INTERNAL, "Are the daemon and stead of the same version?",
                           "the daemon answered with status %u: %s", status, g_strstrip(valid));
}

/* --- requests --- */

static SoupMessage *message_new(const char *method, const char *path, JsonNode *body)
{
    g_autofree char *address = g_strconcat(BASE, path, NULL);
    SoupMessage *message = soup_message_new(method, address);
    if (message == NULL)
        g_error("'%s' is no path", path);
    if (body != NULL) {
        g_autofree char *text = json_to_string(body, FALSE);
        gsize length = strlen(text);
        g_autoptr(GBytes) bytes = g_bytes_new_take(g_steal_pointer(&text), length);
        soup_message_set_request_body_from_bytes(message, "application/json", bytes);
    }
    return message;
}

static gboolean read_all(GInputStream *stream, GByteArray *bytes, GError **error)
{
    for (;;) {
        guint before = bytes->len;
        g_byte_array_set_size(bytes, before + READ_CHUNK);
        gssize n = g_input_stream_read(stream, bytes->data + before, READ_CHUNK, NULL, error);
        g_byte_array_set_size(bytes, before + (guint)MAX(n, 0));
        if (n <= 0)
            return n == 0;
        if (bytes->len > STEAD_CLIENT_MAX_REPLY) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "its answer is too long");
            return FALSE;
        }
    }
}

static gboolean is_success(SoupMessage *message)
{
    return SOUP_STATUS_IS_SUCCESSFUL(soup_message_get_status(message));
}

static JsonNode *parse_reply(const GByteArray *bytes, GError **error)
{
    if (bytes->len == 0)
        return json_node_new(JSON_NODE_NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) cause = NULL;
    if (json_parser_load_from_data(parser, (const char *)bytes->data, bytes->len, &cause))
        return json_parser_steal_root(parser);
    stead_set_error(error, STEAD_ERROR_INTERNAL, "Are the daemon and stead of the same version?",
                    "the daemon's answer is not JSON: %s", cause->message);
    return NULL;
}

static SoupSession *own_session(SteadClient *client)
{
    if (client->session == NULL)
        client->session = stead_client_session(client, client->timeout);
    return client->session;
}

JsonNode *stead_client_call(SteadClient *client, const char *method, const char *path,
                            JsonNode *body, GError **error)
{
    g_autoptr(SoupMessage) message = message_new(method, path, body);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GError) cause = NULL;
    g_autoptr(GInputStream) stream = soup_session_send(own_session(client), message, NULL, &cause);
    if (stream == NULL || !read_all(stream, bytes, &cause)) {
        g_propagate_error(error, stead_client_connect_error(client, g_steal_pointer(&cause)));
        return NULL;
    }
    if (is_success(message))
        return parse_reply(bytes, error);
    g_propagate_error(error, stead_client_error_from_reply(soup_message_get_status(message),
                                                           (const char *)bytes->data, bytes->len));
    return NULL;
}

/* The stream of a reply that has begun, or the error that it says. Takes `cause` over. */
static GInputStream *finish_stream(SteadClient *client, SoupSession *session, SoupMessage *message,
                                   GInputStream *begun, GError *cause, GError **error)
{
    g_autoptr(GInputStream) stream = begun;
    if (stream == NULL) {
        g_propagate_error(error, stead_client_connect_error(client, cause));
        return NULL;
    }
    if (is_success(message)) {
        /* The stream needs its session for as long as it is read. */
        g_object_set_data_full(G_OBJECT(stream), "session", g_object_ref(session), g_object_unref);
        return g_steal_pointer(&stream);
    }
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    read_all(stream, bytes, NULL);
    g_propagate_error(error, stead_client_error_from_reply(soup_message_get_status(message),
                                                           (const char *)bytes->data, bytes->len));
    return NULL;
}

GInputStream *stead_client_stream(SteadClient *client, const char *path, GError **error)
{
    g_autoptr(SoupSession) session = stead_client_session(client, 0);
    g_autoptr(SoupMessage) message = message_new("GET", path, NULL);
    GError *cause = NULL;
    GInputStream *stream = soup_session_send(session, message, NULL, &cause);
    return finish_stream(client, session, message, stream, cause, error);
}

static void on_reply(GObject *source, GAsyncResult *result, gpointer data)
{
    GAsyncResult **slot = data;
    *slot = g_object_ref(result);
}

GInputStream *stead_client_stream_async(SteadClient *client, const char *path, guint timeout,
                                        GError **error)
{
    g_autoptr(SoupSession) session = stead_client_session(client, timeout);
    g_autoptr(SoupMessage) message = message_new("GET", path, NULL);
    g_autoptr(GAsyncResult) result = NULL;
    GError *cause = NULL;
    soup_session_send_async(session, message, G_PRIORITY_DEFAULT, NULL, on_reply, &result);
    while (result == NULL)
        g_main_context_iteration(NULL, TRUE);
    GInputStream *stream = soup_session_send_finish(session, result, &cause);
    return finish_stream(client, session, message, stream, cause, error);
}
