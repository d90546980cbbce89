/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console.
 *
 * The log file is the ring: what a reader has not read lies there, and when virtlogd rotates it
 * away under a reader that sleeps, the reader leaps forward. inotify says that there is more; then
 * the pump, a source that exists only while somebody is behind, gives each reader in turn one
 * chunk, so that one who replays megabytes does not hold up one who watches live.
 *
 * The first reader of all is the scribe, which is built in: it looks at what is new for line
 * beginnings and notes the time. Upon opening, what was logged while no daemon looked gets the
 * time of the log's last change, marked as guessed.
 *
 * Readers that leave while the pump is at work are only marked; the pump sweeps them up.
 */
#include "console/console.h"

#include <string.h>

#include "base/error.h"
#include "console/input.h"
#include "console/listen.h"
#include "console/watch.h"

/* After whoever sends what the pump hands out, so that they are not swamped. */
#define PUMP_PRIORITY (G_PRIORITY_DEFAULT + 10)

typedef struct {
    guint id; /* 0: left, to be swept up */
    guint64 position;
    const SteadConsoleReader *reader;
    gpointer data;
    gboolean paused;
    gboolean told_end;
} Reader;

struct _SteadConsole {
    guint references;
    SteadLog *log;
    SteadTimes *times; /* NULL: none kept */
    char *times_path;
    guint64 scribe;    /* the scribe's position */
    gboolean in_line;  /* the byte before it was no line feed */
    guint64 boot;      /* where there is no time index to keep it */
    SteadWatch *watch; /* NULL: closed */
    SteadListener *listener;
    GPtrArray *readers; /* Reader */
    guint next_id;
    guint pump;
    gboolean pumping;
    gboolean again;     /* a callback of the pump made work for it */
    gboolean lingering; /* closed, and kept by itself until the last reader was served */
    char *input_path;
    SteadInput *input; /* while there is a writer */
    guint writer_id;   /* 0: no writer */
    const SteadConsoleWriter *writer;
    gpointer writer_data;
};

static gboolean on_pump(gpointer data);

static void start_pump(SteadConsole *console)
{
    console->again = TRUE;
    if (console->pump == 0)
        console->pump = g_idle_add_full(PUMP_PRIORITY, on_pump, console, NULL);
}

static void store_mark(SteadConsole *console)
{
    SteadLogMark mark;
    stead_log_get_mark(console->log, &mark);
    mark.end = MAX(mark.base, MIN(mark.end, console->scribe));
    if (console->times)
        stead_times_set_mark(console->times, &mark, NULL);
}

static void refresh(SteadConsole *console)
{
    if (stead_log_refresh(console->log) && console->watch) /* closed: the next one keeps it */
        store_mark(console);
}

static void on_change(gpointer data)
{
    refresh(data);
    start_pump(data);
}

/* Notes when the first line beginning among the bytes was seen. */
static void note_lines(SteadConsole *console, const char *bytes, gsize n, guint64 position)
{
    guint64 start = position;
    if (console->in_line) {
        const char *line_end = memchr(bytes, '\n', n);
        if (line_end == NULL)
            return;
        console->in_line = FALSE;
        start += (guint64)(line_end - bytes) + 1;
    }
    if (start < position + n) {
        stead_times_add(console->times, start, g_get_real_time(), FALSE,
                        stead_log_start(console->log), NULL);
        console->in_line = bytes[n - 1] != '\n';
    }
}

/* TRUE when there is more for the scribe. */
static gboolean scribe(SteadConsole *console, char *chunk)
{
    guint64 position = console->scribe;
    gsize n = stead_log_read(console->log, &position, chunk, STEAD_CONSOLE_CHUNK);
    if (n == 0)
        return FALSE;
    console->scribe = position + n;
    note_lines(console, chunk, n, position);
    if (console->scribe < stead_log_end(console->log))
        return TRUE;
    store_mark(console);
    return FALSE;
}

static void end_reader(Reader *reader)
{
    reader->id = 0;
    if (reader->reader->ended)
        reader->reader->ended(reader->data);
}

/* One chunk for one reader; TRUE when there is more for it. */
static gboolean serve(SteadConsole *console, Reader *reader, char *chunk)
{
    if (reader->id == 0 || reader->paused)
        return FALSE;
    gsize n = stead_log_read(console->log, &reader->position, chunk, STEAD_CONSOLE_CHUNK);
    guint64 position = reader->position;
    if (n > 0) {
        reader->position += n;
        reader->told_end = FALSE;
    } else if (reader->told_end && console->watch == NULL) {
        end_reader(reader);
        return FALSE;
    } else if (reader->told_end) {
        return FALSE;
    } else {
        reader->told_end = TRUE;
    }
    reader->paused = !reader->reader->bytes((const guint8 *)chunk, n, position, reader->data);
    return reader->id != 0 && !reader->paused;
}

