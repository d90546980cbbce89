/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of one instance: the log that virtlogd writes, as a stream for any number of readers,
 * and the guest's serial port for one writer. Main loop only.
 *
 * Nothing is buffered here: a reader is a position in the log, so that one who is slow, or comes
 * late, costs no memory. An idle console costs less than 2 KiB and no file descriptor but that of
 * its listening socket.
 */
#pragma once

#include <glib.h>

#include "console/times.h"

typedef struct _SteadConsole SteadConsole;

typedef struct {
    const char *log_path;    /* virtlogd's file; its folder exists, it need not itself */
    const char *times_path;  /* the time index; NULL: none is kept */
    const char *input_path;  /* QEMU's character device socket; NULL: output only */
    const char *listen_path; /* Unix socket for other tools, made here; NULL: none */
} SteadConsoleOptions;

/* Bytes a reader gets at most in one call. */
#define STEAD_CONSOLE_CHUNK 16384
/* Readers of one console. */
#define STEAD_CONSOLE_READERS_MAX 64

/*
 * Opens the console, adopting what an earlier daemon knew of it. Only the listening socket can
 * fail. The caller owns one reference. A console may be open while its instance is stopped: then
 * there is the log, and input is UNAVAILABLE.
 */
SteadConsole *stead_console_open(const SteadConsoleOptions *options, GError **error);
SteadConsole *stead_console_ref(SteadConsole *console);
void stead_console_unref(SteadConsole *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadConsole, stead_console_unref)

/*
 * No more will come: each reader gets what it has not had yet, then its `ended`; the writer loses
 * the console, the socket is gone. The caller still has to drop its reference, and may do so at
 * once: the console stays until its readers were served. Idempotent.
 */
void stead_console_close(SteadConsole *console);

/* The next byte begins a new boot. To be called before the instance is started. */
void stead_console_mark_boot(SteadConsole *console);

/* Positions (console/log.h): of the first byte still there, after the last, of the boot. */
guint64 stead_console_start(SteadConsole *console);
guint64 stead_console_end(SteadConsole *console);
guint64 stead_console_boot(SteadConsole *console);

/* Owned by the console; NULL: it keeps none. For stead_times_cursor_new(). */
const char *stead_console_times_path(const SteadConsole *console);

typedef enum {
    STEAD_CONSOLE_START,     /* all that is there */
    STEAD_CONSOLE_BOOT,      /* since the present boot began */
    STEAD_CONSOLE_NOW,       /* what comes from now on */
    STEAD_CONSOLE_TAIL,      /* `n`: the last n lines */
    STEAD_CONSOLE_BOOT_TAIL, /* `n`: the last n lines of the present boot */
    STEAD_CONSOLE_POSITION,  /* `n`: from a position */
    STEAD_CONSOLE_LAST,      /* `n`: the last n bytes */
} SteadConsoleOrigin;

typedef struct {
    SteadConsoleOrigin origin;
    guint64 n;
} SteadConsoleFrom;

/* Callbacks come from the main loop, never from within the functions below. All may unsubscribe. */
typedef struct {
    /* n bytes that stand at `position` (which leaps forward where some were rotated away). n == 0:
     * the end was reached for now. FALSE: no more until stead_console_resume(). */
    gboolean (*bytes)(const guint8 *bytes, gsize n, guint64 position, gpointer data);
    /* The console was closed, and everything was delivered; the reader is gone. */
    void (*ended)(gpointer data);
} SteadConsoleReader;

/* The reader's id; 0 and EXHAUSTED when there are too many. `reader` is static. */
guint stead_console_subscribe(SteadConsole *console, SteadConsoleFrom from,
                              const SteadConsoleReader *reader, gpointer data, GError **error);
void stead_console_unsubscribe(SteadConsole *console, guint id);
void stead_console_resume(SteadConsole *console, guint id);

typedef struct {
    /* Somebody else took the console, or it was closed; the id is no longer valid. */
    void (*lost)(gpointer data);
    /* `taken` further bytes were handed to the guest, so that there is room again. */
    void (*taken)(gsize taken, gpointer data);
} SteadConsoleWriter;

/*
 * Takes the writer's place. Where it is taken: BUSY, unless `force`, which takes it away. The
 * writer's id, or 0 upon error (UNSUPPORTED for a console without input). `writer` is static.
 */
guint stead_console_take_writer(SteadConsole *console, gboolean force,
                                const SteadConsoleWriter *writer, gpointer data, GError **error);
void stead_console_release_writer(SteadConsole *console, guint id);

/* Sends to the guest; how many bytes were taken. Fewer than n, when those that wait for the guest
 * reach STEAD_INPUT_MAX. -1 upon error: see stead_input_write(); DENIED: not the writer. */
gssize stead_console_write(SteadConsole *console, guint id, const void *bytes, gsize n,
                           GError **error);

/* How many bytes stead_console_write() would take now; 0: there is no writer. */
gsize stead_console_room(SteadConsole *console);
