/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frozen machine on disk, and in memory while machines go on from it.
 *
 *     DIR/memory    the guest's memory, byte for byte; sparse
 *     DIR/state     the state of its CPUs and devices, as the engine wrote it
 *     DIR/...       its disks, as whoever froze it names them
 *     DIR/sums      SHA-256 of all these, with their sizes (frozen_sums.h)
 *
 * Memory and state are checked once: what is used is read into sealed memory files, which nobody
 * can change any more, its sums are compared, and all who go on from it map the same pages. QEMU
 * opens a memory file for writing even where it maps it privately, so a file that the engine of one
 * guest could write would let it into the memory of all others. Disks are used where they lie: they
 * are checked once, and again when they are not the files that they were.
 */
#pragma once

#include <gio/gio.h>

typedef struct _SteadFrozenCache SteadFrozenCache;

SteadFrozenCache *stead_frozen_cache_new(void);
void stead_frozen_cache_free(SteadFrozenCache *cache);

/*
 * Opens a frozen machine: *memory is a sealed memory file, shared by all callers, *state a
 * descriptor with a position of its own. Both are the caller's. The first call after it was dropped
 * reads and checks the files; others wait for it. NOT_FOUND; VERIFICATION when a sum differs.
 */
gboolean stead_frozen_open(SteadFrozenCache *cache, const char *dir, int *memory, int *state,
                           GError **error);

/* Whether all else of it is as it was frozen: its disks. Costs a look at each file, and the reading
 * of those that were not checked before or were touched since. NOT_FOUND; VERIFICATION. */
gboolean stead_frozen_check(SteadFrozenCache *cache, const char *dir, GError **error);

/* Forgets it: what uses its memory keeps it. */
void stead_frozen_drop(SteadFrozenCache *cache, const char *dir);

/* Bytes of host memory that the sealed files take now. Never waits for one that is read. */
guint64 stead_frozen_resident(SteadFrozenCache *cache, const char *dir);
