/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming a log.
 *
 * The console hands out a chunk, it is turned into text, becomes one HTTP chunk, and the
 * subscription sleeps until that was written. So a stream costs one chunk, however long the log and
 * however slow the client.
 *
 * Time stamps belong to lines as the guest ended them. One such line may become several when it is
 * cleaned (overwriting becomes a line of its own); all of them get its time.
 */
#include "api/console_logs.h"

#include <string.h>

#include "api/leaving.h"
#include "base/error.h"
#include "console/clean.h"

typedef struct {
    SoupServerMessage *message;
    SteadConsole *console;
    SteadConsoleLogsOptions options;
    guint reader;
    SteadClean clean;
    SteadTimesCursor *times; /* NULL: no time stamps */
    guint64 expected;        /* the position of the next byte, if none is lost */
    guint64 line;            /* the position at which the guest's present line began */
    gboolean line_begins;    /* the next byte of text begins a line */
    GSource *leaving;        /* NULL: not watched */
} Stream;

static gboolean flag(GHashTable *query, const char *name)
{
    const char *value = query ? g_hash_table_lookup(query, name) : NULL;
    return value &&
           (strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "") == 0);
}

gboolean stead_console_logs_parse(GHashTable *query, SteadConsoleLogsOptions *options,
                                  GError **error)
{
    *options = (SteadConsoleLogsOptions){
        .follow = flag(query, "follow"),
        .timestamps = flag(query, "timestamps"),
        .boot = flag(query, "boot"),
        .raw = flag(query, "raw"),
    };
    const char *tail = query ? g_hash_table_lookup(query, "tail") : NULL;
    guint64 n = 0;
    if (tail == NULL)
        return TRUE;
    if (!g_ascii_string_to_unsigned(tail, 10, 0, G_MAXUINT, &n, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Give the number of lines, as in tail=100.",
                        "tail '%.32s' is no number", tail);
        return FALSE;
    }
    options->has_tail = TRUE;
    options->tail = (guint)n;
    return TRUE;
}

static void stream_free(Stream *stream)
{
    stead_leaving_clear(&stream->leaving);
    stead_console_unsubscribe(stream->console, stream->reader);
    g_signal_handlers_disconnect_by_data(stream->message, stream);
    stead_times_cursor_free(stream->times);
    stead_console_unref(stream->console);
    g_object_unref(stream->message);
    g_free(stream);
}

static void add_time(Stream *stream, GString *out)
{
    gint64 time;
    gboolean guessed;
    if (!stead_times_cursor_at(stream->times, stream->line, &time, &guessed)) {
        g_string_append(out, "- ");
        return;
    }
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(time / G_USEC_PER_SEC);
    g_autofree char *text = date ? g_date_time_format(date, "%Y-%m-%dT%H:%M:%S") : NULL;
    g_string_append_printf(out, "%s.%03dZ%s ", text ? text : "?",
                           (int)(time % G_USEC_PER_SEC / 1000), guessed ? "~" : "");
}

/* Puts the time in front of each line of the text. */
static void add_lines(Stream *stream, const char *text, gsize n, GString *out)
{
    while (n > 0) {
        const char *line_end = memchr(text, '\n', n);
        gsize length = line_end ? (gsize)(line_end - text) + 1 : n;
        if (stream->line_begins)
            add_time(stream, out);
        g_string_append_len(out, text, (gssize)length);
        stream->line_begins = line_end != NULL;
        text += length;
        n -= length;
    }
}

static void add_piece(Stream *stream, const guint8 *bytes, gsize n, GString *out)
{
    g_autoptr(GString) text = g_string_sized_new(n);
    if (stream->options.raw)
        g_string_append_len(text, (const char *)bytes, (gssize)n);
    else
        stead_clean_feed(&stream->clean, bytes, n, text);
    if (stream->times)
        add_lines(stream, text->str, text->len, out);
    else
        g_string_append_len(out, text->str, (gssize)text->len);
}

