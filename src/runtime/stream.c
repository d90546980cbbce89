/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came, a count of what may go, and two ways to be told of either: a condition for threads, a
 * source for the main loop. The driver is never called while the lock is held, since it calls with
 * locks of its own.
 *
 * Output lies in one array of bytes, and one of runs that are of the same stream, so that a guest
 * that sends its bytes one by one takes not much more memory than others.
 */
#include "runtime/stream.h"

#include "base/error.h"

/* Bytes of one stream, one after the other. */
typedef struct {
    SteadStreamWhat what;
    guint n;
} Run;

struct _SteadStream {
    const SteadStreamFuncs *funcs;
    gpointer data;
    gboolean input_ended; /* the user's thread alone */
    GMutex lock;          /* of what follows */
    GCond changed;
    GByteArray *bytes;
    GArray *runs;      /* Run */
    guint begin, next; /* the first byte, and run, that was not taken */
    gsize room;
    gboolean started;
    gboolean ended;         /* there was a last event */
    SteadStreamEvent *last; /* until it is taken */
    SteadStreamFile file;
    GSource *watch; /* NULL: none */
};

SteadStreamRequest *stead_stream_request_new(SteadStreamKind kind)
{
    SteadStreamRequest *request = g_new0(SteadStreamRequest, 1);
    request->kind = kind;
    return request;
}

void stead_stream_request_free(SteadStreamRequest *request)
{
    if (request == NULL)
        return;
    g_strfreev(request->command);
    g_strfreev(request->environment);
    g_free(request->user);
    g_free(request->cwd);
    g_free(request->path);
    g_free(request->name);
    g_free(request);
}

void stead_stream_event_free(SteadStreamEvent *event)
{
    if (event == NULL)
        return;
    g_clear_pointer(&event->bytes, g_bytes_unref);
    g_clear_error(&event->error);
    g_free(event);
}

SteadStream *stead_stream_new(const SteadStreamFuncs *funcs, gpointer data)
{
    SteadStream *stream = g_new0(SteadStream, 1);
    stream->funcs = funcs;
    stream->data = data;
    stream->bytes = g_byte_array_new();
    stream->runs = g_array_new(FALSE, FALSE, sizeof(Run));
    g_mutex_init(&stream->lock);
    g_cond_init(&stream->changed);
    return stream;
}

void stead_stream_free(SteadStream *stream)
{
    if (stream == NULL)
        return;
    stead_stream_watch(stream, NULL, NULL);
    stream->funcs->close(stream->data);
    g_byte_array_unref(stream->bytes);
    g_array_unref(stream->runs);
    stead_stream_event_free(stream->last);
    g_mutex_clear(&stream->lock);
    g_cond_clear(&stream->changed);
    g_free(stream);
}

const SteadStreamFile *stead_stream_file(const SteadStream *stream)
{
    return &stream->file;
}

/* ---- being told ---- */

/* (lock held) */
static void tell(SteadStream *stream)
{
    g_cond_broadcast(&stream->changed);
    if (stream->watch)
        g_source_set_ready_time(stream->watch, 0);
}

static gboolean dispatch(GSource *source, GSourceFunc func, gpointer data)
{
    g_source_set_ready_time(source, -1);
    return func(data);
}

void stead_stream_watch(SteadStream *stream, GSourceFunc func, gpointer data)
{
    static GSourceFuncs funcs = {.dispatch = dispatch};
    g_mutex_lock(&stream->lock);
    GSource *old = g_steal_pointer(&stream->watch);
    if (func) {
        stream->watch = g_source_new(&funcs, sizeof(GSource));
        g_source_set_callback(stream->watch, func, data, NULL);
        g_source_set_ready_time(stream->watch, 0);
        g_source_attach(stream->watch, NULL);
    }
    g_mutex_unlock(&stream->lock);
    if (old) {
        g_source_destroy(old);
        g_source_unref(old);
    }
}

static void wake(GCancellable *cancellable, gpointer data)
{
    SteadStream *stream = data;
    g_mutex_lock(&stream->lock);
    g_cond_broadcast(&stream->changed);
    g_mutex_unlock(&stream->lock);
}

/* FALSE, with the reason, when there is nothing more to wait for. (lock held) */
static gboolean wait_more(SteadStream *stream, gint64 deadline, GCancellable *cancellable,
                          GError **error)
{
    if (g_cancellable_is_cancelled(cancellable)) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
        return FALSE;
    }
    if (g_cond_wait_until(&stream->changed, &stream->lock, deadline) ||
        g_get_monotonic_time() < deadline)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL,
                    "the command did not end in the time allowed");
    return FALSE;
}

static gboolean is_empty(const SteadStream *stream)
{
    return stream->next == stream->runs->len && stream->last == NULL;
}

typedef enum { FOR_EVENTS, FOR_START, FOR_ROOM } Wait;

static gboolean is_over(const SteadStream *stream, Wait wait)
{
    if (!is_empty(stream))
        return TRUE;
    return wait == FOR_START ? stream->started : wait == FOR_ROOM && stream->room > 0;
}

static gboolean await(SteadStream *stream, Wait wait, gint64 deadline, GCancellable *cancellable,
                      GError **error)
{
    gboolean more = TRUE;
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), stream, NULL) : 0;
    g_mutex_lock(&stream->lock);
    while (more && !is_over(stream, wait))
        more = wait_more(stream, deadline, cancellable, error);
    g_mutex_unlock(&stream->lock);
    g_cancellable_disconnect(cancellable, handler);
    return more;
}

gboolean stead_stream_wait(SteadStream *stream, gboolean for_room, gint64 deadline,
                           GCancellable *cancellable, GError **error)
{
    return await(stream, for_room ? FOR_ROOM : FOR_EVENTS, deadline, cancellable, error);
}

