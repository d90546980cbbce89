/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A detached process: one that belongs to no daemon. It is started in a session of its own, and
 * found again through a record file by whichever daemon comes next.
 *
 * All functions block, for at most STEAD_DETACHED_WAIT_MS each time that a process is waited for.
 */
#pragma once

#include <glib.h>

#define STEAD_DETACHED_WAIT_MS 5000

/* Called between fork and exec, as the last thing: only what is async-signal-safe. FALSE ends the
 * process with exit code 127. */
typedef gboolean (*SteadDetachedFunc)(gpointer data);

typedef struct {
    const char *record;      /* file that names the process; its folder exists */
    const char *const *argv; /* argv[0] is an absolute path */
    const char *ready;       /* it is up when it writes this to its standard error; NULL: at once */
    const char *log;         /* gets its standard error, where `ready` is NULL; NULL: dropped */
    const int *fds;          /* become 3, 4, ...; all stay the caller's */
    gsize n_fds;
    SteadDetachedFunc setup; /* NULL */
    gpointer data;
} SteadDetachedOptions;

/*
 * Starts it. The record is written before the program runs, so no daemon that dies meanwhile leaves
 * a process that its successor cannot find. On failure nothing runs, there is no record, and the
 * error is INTERNAL with the program's last line.
 */
gboolean stead_detached_start(const SteadDetachedOptions *options, GError **error);

/* Whether the process of the record runs, and was started with this argv (NULL: with any). FALSE
 * without an error when it does not; with one when nobody can tell. */
gboolean stead_detached_is_running(const char *record, const char *const argv[], GError **error);

/* The pid of the process of the record, 0 when it does not run; and a pidfd for it, which the
 * caller closes: it is readable once the process has ended. -1 when it does not run. An error is
 * set where nobody can tell. */
int stead_detached_pid(const char *record, GError **error);
int stead_detached_open(const char *record, GError **error);

/* Ends exactly the process of the record and what it forked, by SIGTERM and then SIGKILL (at once
 * with `kill_at_once`), waits until all of them are gone, and removes the record. Success when
 * there is none, or it is gone. */
gboolean stead_detached_end(const char *record, gboolean kill_at_once, GError **error);