static void render(Stream *stream, const guint8 *bytes, gsize n, guint64 position, GString *out)
{
    if (position != stream->expected) {
        stream->line = position;
        if (!stream->line_begins)
            g_string_append_c(out, '\n');
        stream->line_begins = TRUE;
    }
    stream->expected = position + n;
    if (stream->times == NULL) {
        add_piece(stream, bytes, n, out);
        return;
    }
    for (gsize at = 0; at < n;) {
        const guint8 *line_end = memchr(bytes + at, '\n', n - at);
        gsize length = line_end ? (gsize)(line_end - bytes) + 1 - at : n - at;
        add_piece(stream, bytes + at, length, out);
        at += length;
        if (line_end)
            stream->line = position + at;
    }
}

static void finish(Stream *stream)
{
    stead_console_unsubscribe(stream->console, stream->reader);
    stream->reader = 0;
    soup_message_body_complete(soup_server_message_get_response_body(stream->message));
    soup_server_message_unpause(stream->message);
}

static gboolean on_bytes(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    Stream *stream = data;
    if (n == 0) {
        if (!stream->options.follow)
            finish(stream);
        return TRUE;
    }
    g_autoptr(GString) out = g_string_sized_new(n);
    render(stream, bytes, n, position, out);
    if (out->len == 0)
        return TRUE;
    g_autoptr(GBytes) chunk = g_string_free_to_bytes(g_steal_pointer(&out));
    soup_message_body_append_bytes(soup_server_message_get_response_body(stream->message), chunk);
    soup_server_message_unpause(stream->message);
    return FALSE;
}

static void on_ended(gpointer data)
{
    Stream *stream = data;
    stream->reader = 0;
    finish(stream);
}

static const SteadConsoleReader reader = {.bytes = on_bytes, .ended = on_ended};

static void on_wrote_chunk(SoupServerMessage *message, gpointer data)
{
    Stream *stream = data;
    stead_console_resume(stream->console, stream->reader);
}

static void on_finished(SoupServerMessage *message, gpointer data)
{
    stream_free(data);
}

static void on_left(gpointer data)
{
    finish(data);
}

static SteadConsoleFrom origin_of(SteadConsole *console, const SteadConsoleLogsOptions *options)
{
    SteadConsoleFrom from = {options->boot ? STEAD_CONSOLE_BOOT : STEAD_CONSOLE_START, 0};
    if (options->has_tail && options->boot)
        return (SteadConsoleFrom){STEAD_CONSOLE_BOOT_TAIL, options->tail};
    if (options->has_tail)
        return (SteadConsoleFrom){STEAD_CONSOLE_TAIL, options->tail};
    return from;
}

gboolean stead_console_stream_logs(SoupServerMessage *message, SteadConsole *console,
                                   const SteadConsoleLogsOptions *options, GError **error)
{
    Stream *stream = g_new0(Stream, 1);
    stream->message = g_object_ref(message);
    stream->console = stead_console_ref(console);
    stream->options = *options;
    stream->line_begins = TRUE;
    stead_clean_init(&stream->clean, STEAD_CLEAN_COLOURS);
    stream->reader =
        stead_console_subscribe(console, origin_of(console, options), &reader, stream, error);
    if (stream->reader == 0) {
        stream_free(stream);
        return FALSE;
    }
    if (options->timestamps && stead_console_times_path(console))
        stream->times = stead_times_cursor_new(stead_console_times_path(console));
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(message);
    soup_server_message_set_status(message, SOUP_STATUS_OK, NULL);
    soup_message_headers_set_encoding(headers, SOUP_ENCODING_CHUNKED);
    soup_message_headers_replace(headers, "Content-Type", "text/plain; charset=utf-8");
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
    soup_message_body_set_accumulate(soup_server_message_get_response_body(message), FALSE);
    g_signal_connect(message, "wrote-chunk", G_CALLBACK(on_wrote_chunk), stream);
    g_signal_connect(message, "finished", G_CALLBACK(on_finished), stream);
    g_signal_connect(message, "disconnected", G_CALLBACK(on_finished), stream);
    if (options->follow)
        stream->leaving = stead_leaving_watch(message, on_left, stream);
    /* Not paused: the headers go out now, and libsoup itself pauses until there is a chunk. Who
     * follows a silent console knows by them that the stream stands. */
    return TRUE;
}
