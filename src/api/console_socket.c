/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's WebSocket.
 *
 * libsoup queues what is sent without limit and does not say when it was written. But it writes
 * from a source of default priority that fires while the stream is writable, so a source on the
 * same stream with a lower priority fires only when the queue is empty and there is room for more.
 * That source ("drained") paces everything: one chunk of output is under way at a time, and while
 * it is, the subscription sleeps. So a client that does not read costs one chunk.
 *
 * Answers are not paced, as they are caused by what the client sends; a client that causes many and
 * reads none is cut off.
 */
#include "api/console_socket.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/error.h"
#include "console/input.h"

#define DRAINED_PRIORITY (G_PRIORITY_DEFAULT + 1)
#define KEEPALIVE_SECONDS 30
#define RESIZE_PAUSE_MS 200
#define TAIL_MAX 1000000

typedef struct {
    SoupWebsocketConnection *connection;
    SteadConsole *console;
    SteadConsoleSocketOptions options;
    guint reader;
    guint writer; /* 0: reads only */
    GSource *drained;
    guint unread; /* answers since it was drained */
    guint64 written;
    guint64 told_written;
    gboolean told_full;
    guint rows, columns; /* as last asked for */
    guint resize;        /* the pause after one */
    gboolean resize_due;
} Session;

static guint n_sessions;

gboolean stead_console_from_parse(const char *text, SteadConsoleFrom *from, GError **error)
{
    static const struct {
        const char *name;
        SteadConsoleOrigin origin;
    } names[] = {
        {"now", STEAD_CONSOLE_NOW}, {"start", STEAD_CONSOLE_START}, {"boot", STEAD_CONSOLE_BOOT}};
    *from = (SteadConsoleFrom){STEAD_CONSOLE_NOW, 0};
    if (text == NULL)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            from->origin = names[i].origin;
            return TRUE;
        }
    }
    from->origin = STEAD_CONSOLE_TAIL;
    if (g_str_has_prefix(text, "tail:") &&
        g_ascii_string_to_unsigned(text + strlen("tail:"), 10, 0, TAIL_MAX, &from->n, NULL))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, "Use start, boot, now or tail:N.",
                    "'%.32s' is no place in a console's log", text);
    return FALSE;
}

static void session_free(Session *session)
{
    g_signal_handlers_disconnect_by_data(session->connection, session);
    stead_console_unsubscribe(session->console, session->reader);
    stead_console_release_writer(session->console, session->writer);
    if (session->drained)
        g_source_destroy(session->drained);
    g_clear_pointer(&session->drained, g_source_unref);
    g_clear_handle_id(&session->resize, g_source_remove);
    if (session->options.resize_free)
        session->options.resize_free(session->options.resize_data);
    stead_console_unref(session->console);
    g_object_unref(session->connection);
    g_free(session);
    n_sessions--;
}

static gboolean is_open(const Session *session)
{
    return soup_websocket_connection_get_state(session->connection) == SOUP_WEBSOCKET_STATE_OPEN;
}

static void answer(Session *session, JsonBuilder *builder);

static void answer_number(Session *session, const char *name, guint64 value)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, (gint64)value);
    json_builder_end_object(builder);
    answer(session, builder);
}

static gboolean on_drained(GObject *stream, gpointer data)
{
    Session *session = data;
    g_clear_pointer(&session->drained, g_source_unref);
    session->unread = 0;
    if (session->written != session->told_written) {
        session->told_written = session->written;
        answer_number(session, "written", session->written);
    }
    stead_console_resume(session->console, session->reader);
    return G_SOURCE_REMOVE;
}

/* Calls on_drained() when all that was sent is written. */
static void await_drained(Session *session)
{
    if (session->drained || !is_open(session))
        return;
    GIOStream *stream = soup_websocket_connection_get_io_stream(session->connection);
    GPollableOutputStream *out = G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(stream));
    session->drained = g_pollable_output_stream_create_source(out, NULL);
    g_source_set_priority(session->drained, DRAINED_PRIORITY);
    g_source_set_callback(session->drained, G_SOURCE_FUNC(on_drained), session, NULL);
    g_source_attach(session->drained, g_main_context_get_thread_default());
}

static void answer(Session *session, JsonBuilder *builder)
{
    if (!is_open(session))
        return;
    if (++session->unread > STEAD_CONSOLE_UNREAD_MAX) {
        soup_websocket_connection_close(session->connection, SOUP_WEBSOCKET_CLOSE_POLICY_VIOLATION,
                                        "answers are not read");
        return;
    }
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = json_to_string(root, FALSE);
    soup_websocket_connection_send_text(session->connection, text);
    await_drained(session);
}

static void answer_writer(Session *session)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "writer");
    json_builder_add_boolean_value(builder, session->writer != 0);
    json_builder_end_object(builder);
    answer(session, builder);
}

static void add_text(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void answer_error(Session *session, const GError *error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "error");
    json_builder_begin_object(builder);
    add_text(builder, "code", stead_error_code_name(stead_error_code(error)));
    add_text(builder, "message", error->message);
    if (stead_error_hint(error))
        add_text(builder, "hint", stead_error_hint(error));
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    answer(session, builder);
}

static gboolean on_bytes(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    Session *session = data;
    if (n == 0 || !is_open(session))
        return TRUE;
    soup_websocket_connection_send_binary(session->connection, bytes, n);
    await_drained(session);
    return FALSE;
}

