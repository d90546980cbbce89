/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsoup queues what is sent without limit, and reads what comes without being asked, so both
 * directions are paced by counts: output is taken from the stream as far as the client has taken
 * what it was sent, and input is kept for the guest within a window that the client has to respect.
 * So a slow client holds up its own command, and a guest that does not read its own client.
 *
 * Nothing is said before the client's first frame: until then it may not listen yet.
 *
 * A session goes when its connection is closed; while its stream is still being opened, which
 * cannot be waited for here, it goes when that is done.
 */
#include "api/stream_socket.h"

#include <string.h>

#include "api/request.h"
#include "api/sockets.h"
#include "base/error.h"

#define KEEPALIVE_SECONDS 30
/* Counts are told when they have grown by so much. */
#define TELL_AT (STEAD_STREAM_SOCKET_WINDOW / 4)
/* Text frames after the first one. */
#define CONTROL_MAX 4096
#define SIZE_MAX_CELLS 4095
#define SIGNAL_MAX 64

enum { TO_GUEST, OUT, ERR };

typedef struct {
    SoupWebsocketConnection *connection; /* NULL: closed */
    SteadEngine *engine;
    char *name;             /* of the instance */
    SteadStreamParse parse; /* NULL: the first frame was there */
    gboolean is_get;
    gboolean counted;
    SteadJob *job; /* while the stream is opened */
    SteadStream *stream;
    GByteArray *input; /* for the guest, and not taken by it yet */
    gboolean eof;
    guint64 taken, told_taken;
    guint64 sent, acknowledged;
} Session;

static guint n_sessions;

static void session_free(Session *session)
{
    stead_stream_free(session->stream);
    g_byte_array_unref(session->input);
    n_sessions -= session->counted;
    g_free(session->name);
    g_free(session);
}

static gboolean is_open(const Session *session)
{
    return session->connection &&
           soup_websocket_connection_get_state(session->connection) == SOUP_WEBSOCKET_STATE_OPEN;
}

/* ---- to the client ---- */

static void send_object(Session *session, JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    g_autofree char *text = json_to_string(node, FALSE);
    soup_websocket_connection_send_text(session->connection, text);
}

static void send_number(Session *session, const char *name, guint64 value)
{
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, name, (gint64)value);
    send_object(session, object);
}

/* What goes on in the guest ends at once, and not when the client has answered. */
static void hang_up(Session *session, gushort code, const char *why)
{
    if (is_open(session))
        soup_websocket_connection_close(session->connection, code, why);
    g_clear_pointer(&session->stream, stead_stream_free);
    if (session->job)
        stead_job_cancel(session->job);
}

static void fail(Session *session, const GError *error)
{
    if (!is_open(session))
        return;
    stead_socket_send_error(session->connection, error);
    hang_up(session, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
}

static void send_started(Session *session, const SteadStreamFile *file)
{
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "started", TRUE);
    json_object_set_int_member(object, "window", STEAD_STREAM_SOCKET_WINDOW);
    if (file) {
        JsonObject *about = json_object_new();
        json_object_set_int_member(about, "mode", file->mode);
        json_object_set_int_member(about, "size", (gint64)MIN(file->size, G_MAXINT64));
        json_object_set_int_member(about, "mtime", (gint64)MIN(file->mtime, G_MAXINT64));
        json_object_set_object_member(object, "file", about);
    }
    send_object(session, object);
}

static void send_bytes(Session *session, guint8 stream, GBytes *bytes)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(bytes, &n);
    g_autofree guint8 *frame = g_malloc(n + 1);
    frame[0] = stream;
    memcpy(frame + 1, data, n);
    soup_websocket_connection_send_binary(session->connection, frame, n + 1);
    session->sent += n;
}

