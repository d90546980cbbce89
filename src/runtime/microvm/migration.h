/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's migration stream, taken apart (docs/devel/migration.rst, migration/ram.c): the pages of
 * the guest's memory go to a file at their place, and everything else, which is a few dozen KiB,
 * stays a stream that QEMU loads in a machine that has this memory already.
 *
 * Both ends have the capability x-ignore-shared set, which makes the stream say that memory may
 * come by other means.
 */
#pragma once

#include <gio/gio.h>

/* Of what is not memory; more is an error. */
#define STEAD_MIGRATION_STATE_MAX (64 * 1024 * 1024)

/* How long an engine may be silent; and how many such silences it may have altogether, beside the
 * time for its guest's memory: it copies no slower. */
#define STEAD_MIGRATION_SILENCE_MS 20000
#define STEAD_MIGRATION_SILENCES 3
#define STEAD_MIGRATION_BYTES_PER_MS 10000

typedef struct {
    int from;                  /* the stream's reading end, which does not block from here on */
    const char *block;         /* its pages are written to `memory` */
    guint64 size;              /* of the guest's memory; that of `memory`, which is empty */
    int memory, state;         /* where it goes */
    guint silence_ms;          /* 0: STEAD_MIGRATION_SILENCE_MS */
    GCancellable *cancellable; /* NULL */
} SteadMigration;

/*
 * Reads a stream to its end. It comes from a process that serves a guest: INVALID when it makes no
 * sense, or says more of the memory than there is of it; TIMEOUT when nothing comes; CANCELLED.
 */
gboolean stead_migration_split(const SteadMigration *migration, GError **error);
