/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream to a guest: a command with its input and output, or a file on its way in or out.
 *
 *     user (the API, a job)  ── stead_stream_...() ──▶  stream  ◀── stead_stream_put_...() ──
 * driver
 *
 * What comes from the guest waits in the stream until the user takes it; the driver lets the guest
 * send more only when that was done. What goes to the guest is given to the driver at once, and
 * only as much as it has room for. So neither end ever waits for the other in a call, and a stream
 * holds at most STEAD_STREAM_WINDOW bytes each way, whatever the guest does.
 *
 * The user's functions are for one thread at a time, the driver's for any.
 */
#pragma once

#include <gio/gio.h>

#include "runtime/exec_result.h"

/* Bytes that a guest may have sent and nobody has taken yet; beyond that it has broken its word. */
#define STEAD_STREAM_WINDOW (64 * 1024)
/* Bytes that are taken at once, at most. */
#define STEAD_STREAM_TAKE_MAX (32 * 1024)

typedef enum { STEAD_STREAM_EXEC, STEAD_STREAM_PUT, STEAD_STREAM_GET } SteadStreamKind;

/* What is to be opened. Which members count is told by `kind`. */
typedef struct {
    SteadStreamKind kind;
    /* EXEC */
    GStrv command;     /* a program and its arguments; no shell */
    GStrv environment; /* NAME=value; NULL: none but what the guest's agent adds */
    char *user;        /* a name or number of the guest's; NULL: root */
    char *cwd;         /* NULL: the user's home */
    gboolean input;    /* what is written is its input; else it has none */
    gboolean terminal; /* it runs on a terminal: input, and one output */
    guint rows, columns;
    /* PUT, GET */
    char *path; /* in the guest, absolute */
    char *name; /* PUT: of the file, where the path is a folder; NULL: that is an error */
    guint mode; /* PUT: permissions */
} SteadStreamRequest;

SteadStreamRequest *stead_stream_request_new(SteadStreamKind kind);
void stead_stream_request_free(SteadStreamRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadStreamRequest, stead_stream_request_free)

/* What a GET has found. */
typedef struct {
    guint mode;    /* permissions */
    guint64 size;  /* when it was opened; the end tells the truth */
    guint64 mtime; /* seconds since 1970 */
} SteadStreamFile;

typedef enum {
    STEAD_STREAM_OUT,    /* bytes: standard output, all of a terminal, a file's content */
    STEAD_STREAM_ERR,    /* bytes: standard error */
    STEAD_STREAM_ENDED,  /* the command has ended, the file is whole. The last */
    STEAD_STREAM_FAILED, /* `error`. The last */
} SteadStreamWhat;

typedef struct {
    SteadStreamWhat what;
    GBytes *bytes;
    int exit_code; /* of an EXEC; 128 + n when signal n ended it */
    GError *error;
} SteadStreamEvent;

void stead_stream_event_free(SteadStreamEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadStreamEvent, stead_stream_event_free)

typedef struct _SteadStream SteadStream;

/* ---- the user's end ---- */

/* Ends what goes on, in the guest too: a command gets SIGHUP, a file that is not whole is removed.
 * NULL is fine. */
void stead_stream_free(SteadStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadStream, stead_stream_free)

const SteadStreamFile *stead_stream_file(const SteadStream *stream);

/* Calls func(data) on the default main context whenever there may be something to take, or room;
 * the first time soon. NULL as func ends that. For the main loop. */
void stead_stream_watch(SteadStream *stream, GSourceFunc func, gpointer data);

/* What came next, owned by the caller; NULL when there is nothing now. */
SteadStreamEvent *stead_stream_take(SteadStream *stream);
/* Waits until there is something to take, or room to write where `for_room`. FALSE with TIMEOUT at
 * the deadline (monotonic, microseconds), or CANCELLED. */
gboolean stead_stream_wait(SteadStream *stream, gboolean for_room, gint64 deadline,
                           GCancellable *cancellable, GError **error);

/* Gives the guest as much of the bytes as there is room for; how many those were. What comes after
 * the end of the other side is taken, and lost. */
gsize stead_stream_write(SteadStream *stream, const void *bytes, gsize n);
/* Nothing more will be written: the end of a command's input, or of a file that is whole now. */
void stead_stream_end_input(SteadStream *stream);
void stead_stream_resize(SteadStream *stream, guint rows, guint columns);
void stead_stream_signal(SteadStream *stream, int number);

/* What is kept of a command's output by the following, of both streams together. */
#define STEAD_STREAM_COLLECT_MAX (16 * 1024 * 1024)

/* Runs an EXEC to its end with `input` (NULL: none), and keeps its output; what is too much of it
 * is dropped. Takes the stream over. See SteadDriver's exec for the result. */
SteadExecResult *stead_stream_collect(SteadStream *stream, const char *input, gint64 deadline,
                                      GCancellable *cancellable, GError **error);

/* ---- the driver's end ---- */

/* All are called by the user's thread, with nothing locked, and with the driver's `data`. */
typedef struct {
    void (*send)(gpointer data, const void *bytes, gsize n); /* within the room that was given */
    void (*end_input)(gpointer data);
    void (*resize)(gpointer data, guint rows, guint columns);
    void (*signal)(gpointer data, int number);
    void (*taken)(gpointer data, gsize n); /* so many bytes of output are gone */
    /* The last one. The driver lets go of the stream, and frees `data`. */
    void (*close)(gpointer data);
} SteadStreamFuncs;

/* Owned by the caller, who gives it to its user. `funcs` is static. */
SteadStream *stead_stream_new(const SteadStreamFuncs *funcs, gpointer data);

/* It has begun; `file` is of a GET, else NULL. */
void stead_stream_put_started(SteadStream *stream, const SteadStreamFile *file);
/* FALSE when it is more than the window: nothing was kept, and the driver is to fail it. */
gboolean stead_stream_put_bytes(SteadStream *stream, SteadStreamWhat what, const void *bytes,
                                gsize n);
/* So many bytes more may be written, up to the window. */
void stead_stream_put_room(SteadStream *stream, gsize n);
/* Its end; what follows an end is dropped. The error is taken over. */
void stead_stream_put_ended(SteadStream *stream, int exit_code);
void stead_stream_put_failed(SteadStream *stream, GError *error);

/* Waits until it has begun; FALSE with the reason when it has failed instead, TIMEOUT, CANCELLED.
 */
gboolean stead_stream_await_started(SteadStream *stream, gint64 deadline, GCancellable *cancellable,
                                    GError **error);
