/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes run in both directions as far as the other end has taken what it was sent (`window`), so
 * that neither the daemon nor we keep more than that. Nothing here blocks: while the output is not
 * read, keys and signals still are.
 */
#include "cli/stream_client.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/outlet.h"
#include "cli/terminal.h"

#define CHUNK (32 * 1024)
/* What the daemon lets us be ahead is told when it has begun; and what we take is told at this. */
#define TELL_AT (16 * 1024)
#define DEATH(signal) (128 + (signal))

enum { TO_GUEST, OUT, ERR };

typedef struct {
    const SteadStreamClientOptions *options;
    SoupWebsocketConnection *connection;
    GMainLoop *loop;
    GError *error;
    int result;
    gboolean started;
    gboolean ended;  /* the daemon has said its last word */
    gboolean warned; /* a signal was passed on */
    guint input;     /* source; 0: not read from */
    gboolean eof;
    guint64 window, sent, acknowledged;
    guint64 received, written, told;
    SteadOutlet *outlets[ERR + 1];
} Client;

static gboolean is_open(const Client *client)
{
    return soup_websocket_connection_get_state(client->connection) == SOUP_WEBSOCKET_STATE_OPEN;
}

static void quit(Client *client, int result)
{
    client->result = result;
    g_main_loop_quit(client->loop);
}

/* Takes the error over. */
static void fail(Client *client, GError *error)
{
    if (client->error)
        g_error_free(error);
    else
        client->error = error;
    quit(client, -1);
}

static GError *transfer_error(const char *doing, int failure)
{
    gboolean full = failure == ENOSPC || failure == EDQUOT;
    return stead_error_new(full ? STEAD_ERROR_EXHAUSTED : STEAD_ERROR_INTERNAL, NULL, "%s: %s",
                           doing, g_strerror(failure));
}