static void sweep(SteadConsole *console)
{
    for (guint i = console->readers->len; i > 0; i--)
        if (((Reader *)console->readers->pdata[i - 1])->id == 0)
            g_ptr_array_remove_index(console->readers, i - 1);
    if (console->lingering && console->readers->len == 0) {
        console->lingering = FALSE;
        stead_console_unref(console);
    }
}

static gboolean on_pump(gpointer data)
{
    g_autoptr(SteadConsole) console = stead_console_ref(data);
    char chunk[STEAD_CONSOLE_CHUNK];
    console->again = console->times && console->watch && scribe(console, chunk);
    console->pumping = TRUE;
    for (guint i = 0; i < console->readers->len; i++)
        if (serve(console, console->readers->pdata[i], chunk))
            console->again = TRUE;
    console->pumping = FALSE;
    sweep(console);
    if (console->again)
        return G_SOURCE_CONTINUE;
    console->pump = 0;
    return G_SOURCE_REMOVE;
}

/* Takes up where the last daemon stopped. */
static void adopt(SteadConsole *console)
{
    guint64 seen = stead_times_mark(console->times)->end, end = stead_log_end(console->log);
    char last = '\n';
    if (end > seen && stead_log_modified(console->log) > 0)
        stead_times_add(console->times, seen, stead_log_modified(console->log), TRUE,
                        stead_log_start(console->log), NULL);
    guint64 at = end - 1;
    if (end > stead_log_start(console->log))
        stead_log_read(console->log, &at, &last, 1);
    console->scribe = end;
    console->in_line = last != '\n';
    if (end > seen)
        store_mark(console);
}

SteadConsole *stead_console_open(const SteadConsoleOptions *options, GError **error)
{
    g_autoptr(SteadConsole) console = g_new0(SteadConsole, 1);
    console->references = 1;
    console->readers = g_ptr_array_new_with_free_func(g_free);
    console->input_path = g_strdup(options->input_path);
    console->times_path = g_strdup(options->times_path);
    if (options->times_path)
        console->times = stead_times_new(options->times_path);
    console->log =
        stead_log_new(options->log_path, console->times ? stead_times_mark(console->times) : NULL);
    if (console->times)
        adopt(console);
    console->watch = stead_watch_new(options->log_path, on_change, console);
    if (options->listen_path) {
        console->listener = stead_listener_new(options->listen_path, console, error);
        if (console->listener == NULL)
            return NULL;
    }
    return g_steal_pointer(&console);
}

SteadConsole *stead_console_ref(SteadConsole *console)
{
    console->references++;
    return console;
}

static void drop_writer(SteadConsole *console, gboolean tell)
{
    if (console->writer_id == 0)
        return;
    const SteadConsoleWriter *writer = console->writer;
    gpointer data = console->writer_data;
    console->writer_id = 0;
    g_clear_pointer(&console->input, stead_input_free);
    if (tell && writer->lost)
        writer->lost(data);
}

static void stop(SteadConsole *console)
{
    if (console->times && console->watch)
        store_mark(console);
    g_clear_pointer(&console->watch, stead_watch_free);
    g_clear_pointer(&console->listener, stead_listener_free);
}

void stead_console_unref(SteadConsole *console)
{
    if (console == NULL || --console->references > 0)
        return;
    stop(console);
    drop_writer(console, FALSE);
    g_clear_handle_id(&console->pump, g_source_remove);
    g_ptr_array_unref(console->readers);
    stead_log_free(console->log);
    stead_times_free(console->times);
    g_free(console->input_path);
    g_free(console->times_path);
    g_free(console);
}

void stead_console_close(SteadConsole *closing)
{
    g_autoptr(SteadConsole) console = stead_console_ref(closing);
    if (console->watch == NULL)
        return;
    refresh(console);
    char chunk[STEAD_CONSOLE_CHUNK];
    while (console->times && scribe(console, chunk))
        ;
    stop(console);
    drop_writer(console, TRUE);
    if (console->readers->len == 0)
        return;
    console->lingering = TRUE;
    stead_console_ref(console);
    start_pump(console);
}

void stead_console_mark_boot(SteadConsole *console)
{
    refresh(console);
    console->boot = stead_log_end(console->log);
    if (console->times)
        stead_times_set_boot(console->times, console->boot, NULL);
}

