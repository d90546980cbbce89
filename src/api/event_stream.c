/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/events: the stored events as an array, or with `follow` a stream in the format of
 * server-sent events (WHATWG HTML, section 9.2) that begins with the stored ones and goes on.
 *
 * A reader that does not read is dropped once MAX_BACKLOG bytes wait for it; it can come back with
 * the number of the last event that it saw.
 */
#include "api/handlers.h"

#include <string.h>

#include "api/leaving.h"
#include "base/error.h"

#define MAX_BACKLOG (1024 * 1024)
#define HEARTBEAT_SECONDS 15
/* Streams at a time; one more is refused. */
#define MAX_STREAMS 64

typedef struct {
    SteadEvents *events;
    SoupServerMessage *message;
    guint subscription;
    guint heartbeat;
    GSource *leaving;
    gsize stored;  /* bytes of stored events not written yet */
    gsize backlog; /* bytes of later ones */
} Stream;

static guint n_streams;

static void close_stream(Stream *stream)
{
    stead_events_unsubscribe(stream->events, stream->subscription);
    g_source_remove(stream->heartbeat);
    stead_leaving_clear(&stream->leaving);
    g_signal_handlers_disconnect_by_data(stream->message, stream);
    g_object_unref(stream->message);
    g_free(stream);
    n_streams--;
}

static void on_gone(SoupServerMessage *message, gpointer data)
{
    close_stream(data);
}

static void on_wrote(SoupServerMessage *message, guint bytes, gpointer data)
{
    Stream *stream = data;
    gsize old = MIN(stream->stored, bytes);
    stream->stored -= old;
    stream->backlog -= MIN(stream->backlog, bytes - old);
}

static void end_stream(gpointer data)
{
    Stream *stream = data;
    SoupServerMessage *message = g_object_ref(stream->message);
    close_stream(stream);
    soup_message_body_complete(soup_server_message_get_response_body(message));
    soup_server_message_unpause(message);
    g_object_unref(message);
}

/* The connection goes, too: what waits for the reader would stay as long as it does. */
static void drop_slow_reader(Stream *stream)
{
    GSocket *socket = soup_server_message_get_socket(stream->message);
    if (socket)
        g_socket_shutdown(socket, TRUE, TRUE, NULL);
    end_stream(stream);
}

static void send(Stream *stream, char *text)
{
    gsize length = strlen(text);
    stream->backlog += length;
    soup_message_body_append(soup_server_message_get_response_body(stream->message),
                             SOUP_MEMORY_TAKE, text, length);
    if (stream->backlog > MAX_BACKLOG)
        drop_slow_reader(stream);
    else
        soup_server_message_unpause(stream->message);
}

static void send_event(const SteadEvent *event, gpointer data)
{
    send(data, g_strdup_printf("id: %" G_GUINT64_FORMAT "\nevent: %s\ndata: %s\n\n", event->seq,
                               event->type, event->json));
}

static gboolean send_heartbeat(gpointer data)
{
    send(data, g_strdup(":\n\n"));
    return G_SOURCE_CONTINUE;
}

static void append_event(const SteadEvent *event, gpointer data)
{
    g_string_append_printf(data, "id: %" G_GUINT64_FORMAT "\nevent: %s\ndata: %s\n\n", event->seq,
                           event->type, event->json);
}

static gboolean follow(SteadRequest *request, SteadReply *reply, gboolean replay, guint64 since,
                       GError **error)
{
    /* What is stored goes out as one piece: it is bounded, and no backlog of a slow reader. */
    g_autoptr(GString) stored = g_string_new(":\n\n");
    SteadEvents *events = stead_engine_events(request->engine);
    if (n_streams >= MAX_STREAMS) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, "End one of them.",
                        "%d event streams are open already", MAX_STREAMS);
        return FALSE;
    }
    if (replay && !stead_events_replay(events, since, append_event, stored, error))
        return FALSE;
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->message);
    SoupMessageBody *body = soup_server_message_get_response_body(request->message);
    soup_server_message_set_status(request->message, SOUP_STATUS_OK, NULL);
    soup_message_headers_set_encoding(headers, SOUP_ENCODING_CHUNKED);
    soup_message_headers_set_content_type(headers, "text/event-stream", NULL);
    soup_message_headers_append(headers, "Cache-Control", "no-store");
    soup_message_body_set_accumulate(body, FALSE);
    soup_message_body_append(body, SOUP_MEMORY_COPY, stored->str, stored->len);

    Stream *stream = g_new0(Stream, 1);
    n_streams++;
    stream->stored = stored->len;
    stream->events = events;
    stream->message = g_object_ref(request->message);
    stream->subscription = stead_events_subscribe(events, send_event, stream);
    stream->heartbeat = g_timeout_add_seconds(HEARTBEAT_SECONDS, send_heartbeat, stream);
    g_signal_connect(stream->message, "wrote-body-data", G_CALLBACK(on_wrote), stream);
    /* Which of the two comes depends on whose side ends; close_stream() disconnects both. */
    g_signal_connect(stream->message, "finished", G_CALLBACK(on_gone), stream);
    g_signal_connect(stream->message, "disconnected", G_CALLBACK(on_gone), stream);
    stream->leaving = stead_leaving_watch(stream->message, end_stream, stream);
    reply->taken = TRUE;
    return TRUE;
}

static void add_event(const SteadEvent *event, gpointer data)
{
    GString *text = data;
    g_string_append_printf(text, "%s%s", text->len > 1 ? "," : "", event->json);
}

STEAD_HANDLER(events)
{
    const char *text = stead_query_string(request, "since");
    guint64 since = 0;
    if (text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &since, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'since' must be the number of an event");
        return FALSE;
    }
    if (stead_query_flag(request, "follow"))
        return follow(request, reply, text != NULL, since, error);
    g_autoptr(GString) list = g_string_new("[");
    if (!stead_events_replay(stead_engine_events(request->engine), since, add_event, list, error))
        return FALSE;
    g_string_append_c(list, ']');
    reply->text = g_steal_pointer(&list);
    return TRUE;
}