static void send_text(Client *client, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void send_text(Client *client, const char *format, ...)
{
    if (!is_open(client))
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    soup_websocket_connection_send_text(client->connection, text);
}

/* ---- input ---- */

static gboolean on_input(int fd, GIOCondition condition, gpointer data);

static void read_input(Client *client)
{
    gboolean room = client->sent - client->acknowledged + CHUNK <= client->window;
    if (client->input || client->eof || client->ended || !client->started || !room ||
        client->options->input < 0)
        return;
    client->input =
        g_unix_fd_add(client->options->input, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, client);
}

static void end_input(Client *client)
{
    client->eof = TRUE;
    send_text(client, "{\"eof\":true}");
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
    Client *client = data;
    guint8 frame[1 + CHUNK];
    gssize n = read(fd, frame + 1, CHUNK);
    int failure = errno;
    if (n < 0 && (failure == EAGAIN || failure == EINTR))
        return G_SOURCE_CONTINUE;
    client->input = 0;
    if (n > 0 && is_open(client)) {
        frame[0] = TO_GUEST;
        soup_websocket_connection_send_binary(client->connection, frame, (gsize)n + 1);
        client->sent += (gsize)n;
        if (client->options->moved)
            client->options->moved(client->sent, client->options->data);
        read_input(client);
    } else if (n == 0 || failure == EIO) { /* a terminal that has hung up */
        end_input(client);
    } else if (n < 0) {
        fail(client, transfer_error("reading the input", failure));
    }
    return G_SOURCE_REMOVE;
}

/* ---- output ---- */

static void end_if_written(Client *client)
{
    if (client->ended && stead_outlet_is_empty(client->outlets[OUT]) &&
        stead_outlet_is_empty(client->outlets[ERR]))
        g_main_loop_quit(client->loop);
}

static void on_written(gssize n, gpointer data)
{
    Client *client = data;
    if (n == -EPIPE) {
        quit(client, DEATH(SIGPIPE)); /* as it would have ended us */
        return;
    }
    if (n < 0) {
        fail(client, transfer_error("writing the output", (int)-n));
        return;
    }
    client->written += (gsize)n;
    if (client->options->moved && client->options->input < 0)
        client->options->moved(client->written, client->options->data);
    if (client->written - client->told >= TELL_AT) {
        client->told = client->written;
        send_text(client, "{\"taken\":%" G_GUINT64_FORMAT "}", client->written);
    }
    end_if_written(client);
}

/* ---- what the daemon says ---- */

static void send_size(Client *client)
{
    guint rows, columns;
    if (client->options->raw && stead_terminal_size(client->options->input, &rows, &columns))
        send_text(client, "{\"resize\":[%u,%u]}", rows, columns);
}

static void take_started(Client *client, JsonNode *frame)
{
    GError *error = NULL;
    const SteadStreamClientOptions *options = client->options;
    client->started = TRUE;
    client->window = (guint64)MAX(stead_json_integer(frame, "window", 0), CHUNK);
    gboolean begun = options->started == NULL ||
                     options->started(stead_json_member(frame, "file"), options->data, &error);
    if (begun && (!options->raw || stead_terminal_raw(options->input, FALSE, &error)))
        read_input(client);
    else
        fail(client, error);
}

static void take_text(Client *client, JsonNode *frame)
{
    JsonNode *error = stead_json_member(frame, "error");
    if (error) {
        int code = stead_error_code_from_name(stead_json_text(error, "code"));
        const char *message = stead_json_text(error, "message");
        client->error = stead_error_new(code < 0 ? STEAD_ERROR_INTERNAL : (SteadErrorCode)code,
                                        stead_json_text(error, "hint"), "%s",
                                        message ? message : "the daemon reports an error");
        client->result = -1;
        client->ended = TRUE;
    } else if (stead_json_flag(frame, "started")) {
        take_started(client, frame);
    } else if (stead_json_member(frame, "taken")) {
        client->acknowledged = MIN((guint64)stead_json_integer(frame, "taken", 0), client->sent);
        read_input(client);
    } else if (stead_json_member(frame, "exit-code")) {
        client->result = (int)CLAMP(stead_json_integer(frame, "exit-code", 0), 0, 255);
        client->ended = TRUE;
    }
    end_if_written(client);
}

static void on_message(SoupWebsocketConnection *connection, SoupWebsocketDataType type,
                       GBytes *message, gpointer data)
{
    Client *client = data;
    gsize n;
    const char *bytes = g_bytes_get_data(message, &n);
    if (type == SOUP_WEBSOCKET_DATA_BINARY) {
        if (n > 1 && (bytes[0] == OUT || bytes[0] == ERR))
            stead_outlet_write(client->outlets[(int)bytes[0]], bytes + 1, n - 1);
        return;
    }
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root = json_parser_load_from_data(parser, bytes, (gssize)n, NULL)
                         ? json_parser_get_root(parser)
                         : NULL;
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        take_text(client, root);
}

static void on_closed(SoupWebsocketConnection *connection, gpointer data)
{
    Client *client = data;
    if (!client->ended)
        fail(client,
             stead_error_new(STEAD_ERROR_UNAVAILABLE, "What it began in the guest has been ended.",
                             "the connection to the daemon broke"));
}

/* ---- signals ---- */

static gboolean on_signal(Client *client, int number)
{
    gboolean pass = client->options->pass_signals && client->started && !client->warned;
    client->warned = TRUE;
    if (pass)
        send_text(client, "{\"signal\":%d}", number);
    else
        quit(client, DEATH(number));
    return G_SOURCE_CONTINUE;
}

static gboolean on_interrupt(gpointer data)
{
    return on_signal(data, SIGINT);
}

static gboolean on_terminate(gpointer data)
{
    return on_signal(data, SIGTERM);
}

static gboolean on_hang_up(gpointer data)
{
    quit(data, DEATH(SIGHUP));
    return G_SOURCE_CONTINUE;
}

static gboolean on_window_change(gpointer data)
{
    send_size(data);
    return G_SOURCE_CONTINUE;
}

static gboolean on_timeout(gpointer data)
{
    fail(data,
         stead_error_new(STEAD_ERROR_TIMEOUT, NULL, "the command did not end in the time allowed"));
    return G_SOURCE_CONTINUE;
}

/* ---- the whole ---- */

static void on_connected(GObject *session, GAsyncResult *result, gpointer data)
{
    Client *client = data;
    client->connection =
        soup_session_websocket_connect_finish(SOUP_SESSION(session), result, &client->error);
    if (client->error && client->error->domain == SOUP_WEBSOCKET_ERROR) {
        g_clear_error(&client->error);
        client->error = stead_error_new(STEAD_ERROR_UNSUPPORTED,
                                        "Are the daemon and stead of the same version?",
                                        "the daemon offers no stream at %s", client->options->path);
    }
    g_main_loop_quit(client->loop);
}

static gboolean connect_to_daemon(Client *client, SoupSession *session)
{
    g_autofree char *address = g_strconcat("http://stead", client->options->path, NULL);
    g_autoptr(SoupMessage) message = soup_message_new("GET", address);
    soup_session_websocket_connect_async(session, message, NULL, NULL, G_PRIORITY_DEFAULT, NULL,
                                         on_connected, client);
    g_main_loop_run(client->loop);
    return client->connection != NULL;
}

static void run(Client *client)
{
    guint64 timeout = MIN(client->options->timeout_ms, G_MAXUINT);
    guint sources[] = {
        g_unix_signal_add(SIGINT, on_interrupt, client),
        g_unix_signal_add(SIGTERM, on_terminate, client),
        g_unix_signal_add(SIGHUP, on_hang_up, client),
        g_unix_signal_add(SIGWINCH, on_window_change, client),
        timeout ? g_timeout_add((guint)timeout, on_timeout, client) : 0,
    };
    g_signal_connect(client->connection, "message", G_CALLBACK(on_message), client);
    g_signal_connect(client->connection, "closed", G_CALLBACK(on_closed), client);
    g_autofree char *request = json_to_string(client->options->request, FALSE);
    soup_websocket_connection_send_text(client->connection, request);
    g_main_loop_run(client->loop);
    stead_terminal_restore();
    g_signal_handlers_disconnect_by_data(client->connection, client);
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++)
        if (sources[i])
            g_source_remove(sources[i]);
    g_clear_handle_id(&client->input, g_source_remove);
}

int stead_stream_client(SoupSession *session, const SteadStreamClientOptions *options,
                        GError **error)
{
    Client client = {.options = options, .loop = g_main_loop_new(NULL, FALSE), .result = -1};
    client.outlets[OUT] = stead_outlet_new(options->output, on_written, &client);
    client.outlets[ERR] = stead_outlet_new(options->errors, on_written, &client);
    if (connect_to_daemon(&client, session)) {
        run(&client);
        g_object_unref(client.connection);
    }
    stead_outlet_free(client.outlets[OUT]);
    stead_outlet_free(client.outlets[ERR]);
    g_main_loop_unref(client.loop);
    if (client.error)
        g_propagate_error(error, client.error);
    return client.result;
}
