/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time index of a console's log: when the line at a position was seen. It also holds what a
 * restarted daemon needs: the log's mark, and where the present boot began. Main loop only.
 */
#pragma once

#include <glib.h>

#include "console/log.h"

/* Records that are kept (16 bytes each); beyond, the older half goes. */
#define STEAD_TIMES_RECORDS_MAX 65536
/* Lines nearer to each other than this share one record. */
#define STEAD_TIMES_RESOLUTION_US 10000

typedef struct _SteadTimes SteadTimes;

/* Never fails: what is absent or damaged is begun anew, upon the first change. */
SteadTimes *stead_times_new(const char *path);
void stead_times_free(SteadTimes *times);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadTimes, stead_times_free)

/* The mark as last stored; all zero when there was none. */
const SteadLogMark *stead_times_mark(const SteadTimes *times);
gboolean stead_times_set_mark(SteadTimes *times, const SteadLogMark *mark, GError **error);

/* Where the present boot began; 0 when never set. */
guint64 stead_times_boot(const SteadTimes *times);
gboolean stead_times_set_boot(SteadTimes *times, guint64 position, GError **error);

/*
 * Says that lines beginning at `position` or after it were seen at `time` (microseconds since the
 * epoch), until the next record. `guessed`: nobody looked, this is the nearest time known. Nothing
 * is written when the last record is within the resolution or not before `position`. Records
 * before `start`, the first position that the log still has, may be dropped.
 */
gboolean stead_times_add(SteadTimes *times, guint64 position, gint64 time, gboolean guessed,
                         guint64 start, GError **error);

/* Reads an index that may grow meanwhile; cheap for positions that go forward. */
typedef struct _SteadTimesCursor SteadTimesCursor;
SteadTimesCursor *stead_times_cursor_new(const char *path);
void stead_times_cursor_free(SteadTimesCursor *cursor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadTimesCursor, stead_times_cursor_free)

/* The time of the line that begins at `position`; FALSE when the index is empty. */
gboolean stead_times_cursor_at(SteadTimesCursor *cursor, guint64 position, gint64 *time,
                               gboolean *guessed);