/* ---- the user's end ---- */

static SteadStreamEvent *event_new(SteadStreamWhat what)
{
    SteadStreamEvent *event = g_new0(SteadStreamEvent, 1);
    event->what = what;
    return event;
}

/* NULL when there is no run left. (lock held) */
static SteadStreamEvent *take_run(SteadStream *stream)
{
    if (stream->next == stream->runs->len)
        return NULL;
    const Run *run = &g_array_index(stream->runs, Run, stream->next);
    SteadStreamEvent *event = event_new(run->what);
    event->bytes = g_bytes_new(stream->bytes->data + stream->begin, run->n);
    stream->begin += run->n;
    stream->next++;
    if (stream->next == stream->runs->len) {
        stream->begin = stream->next = 0;
        g_byte_array_set_size(stream->bytes, 0);
        g_array_set_size(stream->runs, 0);
    }
    return event;
}

SteadStreamEvent *stead_stream_take(SteadStream *stream)
{
    g_mutex_lock(&stream->lock);
    SteadStreamEvent *event = take_run(stream);
    if (event == NULL)
        event = g_steal_pointer(&stream->last);
    g_mutex_unlock(&stream->lock);
    if (event && event->bytes)
        stream->funcs->taken(stream->data, g_bytes_get_size(event->bytes));
    return event;
}

gboolean stead_stream_await_started(SteadStream *stream, gint64 deadline, GCancellable *cancellable,
                                    GError **error)
{
    if (!await(stream, FOR_START, deadline, cancellable, error))
        return FALSE;
    g_mutex_lock(&stream->lock);
    gboolean started = stream->started;
    g_mutex_unlock(&stream->lock);
    g_autoptr(SteadStreamEvent) event = started ? NULL : stead_stream_take(stream);
    if (event && event->error)
        g_propagate_error(error, g_steal_pointer(&event->error));
    else if (!started)
        stead_set_error(error, STEAD_ERROR_GUEST, NULL, "it ended before it had begun");
    return started;
}

gsize stead_stream_write(SteadStream *stream, const void *bytes, gsize n)
{
    g_mutex_lock(&stream->lock);
    gboolean ended = stream->ended;
    gsize part = MIN(n, stream->room);
    stream->room -= part;
    g_mutex_unlock(&stream->lock);
    if (ended || stream->input_ended)
        return n;
    if (part > 0)
        stream->funcs->send(stream->data, bytes, part);
    return part;
}

void stead_stream_end_input(SteadStream *stream)
{
    if (!stream->input_ended)
        stream->funcs->end_input(stream->data);
    stream->input_ended = TRUE;
}

void stead_stream_resize(SteadStream *stream, guint rows, guint columns)
{
    stream->funcs->resize(stream->data, rows, columns);
}

void stead_stream_signal(SteadStream *stream, int number)
{
    stream->funcs->signal(stream->data, number);
}

/* ---- the driver's end ---- */

void stead_stream_put_started(SteadStream *stream, const SteadStreamFile *file)
{
    g_mutex_lock(&stream->lock);
    if (file && !stream->started)
        stream->file = *file;
    stream->started = TRUE;
    tell(stream);
    g_mutex_unlock(&stream->lock);
}

/* Keeps what was not taken yet together, at the front. (lock held) */
static void compact(SteadStream *stream)
{
    g_byte_array_remove_range(stream->bytes, 0, stream->begin);
    g_array_remove_range(stream->runs, 0, stream->next);
    stream->begin = stream->next = 0;
}

/* (lock held) */
static void add(SteadStream *stream, SteadStreamWhat what, const void *bytes, guint n)
{
    if (stream->begin > STEAD_STREAM_WINDOW)
        compact(stream);
    g_byte_array_append(stream->bytes, bytes, n);
    Run *tail = stream->runs->len > stream->next
                    ? &g_array_index(stream->runs, Run, stream->runs->len - 1)
                    : NULL;
    Run run = {what, n};
    if (tail && tail->what == what && tail->n + n <= STEAD_STREAM_TAKE_MAX)
        tail->n += n;
    else
        g_array_append_val(stream->runs, run);
    tell(stream);
}

gboolean stead_stream_put_bytes(SteadStream *stream, SteadStreamWhat what, const void *bytes,
                                gsize n)
{
    g_mutex_lock(&stream->lock);
    gboolean fits = n > 0 && n <= STEAD_STREAM_WINDOW - (stream->bytes->len - stream->begin);
    if (fits && !stream->ended)
        add(stream, what, bytes, (guint)n);
    g_mutex_unlock(&stream->lock);
    return fits;
}

void stead_stream_put_room(SteadStream *stream, gsize n)
{
    g_mutex_lock(&stream->lock);
    stream->room = MIN(stream->room + n, STEAD_STREAM_WINDOW);
    tell(stream);
    g_mutex_unlock(&stream->lock);
}

/* Takes the event over. */
static void put_last(SteadStream *stream, SteadStreamEvent *event)
{
    g_mutex_lock(&stream->lock);
    if (stream->ended) {
        stead_stream_event_free(event);
    } else {
        stream->ended = TRUE;
        stream->last = event;
        tell(stream);
    }
    g_mutex_unlock(&stream->lock);
}

void stead_stream_put_ended(SteadStream *stream, int exit_code)
{
    SteadStreamEvent *event = event_new(STEAD_STREAM_ENDED);
    event->exit_code = exit_code;
    put_last(stream, event);
}

void stead_stream_put_failed(SteadStream *stream, GError *error)
{
    SteadStreamEvent *event = event_new(STEAD_STREAM_FAILED);
    event->error = error;
    put_last(stream, event);
}