static void send_event(Session *session, const SteadStreamEvent *event)
{
    switch (event->what) {
    case STEAD_STREAM_OUT:
        send_bytes(session, OUT, event->bytes);
        return;
    case STEAD_STREAM_ERR:
        send_bytes(session, ERR, event->bytes);
        return;
    case STEAD_STREAM_ENDED:
        send_number(session, "exit-code", (guint64)event->exit_code);
        hang_up(session, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
        return;
    case STEAD_STREAM_FAILED:
        fail(session, event->error);
        return;
    }
}

static void move_output(Session *session)
{
    while (is_open(session) && session->sent - session->acknowledged + STEAD_STREAM_TAKE_MAX <=
                                   STEAD_STREAM_SOCKET_WINDOW) {
        g_autoptr(SteadStreamEvent) event = stead_stream_take(session->stream);
        if (event == NULL)
            return;
        send_event(session, event);
    }
}

/* ---- to the guest ---- */

static void move_input(Session *session)
{
    if (session->input->len > 0) {
        gsize n = stead_stream_write(session->stream, session->input->data, session->input->len);
        g_byte_array_remove_range(session->input, 0, (guint)n);
        session->taken += n;
    }
    if (session->eof && session->input->len == 0)
        stead_stream_end_input(session->stream);
    if (session->taken - session->told_taken < TELL_AT || !is_open(session))
        return;
    session->told_taken = session->taken;
    send_number(session, "taken", session->taken);
}

static gboolean on_stream(gpointer data)
{
    move_input(data);
    move_output(data);
    return G_SOURCE_CONTINUE;
}

static void on_opened(SteadStream *stream, const GError *error, gpointer data)
{
    Session *session = data;
    session->job = NULL;
    if (!is_open(session)) {
        stead_stream_free(stream);
        if (session->connection == NULL)
            session_free(session);
        return;
    }
    if (stream == NULL) {
        fail(session, error);
        return;
    }
    session->stream = stream;
    send_started(session, session->is_get ? stead_stream_file(stream) : NULL);
    stead_stream_watch(stream, on_stream, session);
}

/* ---- from the client ---- */

static void take_bytes(Session *session, const guint8 *bytes, gsize n)
{
    if (n == 0 || bytes[0] != TO_GUEST || session->eof) {
        hang_up(session, SOUP_WEBSOCKET_CLOSE_POLICY_VIOLATION, "not a stream to the guest");
        return;
    }
    if (session->input->len + n - 1 > STEAD_STREAM_SOCKET_WINDOW) {
        hang_up(session, SOUP_WEBSOCKET_CLOSE_POLICY_VIOLATION, "more than the window");
        return;
    }
    g_byte_array_append(session->input, bytes + 1, (guint)(n - 1));
    if (session->stream)
        move_input(session);
}

static gboolean read_number(JsonNode *node, gint64 max, gint64 *value)
{
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
        return FALSE;
    *value = json_node_get_int(node);
    return *value >= 0 && *value <= max;
}

static gboolean take_eof(Session *session, JsonNode *value)
{
    session->eof = TRUE;
    if (session->stream)
        move_input(session);
    return TRUE;
}

static gboolean take_resize(Session *session, JsonNode *value)
{
    gint64 rows, columns;
    JsonArray *size = JSON_NODE_HOLDS_ARRAY(value) ? json_node_get_array(value) : NULL;
    if (size == NULL || json_array_get_length(size) != 2 ||
        !read_number(json_array_get_element(size, 0), SIZE_MAX_CELLS, &rows) ||
        !read_number(json_array_get_element(size, 1), SIZE_MAX_CELLS, &columns))
        return FALSE;
    if (session->stream)
        stead_stream_resize(session->stream, (guint)rows, (guint)columns);
    return TRUE;
}

static gboolean take_signal(Session *session, JsonNode *value)
{
    gint64 number;
    if (!read_number(value, SIGNAL_MAX, &number) || number == 0)
        return FALSE;
    if (session->stream)
        stead_stream_signal(session->stream, (int)number);
    return TRUE;
}

static gboolean take_taken(Session *session, JsonNode *value)
{
    gint64 taken;
    if (!read_number(value, G_MAXINT64, &taken) || (guint64)taken > session->sent)
        return FALSE;
    session->acknowledged = MAX(session->acknowledged, (guint64)taken);
    if (session->stream)
        move_output(session);
    return TRUE;
}

static gboolean take_control(Session *session, JsonNode *frame)
{
    static const struct {
        const char *name;
        gboolean (*take)(Session *session, JsonNode *value);
    } controls[] = {
        {"eof", take_eof}, {"resize", take_resize}, {"signal", take_signal}, {"taken", take_taken}};
    for (gsize i = 0; i < G_N_ELEMENTS(controls); i++) {
        JsonNode *value = json_object_get_member(json_node_get_object(frame), controls[i].name);
        if (value)
            return controls[i].take(session, value);
    }
    return FALSE;
}

static gboolean count(Session *session, GError **error)
{
    if (n_sessions >= STEAD_STREAM_SOCKETS_MAX) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL,
                        "%d commands and copies are under way already", STEAD_STREAM_SOCKETS_MAX);
        return FALSE;
    }
    session->counted = TRUE;
    n_sessions++;
    return TRUE;
}

