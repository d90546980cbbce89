/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One read is under way at a time; it holds a reference, so that closing while it is pending is
 * safe. A silent connection counts as lost, since the daemon sends heartbeats.
 */
#include "cli/events.h"

#include <string.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/sse.h"

#define READ_SIZE (64 * 1024)
#define RETRY_MS 500
/* The daemon sends a heartbeat each 15 s. */
#define SILENCE_SECONDS 50

struct _SteadEventStream {
    SteadClient *client;
    const SteadEventHandlers *handlers;
    gpointer data;
    char *since; /* the number after which a new connection goes on; NULL: none seen yet */
    GInputStream *input;
    GCancellable *cancellable;
    SteadSse *sse;
    gboolean closed;
    gint64 lost; /* monotonic; when the connection broke; 0: it has not */
    guint retry; /* source */
    char buffer[READ_SIZE];
};

static void release(gpointer data)
{
    SteadEventStream *stream = data;
    g_clear_object(&stream->input);
    g_clear_object(&stream->cancellable);
    stead_sse_free(stream->sse);
    g_free(stream->since);
}

static void unref(SteadEventStream *stream)
{
    g_rc_box_release_full(stream, release);
}

static void on_sse(guint64 id, const char *type, const char *text, gpointer data)
{
    SteadEventStream *stream = data;
    g_autoptr(JsonParser) parser = json_parser_new();
    if (stream->closed || !json_parser_load_from_data(parser, text, -1, NULL))
        return;
    if (id > 0) {
        g_free(stream->since);
        stream->since = g_strdup_printf("%" G_GUINT64_FORMAT, id);
    }
    stream->handlers->event(json_parser_get_root(parser), stream->data);
}

static void fail(SteadEventStream *stream, GError *error)
{
    if (!stream->closed)
        stream->handlers->failed(error, stream->data);
    else
        g_error_free(error);
}

static void read_more(SteadEventStream *stream);
static gboolean retry(gpointer data);

static void lose(SteadEventStream *stream)
{
    g_clear_object(&stream->input);
    stream->lost = g_get_monotonic_time();
    stream->retry = g_timeout_add(RETRY_MS, retry, stream);
}

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    SteadEventStream *stream = data;
    GError *error = NULL;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result, NULL);
    /* A read of a connection that was given up says nothing. */
    if (!stream->closed && stream->input == G_INPUT_STREAM(source)) {
        if (n <= 0)
            lose(stream);
        else if (!stead_sse_feed(stream->sse, stream->buffer, (gsize)n, &error))
            fail(stream, error);
        else if (!stream->closed)
            read_more(stream);
    }
    unref(stream);
}

static void read_more(SteadEventStream *stream)
{
    g_input_stream_read_async(stream->input, stream->buffer, sizeof stream->buffer,
                              G_PRIORITY_DEFAULT, stream->cancellable, on_read,
                              g_rc_box_acquire(stream));
}

static gboolean connect_stream(SteadEventStream *stream, GError **error)
{
    g_autofree char *path = g_strconcat("/v1/events?follow=1", stream->since ? "&since=" : "",
                                        stream->since ? stream->since : "", NULL);
    stream->input = stead_client_stream_async(stream->client, path, SILENCE_SECONDS, error);
    if (stream->input == NULL)
        return FALSE;
    stead_sse_free(stream->sse);
    stream->sse = stead_sse_new(on_sse, stream);
    stream->lost = 0;
    read_more(stream);
    return TRUE;
}

static gboolean retry(gpointer data)
{
    SteadEventStream *stream = g_rc_box_acquire(data);
    GError *error = NULL;
    gboolean again = FALSE;
    stream->retry = 0;
    /* Connecting runs the main context, within which the stream may be closed. */
    if (connect_stream(stream, &error)) {
        if (!stream->closed && stream->handlers->again != NULL)
            stream->handlers->again(stream->data);
    } else if (stream->closed) {
        g_clear_error(&error);
    } else if (g_get_monotonic_time() - stream->lost > STEAD_EVENTS_RECONNECT_MS * 1000LL) {
        fail(stream, error);
    } else {
        g_clear_error(&error);
        again = TRUE;
    }
    if (again)
        stream->retry = g_timeout_add(RETRY_MS, retry, stream);
    unref(stream);
    return G_SOURCE_REMOVE;
}

SteadEventStream *stead_event_stream_open(SteadClient *client, const char *since,
                                          const SteadEventHandlers *handlers, gpointer data,
                                          GError **error)
{
    SteadEventStream *stream = g_rc_box_new0(SteadEventStream);
    stream->client = client;
    stream->handlers = handlers;
    stream->data = data;
    stream->since = g_strdup(since);
    stream->cancellable = g_cancellable_new();
    if (connect_stream(stream, error))
        return stream;
    unref(stream);
    return NULL;
}

void stead_event_stream_renew(SteadEventStream *stream)
{
    if (stream->input == NULL)
        return;
    g_cancellable_cancel(stream->cancellable);
    g_object_unref(stream->cancellable);
    stream->cancellable = g_cancellable_new();
    lose(stream);
}

void stead_event_stream_close(SteadEventStream *stream)
{
    if (stream == NULL)
        return;
    stream->closed = TRUE;
    g_cancellable_cancel(stream->cancellable);
    g_clear_handle_id(&stream->retry, g_source_remove);
    unref(stream);
}
