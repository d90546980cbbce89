/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sums of a frozen machine's files (frozen.h), so that none of them is used which was changed
 * since.
 *
 *     DIR/sums    "stead-frozen 2", then a line for each other file: SIZE SHA256 NAME
 */
#pragma once

#include <gio/gio.h>
#include <sys/stat.h>

/* One of the files. */
typedef struct {
    char *name;
    char *sum;        /* "SIZE SHA256" */
    struct stat seen; /* what the file was when it agreed; of size -1 before that */
} SteadFrozenSum;

/* What DIR/sums says, as SteadFrozenSum; the array is the caller's. NOT_FOUND; VERIFICATION when it
 * makes no sense. */
GPtrArray *stead_frozen_sums_read(const char *dir, GError **error);

/* Borrowed; NULL when there is none of that name. */
SteadFrozenSum *stead_frozen_sums_find(const GPtrArray *sums, const char *name);

/* Compares a file with its sum, copying it to the descriptor `copy` (-1: nowhere) on the way.
 * NOT_FOUND; VERIFICATION when they differ. */
gboolean stead_frozen_sum_check(SteadFrozenSum *sum, const char *dir, int copy, GError **error);

/* The same, unless the file is the very one that agreed before and nobody has changed it since. */
gboolean stead_frozen_sum_check_again(SteadFrozenSum *sum, const char *dir, GError **error);

/* Whether each file of DIR has a line: one without was not frozen, or its line was lost.
 * VERIFICATION. */
gboolean stead_frozen_sums_cover(const GPtrArray *sums, const char *dir, GError **error);

/* Writes DIR/sums for all that is in DIR, which may be nothing, and makes all of it and DIR's own
 * entry durable. */
gboolean stead_frozen_sums_write(const char *dir, GError **error);