static void open_stream(Session *session, JsonNode *frame)
{
    g_autoptr(GError) error = NULL;
    SteadStreamParse parse = session->parse;
    session->parse = NULL;
    SteadInstance *instance = count(session, &error)
                                  ? stead_engine_instance(session->engine, session->name, &error)
                                  : NULL;
    SteadStreamRequest *request = instance ? parse(frame, &error) : NULL;
    if (request) {
        session->is_get = request->kind == STEAD_STREAM_GET;
        session->job =
            stead_engine_stream(session->engine, instance->id, request, on_opened, session, &error);
    }
    if (session->job == NULL)
        fail(session, error);
}

static void take_text(Session *session, const char *text, gsize n)
{
    g_autoptr(JsonNode) frame = NULL;
    g_autoptr(GError) error = NULL;
    gboolean first = session->parse != NULL;
    if (first || n <= CONTROL_MAX)
        stead_body_parse(text, n, &frame, &error);
    if (first && frame)
        open_stream(session, frame);
    else if (first && error)
        fail(session, error);
    else if (frame == NULL || !take_control(session, frame))
        hang_up(session, SOUP_WEBSOCKET_CLOSE_POLICY_VIOLATION, "this frame means nothing");
}

static void on_message(SoupWebsocketConnection *connection, SoupWebsocketDataType type,
                       GBytes *message, gpointer data)
{
    gsize n;
    const void *bytes = g_bytes_get_data(message, &n);
    if (!is_open(data))
        return;
    if (type == SOUP_WEBSOCKET_DATA_TEXT)
        take_text(data, bytes, n);
    else
        take_bytes(data, bytes, n);
}

static void on_closed(SoupWebsocketConnection *connection, gpointer data)
{
    Session *session = data;
    g_signal_handlers_disconnect_by_data(connection, session);
    g_clear_object(&session->connection);
    if (session->job)
        stead_job_cancel(session->job); /* on_opened() frees it */
    else
        session_free(session);
}

void stead_stream_websocket(SteadEngine *engine, SoupWebsocketConnection *connection,
                            const char *name, SteadStreamParse parse)
{
    Session *session = g_new0(Session, 1);
    session->connection = g_object_ref(connection);
    session->engine = engine;
    session->name = g_strdup(name);
    session->parse = parse;
    session->input = g_byte_array_new();
    soup_websocket_connection_set_max_incoming_payload_size(connection, STEAD_STREAM_FRAME_MAX);
    soup_websocket_connection_set_keepalive_interval(connection, KEEPALIVE_SECONDS);
    g_signal_connect(connection, "message", G_CALLBACK(on_message), session);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), session);
}
