/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's log as one stream of bytes, over all its rotated files.
 *
 * A position counts bytes from the first one ever logged; it stays what it is while virtlogd
 * renames console.log to console.log.0, .0 to .1 and so on, and it never goes back. Main loop only.
 */
#pragma once

#include <glib.h>

/* Rotated files that are looked for; virtlogd keeps 3 by default. */
#define STEAD_LOG_BACKUPS_MAX 64

/* What has to be remembered to find the positions again after a restart of the daemon. All zero:
 * nothing is known. */
typedef struct {
    guint64 inode;
    gint64 birth; /* nanoseconds; 0 where the file system keeps none */
    guint64 base; /* position of the file's first byte */
    guint64 end;  /* position up to which it was seen */
} SteadLogMark;

typedef struct _SteadLog SteadLog;

/* Never fails: a file that is missing is an empty log. `mark` may be NULL. */
SteadLog *stead_log_new(const char *path, const SteadLogMark *mark);
void stead_log_free(SteadLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadLog, stead_log_free)

/* Looks at the files again. TRUE when a file appeared, was rotated or was cut off, so that the
 * mark must be stored anew; growth alone is FALSE. */
gboolean stead_log_refresh(SteadLog *log);

/* The first position whose byte is still there, and the one after the last byte; as of the last
 * refresh. */
guint64 stead_log_start(const SteadLog *log);
guint64 stead_log_end(const SteadLog *log);

/* When the newest file was last written, microseconds since the epoch; 0: there is none. */
gint64 stead_log_modified(const SteadLog *log);

/* What to store, for stead_log_new() of the next daemon; as of the last refresh. */
void stead_log_get_mark(const SteadLog *log, SteadLogMark *mark);

/*
 * Reads up to n bytes at *position. Where those bytes are gone, *position moves forward to the
 * first that are there; it is left at the first byte returned. 0: the end was reached.
 */
gsize stead_log_read(SteadLog *log, guint64 *position, gpointer buffer, gsize n);

/* The position where the last n lines begin; a last line without line end counts. */
guint64 stead_log_tail(SteadLog *log, guint n);
