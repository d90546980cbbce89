/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console on a terminal.
 *
 * Output is written by blocking writes: while the terminal does not take it nothing is read from
 * the daemon, which then holds its reader back, so that no buffer grows anywhere. Input from a pipe
 * is held back by the daemon's {"written"} counts; keys are sent as they are typed.
 */
#include "cli/console_client.h"

#include <errno.h>
#include <glib-unix.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/terminal.h"

#define INPUT_CHUNK 4096

typedef struct {
    const SteadConsoleClientOptions *options;
    const char *instance;
    SoupWebsocketConnection *connection;
    GMainLoop *loop;
    GError *error;
    gboolean terminal; /* input is one */
    gboolean raw;
    gboolean writer;
    gboolean ended; /* input has */
    guint input;    /* source; 0: not read from */
    guint64 sent;
    guint64 written;
    guint linger;
} Client;

/* --- output --- */

static gboolean write_all(int fd, const char *bytes, gsize n)
{
    while (n > 0) {
        gssize written = write(fd, bytes, n);
        if (written < 0 && errno == EAGAIN) { /* somebody else made it non-blocking */
            GPollFD poll = {.fd = fd, .events = G_IO_OUT};
            g_poll(&poll, 1, -1);
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return FALSE;
        bytes += written;
        n -= (gsize)written;
    }
    return TRUE;
}

static void remark(Client *client, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void remark(Client *client, const char *format, ...)
{
    if (client->options->quiet)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *line = g_strconcat(text, client->raw ? "\r\n" : "\n", NULL);
    write_all(client->options->messages, line, strlen(line));
}

static void fail(Client *client, GError *error)
{
    if (client->error == NULL)
        client->error = error;
    else
        g_error_free(error);
    g_main_loop_quit(client->loop);
}

/* --- the end of piped input --- */

static gboolean on_silence(gpointer data)
{
    Client *client = data;
    client->linger = 0;
    g_main_loop_quit(client->loop);
    return G_SOURCE_REMOVE;
}

/* Begins the wait for silence anew, once everything was sent and taken. */
static void linger(Client *client)
{
    g_clear_handle_id(&client->linger, g_source_remove);
    if (client->ended && client->sent == client->written)
        client->linger = g_timeout_add(client->options->linger_ms, on_silence, client);
}

/* --- input --- */

static gboolean on_input(int fd, GIOCondition condition, gpointer data);

static void read_input(Client *client)
{
    gboolean ahead = !client->terminal && client->sent - client->written >= STEAD_CONSOLE_AHEAD_MAX;
    if (client->input == 0 && !client->ended && !ahead)
        client->input =
            g_unix_fd_add(client->options->input, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, client);
}

static void send_input(Client *client, const char *bytes, gsize n)
{
    if (n == 0 || !client->writer ||
        soup_websocket_connection_get_state(client->connection) != SOUP_WEBSOCKET_STATE_OPEN)
        return;
    client->sent += n;
    soup_websocket_connection_send_binary(client->connection, bytes, n);
}

static void end_input(Client *client)
{
    client->ended = TRUE;
    if (client->terminal)
        g_main_loop_quit(client->loop);
    else
        linger(client);
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
    Client *client = data;
    char bytes[INPUT_CHUNK];
    gssize n = read(fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    client->input = 0;
    if (n <= 0) {
        end_input(client);
        return G_SOURCE_REMOVE;
    }
    const char *escape = client->terminal && client->options->escape != STEAD_KEY_NONE
                             ? memchr(bytes, client->options->escape, (gsize)n)
                             : NULL;
    send_input(client, bytes, escape ? (gsize)(escape - bytes) : (gsize)n);
    if (escape)
        g_main_loop_quit(client->loop);
    else
        read_input(client);
    return G_SOURCE_REMOVE;
}

static void send_size(Client *client)
{
    guint rows, columns;
    if (!client->writer || !stead_terminal_size(client->options->input, &rows, &columns))
        return;
    g_autofree char *text = g_strdup_printf("{\"resize\":[%u,%u]}", rows, columns);
    soup_websocket_connection_send_text(client->connection, text);
}

static gboolean on_window_change(gpointer data)
{
    send_size(data);
    return G_SOURCE_CONTINUE;
}

/* --- what the daemon says --- */

static void take_writer(Client *client, gboolean writer)
{
    if (client->writer && !writer)
        remark(client, "Somebody else has taken this console over; it is read only from now on.");
    client->writer = writer;
    if (!writer)
        client->written = client->sent; /* nothing more will be taken */
    if (client->terminal)
        send_size(client);
    if (writer || client->terminal)
        read_input(client);
    else if (!client->options->read_only && client->error == NULL)
        end_input(client);
}

static const char *text_of(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

static void take_error(Client *client, JsonObject *object)
{
    int code = stead_error_code_from_name(text_of(object, "code"));
    const char *message = text_of(object, "message"), *hint = text_of(object, "hint");
    GError *error = stead_error_new(code < 0 ? STEAD_ERROR_INTERNAL : (SteadErrorCode)code, hint,
                                    "%s", message ? message : "the daemon reports an error");
    if (client->writer) {
        remark(client, "%s", error->message);
        g_error_free(error);
        return;
    }
    fail(client, error);
}

static void take_control(Client *client, JsonObject *object)
{
    JsonNode *writer = json_object_get_member(object, "writer");
    JsonNode *written = json_object_get_member(object, "written");
    JsonNode *error = json_object_get_member(object, "error");
    if (error && JSON_NODE_HOLDS_OBJECT(error))
        take_error(client, json_node_get_object(error));
    if (writer && JSON_NODE_HOLDS_VALUE(writer))
        take_writer(client, json_node_get_boolean(writer));
    if (written && JSON_NODE_HOLDS_VALUE(written)) {
        client->written = MIN((guint64)json_node_get_int(written), client->sent);
        read_input(client);
        if (client->ended)
            linger(client);
    }
}

static void on_message(SoupWebsocketConnection *connection, SoupWebsocketDataType type,
                       GBytes *message, gpointer data)
{
    Client *client = data;
    gsize n;
    const char *bytes = g_bytes_get_data(message, &n);
    if (type == SOUP_WEBSOCKET_DATA_BINARY) {
        if (!write_all(client->options->output, bytes, n))
            fail(client, g_error_new(G_IO_ERROR, (int)g_io_error_from_errno(errno),
                                     "writing what the console shows: %s", g_strerror(errno)));
        else if (client->ended)
            linger(client);
        return;
    }
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root = json_parser_load_from_data(parser, bytes, (gssize)n, NULL)
                         ? json_parser_get_root(parser)
                         : NULL;
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        take_control(client, json_node_get_object(root));
}

static void on_closed(SoupWebsocketConnection *connection, gpointer data)
{
    Client *client = data;
    gushort code = soup_websocket_connection_get_close_code(connection);
    if (code == SOUP_WEBSOCKET_CLOSE_NORMAL || client->error)
        remark(client, "The console of %s has ended.", client->instance);
    else
        fail(client, stead_error_new(STEAD_ERROR_UNAVAILABLE,
                                     "The instance goes on; attach again once the daemon answers.",
                                     "the connection to the daemon broke"));
    g_main_loop_quit(client->loop);
}

/* --- the whole --- */

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(((Client *)data)->loop);
    return G_SOURCE_CONTINUE;
}

static void on_connected(GObject *session, GAsyncResult *result, gpointer data)
{
    Client *client = data;
    client->connection =
        soup_session_websocket_connect_finish(SOUP_SESSION(session), result, &client->error);
    g_main_loop_quit(client->loop);
}

static gboolean connect_to_daemon(Client *client, SoupSession *session)
{
    const SteadConsoleClientOptions *options = client->options;
    g_autofree char *name = g_uri_escape_string(client->instance, NULL, FALSE);
    g_autofree char *from = g_uri_escape_string(options->from ? options->from : "now", ":", FALSE);
    g_autofree char *address =
        g_strdup_printf("http://stead/v1/instances/%s/console?from=%s%s%s", name, from,
                        options->read_only ? "" : "&write=1", options->force ? "&force=1" : "");
    g_autoptr(SoupMessage) message = soup_message_new("GET", address);
    soup_session_websocket_connect_async(session, message, NULL, NULL, G_PRIORITY_DEFAULT, NULL,
                                         on_connected, client);
    g_main_loop_run(client->loop);
    return client->connection != NULL;
}

static gboolean begin(Client *client)
{
    const SteadConsoleClientOptions *options = client->options;
    if (!client->terminal)
        return TRUE;
    g_autofree char *key = stead_key_name(options->escape);
    const char *other = options->read_only ? " or Ctrl-C" : "";
    if (options->escape != STEAD_KEY_NONE)
        remark(client, "The console of %s; %s%s detaches.", client->instance, key, other);
    client->raw = stead_terminal_raw(options->input, options->read_only, &client->error);
    if (client->raw)
        read_input(client);
    return client->raw;
}

static void run(Client *client)
{
    guint sources[] = {
        g_unix_signal_add(SIGINT, on_signal, client),
        g_unix_signal_add(SIGTERM, on_signal, client),
        g_unix_signal_add(SIGHUP, on_signal, client),
        g_unix_signal_add(SIGWINCH, on_window_change, client),
    };
    g_signal_connect(client->connection, "message", G_CALLBACK(on_message), client);
    g_signal_connect(client->connection, "closed", G_CALLBACK(on_closed), client);
    if (begin(client))
        g_main_loop_run(client->loop);
    stead_terminal_restore();
    g_signal_handlers_disconnect_by_data(client->connection, client);
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++)
        g_source_remove(sources[i]);
    g_clear_handle_id(&client->input, g_source_remove);
    g_clear_handle_id(&client->linger, g_source_remove);
}

static void on_really_closed(SoupWebsocketConnection *connection, gpointer data)
{
    g_main_loop_quit(data);
}

/* What was sent last must still go out, and the daemon learn that this is no broken line. */
static void hang_up(Client *client)
{
    if (soup_websocket_connection_get_state(client->connection) != SOUP_WEBSOCKET_STATE_OPEN)
        return;
    g_signal_connect(client->connection, "closed", G_CALLBACK(on_really_closed), client->loop);
    soup_websocket_connection_close(client->connection, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
    g_main_loop_run(client->loop);
    g_signal_handlers_disconnect_by_data(client->connection, client->loop);
}

gboolean stead_console_client(SoupSession *session, const char *instance,
                              const SteadConsoleClientOptions *options, GError **error)
{
    Client client = {.options = options,
                     .instance = instance,
                     .loop = g_main_loop_new(NULL, FALSE),
                     .terminal = isatty(options->input) != 0};
    if (connect_to_daemon(&client, session)) {
        run(&client);
        if (client.raw && !options->quiet)
            write_all(options->messages, "\n", 1);
        hang_up(&client);
        g_object_unref(client.connection);
    }
    g_main_loop_unref(client.loop);
    if (client.error == NULL)
        return TRUE;
    g_propagate_error(error, client.error);
    return FALSE;
}