static void on_ended(gpointer data)
{
    Session *session = data;
    session->reader = 0;
    if (is_open(session))
        soup_websocket_connection_close(session->connection, SOUP_WEBSOCKET_CLOSE_NORMAL,
                                        "the console has ended");
}

static const SteadConsoleReader reader = {.bytes = on_bytes, .ended = on_ended};

static void on_lost(gpointer data)
{
    Session *session = data;
    session->writer = 0;
    answer_writer(session);
}

static void on_taken(gsize taken, gpointer data)
{
    Session *session = data;
    session->written += taken;
    session->told_full = FALSE;
    await_drained(session);
}

static const SteadConsoleWriter writer = {.lost = on_lost, .taken = on_taken};

static void take_input(Session *session, const void *bytes, gsize n)
{
    g_autoptr(GError) error = NULL;
    gssize taken = stead_console_write(session->console, session->writer, bytes, n, &error);
    if (taken >= 0 && (gsize)taken < n)
        stead_set_error(&error, STEAD_ERROR_EXHAUSTED, "Send less at once.",
                        "the guest does not read its input; the last %zu bytes were dropped",
                        n - (gsize)taken);
    if (error && !session->told_full)
        answer_error(session, error);
    session->told_full = error != NULL;
}

static gboolean on_resize_pause_over(gpointer data);

static void pass_size(Session *session)
{
    session->resize_due = FALSE;
    session->options.resize(session->rows, session->columns, session->options.resize_data);
    session->resize = g_timeout_add(RESIZE_PAUSE_MS, on_resize_pause_over, session);
}

static gboolean on_resize_pause_over(gpointer data)
{
    Session *session = data;
    session->resize = 0;
    if (session->resize_due)
        pass_size(session);
    return G_SOURCE_REMOVE;
}

static gboolean read_size(JsonArray *size, guint index, guint *value)
{
    JsonNode *node = json_array_get_element(size, index);
    gint64 n = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_int(node) : 0;
    *value = n >= 1 && n <= STEAD_CONSOLE_SIZE_MAX ? (guint)n : 0;
    return *value != 0;
}

static gboolean take_resize(Session *session, JsonNode *node)
{
    guint rows, columns;
    JsonArray *size = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    if (size == NULL || json_array_get_length(size) != 2 || !read_size(size, 0, &rows) ||
        !read_size(size, 1, &columns))
        return FALSE;
    if (session->writer == 0 || session->options.resize == NULL ||
        (rows == session->rows && columns == session->columns))
        return TRUE;
    session->rows = rows;
    session->columns = columns;
    if (session->resize == 0)
        pass_size(session);
    else
        session->resize_due = TRUE;
    return TRUE;
}

static void take_control(Session *session, const char *text, gsize n)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root = NULL;
    if (n <= STEAD_CONSOLE_CONTROL_MAX && json_parser_load_from_data(parser, text, (gssize)n, NULL))
        root = json_parser_get_root(parser);
    if (root && JSON_NODE_HOLDS_OBJECT(root) &&
        take_resize(session, json_object_get_member(json_node_get_object(root), "resize")))
        return;
    g_autoptr(GError) error =
        stead_error_new(STEAD_ERROR_INVALID, "Send {\"resize\": [rows, columns]}.",
                        "this text frame means nothing to a console");
    answer_error(session, error);
}

static void on_message(SoupWebsocketConnection *connection, SoupWebsocketDataType type,
                       GBytes *message, gpointer data)
{
    gsize n;
    const void *bytes = g_bytes_get_data(message, &n);
    if (!is_open(data))
        return;
    if (type == SOUP_WEBSOCKET_DATA_TEXT)
        take_control(data, bytes, n);
    else if (n > 0)
        take_input(data, bytes, n);
}

static void on_closed(SoupWebsocketConnection *connection, gpointer data)
{
    session_free(data);
}

static gboolean may_open(const SteadConsoleSocketOptions *options, GError **error)
{
    if (n_sessions < STEAD_CONSOLE_SOCKETS_MAX)
        return TRUE;
    if (options->resize_free)
        options->resize_free(options->resize_data);
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Detach from one that nobody looks at.",
                    "%d consoles are attached to already", STEAD_CONSOLE_SOCKETS_MAX);
    return FALSE;
}

gboolean stead_console_websocket(SoupWebsocketConnection *connection, SteadConsole *console,
                                 const SteadConsoleSocketOptions *options, GError **error)
{
    if (!may_open(options, error))
        return FALSE;
    Session *session = g_new0(Session, 1);
    n_sessions++;
    session->connection = g_object_ref(connection);
    session->console = stead_console_ref(console);
    session->options = *options;
    soup_websocket_connection_set_max_incoming_payload_size(connection, STEAD_CONSOLE_FRAME_MAX);
    soup_websocket_connection_set_keepalive_interval(connection, KEEPALIVE_SECONDS);
    g_signal_connect(connection, "message", G_CALLBACK(on_message), session);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), session);

    g_autoptr(GError) why = NULL;
    if (options->write)
        session->writer =
            stead_console_take_writer(console, options->force, &writer, session, &why);
    if (why)
        answer_error(session, why);
    answer_writer(session);
    g_clear_error(&why);
    session->reader = stead_console_subscribe(console, options->from, &reader, session, &why);
    if (session->reader == 0) {
        answer_error(session, why);
        soup_websocket_connection_close(connection, SOUP_WEBSOCKET_CLOSE_SERVER_ERROR, NULL);
    }
    return TRUE;
}
