/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running another program to its end. Blocking: call it from a job's thread, never from the main
 * loop. Arguments are an argv array; no shell is ever involved.
 */
#pragma once

#include <gio/gio.h>

/* What is kept of a program's standard error for the message of a failure, in bytes. */
#define STEAD_SUBPROCESS_STDERR_MAX 2048
/* The most that is kept of its standard output; more is an error (EXHAUSTED). */
#define STEAD_SUBPROCESS_STDOUT_MAX (16 * 1024 * 1024)

/* Called in the calling thread for each line of standard output, without its line end. */
typedef void (*SteadLineFunc)(const char *line, gpointer data);

typedef struct {
    const char *cwd; /* NULL: as the caller's */
    const char *const
        *env;              /* NULL: as the caller's; else NULL-terminated NAME=VALUE, added to it */
    const char *input;     /* NULL: /dev/null; else written to its standard input */
    SteadLineFunc on_line; /* NULL: standard output is collected instead */
    gpointer data;         /* for on_line and on_error_line */
    SteadLineFunc on_error_line; /* NULL, or called for each line of standard error too */
} SteadRunOptions;

/*
 * Runs argv (NULL-terminated, argv[0] looked for in PATH, /usr/sbin and /sbin) and waits for it.
 * Its standard output goes to *output (may be NULL; owned by the caller) unless options->on_line
 * is set. A descriptor other than the standard three is not inherited.
 *
 * Errors: MISSING when the program is not installed, with the package to install as the hint;
 * CANCELLED when cancellable was triggered (the program got SIGTERM, then SIGKILL 5 s later, and
 * was reaped); INTERNAL with the tail of its standard error when it exits non-zero.
 */
gboolean stead_run(const char *const argv[], const SteadRunOptions *options,
                   GCancellable *cancellable, char **output, GError **error);

/* Whether the program can be found; *path (may be NULL) is owned by the caller. */
gboolean stead_find_program(const char *name, char **path);

/* The Debian package that holds a program that stead uses ("qemu-img" → "qemu-utils"); NULL when
 * stead does not use it. */
const char *stead_program_package(const char *name);
