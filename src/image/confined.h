/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a program on data that nobody vouches for: as an unprivileged user where the caller is
 * root, with limits, unable to gain privileges, reaching its files by descriptors that it is given
 * and not by names. It dies with the thread that runs it.
 */
#pragma once

#include <gio/gio.h>

/* The user that such a program runs as; "nobody" of every Debian. */
#define STEAD_CONFINED_ID 65534
/* Its limits; a lower limit of the caller's own stays. */
#define STEAD_CONFINED_MEMORY (G_GUINT64_CONSTANT(4) << 30)
#define STEAD_CONFINED_CPU_SECONDS (2 * 3600)
#define STEAD_CONFINED_FILES 256
/* The first descriptor that it is given (fds[0]); the others follow. */
#define STEAD_CONFINED_FD 10

/* Called in the calling thread with what the program writes; FALSE with an error ends it. */
typedef gboolean (*SteadOutputFunc)(const guint8 *bytes, gsize n, gpointer data, GError **error);

typedef struct {
    const char *const *argv; /* argv[0] is looked for in PATH */
    int input;               /* becomes its standard input; -1: /dev/null */
    const int *fds;          /* become STEAD_CONFINED_FD, ...; all stay the caller's */
    gsize n_fds;
    guint64 memory;            /* bytes of address space; 0: STEAD_CONFINED_MEMORY */
    guint64 max_file;          /* bytes that a file it writes may have; 0: it writes none */
    SteadOutputFunc on_output; /* NULL: its output is discarded */
    gpointer data;
} SteadConfinedOptions;

/*
 * Runs it to its end. Errors: MISSING (not installed), CANCELLED, that of on_output, INVALID with
 * what it wrote to standard error when it fails (the data were not to its liking), EXHAUSTED when
 * that speaks of space, BUSY when it speaks of a lock.
 */
gboolean stead_confined_run(const SteadConfinedOptions *options, GCancellable *cancellable,
                            GError **error);

/* Makes an open file readable to (or, with `owner`, owned by) the user of confined programs. */
gboolean stead_confined_share(int fd, gboolean owner, GError **error);