guint64 stead_console_start(SteadConsole *console)
{
    refresh(console);
    return stead_log_start(console->log);
}

guint64 stead_console_end(SteadConsole *console)
{
    refresh(console);
    return stead_log_end(console->log);
}

guint64 stead_console_boot(SteadConsole *console)
{
    guint64 boot = console->times ? stead_times_boot(console->times) : console->boot;
    return MIN(boot, stead_log_end(console->log));
}

const char *stead_console_times_path(const SteadConsole *console)
{
    return console->times_path;
}

static guint64 resolve(SteadConsole *console, SteadConsoleFrom from)
{
    guint64 start = stead_log_start(console->log), end = stead_log_end(console->log);
    guint lines = (guint)MIN(from.n, G_MAXUINT);
    switch (from.origin) {
    case STEAD_CONSOLE_START:
        return start;
    case STEAD_CONSOLE_BOOT:
        return MAX(start, stead_console_boot(console));
    case STEAD_CONSOLE_TAIL:
        return stead_log_tail(console->log, lines);
    case STEAD_CONSOLE_BOOT_TAIL:
        return MAX(stead_console_boot(console), stead_log_tail(console->log, lines));
    case STEAD_CONSOLE_POSITION:
        return MIN(from.n, end);
    case STEAD_CONSOLE_LAST:
        return end - MIN(from.n, end - start);
    default:
        return end;
    }
}

static guint new_id(SteadConsole *console)
{
    if (++console->next_id == 0)
        console->next_id = 1;
    return console->next_id;
}

guint stead_console_subscribe(SteadConsole *console, SteadConsoleFrom from,
                              const SteadConsoleReader *reader, gpointer data, GError **error)
{
    if (console->readers->len >= STEAD_CONSOLE_READERS_MAX) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Close one of them.",
                        "the console has %d readers already", STEAD_CONSOLE_READERS_MAX);
        return 0;
    }
    refresh(console);
    Reader *entry = g_new0(Reader, 1);
    *entry = (Reader){
        .id = new_id(console), .reader = reader, .data = data, .position = resolve(console, from)};
    g_ptr_array_add(console->readers, entry);
    start_pump(console);
    return entry->id;
}

static Reader *find_reader(SteadConsole *console, guint id)
{
    for (guint i = 0; id != 0 && i < console->readers->len; i++)
        if (((Reader *)console->readers->pdata[i])->id == id)
            return console->readers->pdata[i];
    return NULL;
}

void stead_console_unsubscribe(SteadConsole *console, guint id)
{
    Reader *reader = find_reader(console, id);
    if (reader == NULL)
        return;
    reader->id = 0;
    if (!console->pumping)
        sweep(console);
}

void stead_console_resume(SteadConsole *console, guint id)
{
    Reader *reader = find_reader(console, id);
    if (reader == NULL || !reader->paused)
        return;
    reader->paused = FALSE;
    start_pump(console);
}

static void on_taken(gsize taken, gpointer data)
{
    SteadConsole *console = data;
    if (console->writer_id != 0 && console->writer->taken)
        console->writer->taken(taken, console->writer_data);
}

guint stead_console_take_writer(SteadConsole *console, gboolean force,
                                const SteadConsoleWriter *writer, gpointer data, GError **error)
{
    if (console->input_path == NULL || console->watch == NULL) {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, NULL, "this console takes no input");
        return 0;
    }
    if (console->writer_id != 0 && !force) {
        stead_set_error(error, STEAD_ERROR_BUSY,
                        "Watch with --read-only, or take the console over with --force.",
                        "somebody else is writing on this console");
        return 0;
    }
    drop_writer(console, TRUE);
    console->writer_id = new_id(console);
    console->writer = writer;
    console->writer_data = data;
    console->input = stead_input_new(console->input_path, on_taken, console);
    return console->writer_id;
}

void stead_console_release_writer(SteadConsole *console, guint id)
{
    if (id != 0 && id == console->writer_id)
        drop_writer(console, FALSE);
}

gssize stead_console_write(SteadConsole *console, guint id, const void *bytes, gsize n,
                           GError **error)
{
    if (id == 0 || id != console->writer_id) {
        stead_set_error(error, STEAD_ERROR_DENIED, "Take the console over with --force.",
                        "not the writer of this console");
        return -1;
    }
    return stead_input_write(console->input, bytes, n, error);
}

gsize stead_console_room(SteadConsole *console)
{
    return console->input ? STEAD_INPUT_MAX - stead_input_pending(console->input) : 0;
}
