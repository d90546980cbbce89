/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frozen machine on disk, and in memory while machines go on from it.
 *
 *     DIR/memory    the guest's memory, byte for byte; sparse
 *     DIR/state     the state of its CPUs and devices, as the engine wrote it
 *     DIR/sums      SHA-256 of both, with their sizes
 *
 * What is used is checked once: it is read into sealed memory files, which nobody can change any
 * more, its sums are compared, and all who go on from it map the same pages. QEMU opens a memory
 * file for writing even where it maps it privately, so a file that the engine of one guest could
 * write would let it into the memory of all others.
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

/* Forgets it: what uses its memory keeps it. */
void stead_frozen_drop(SteadFrozenCache *cache, const char *dir);

/* Bytes of host memory that the sealed files take now. */
guint64 stead_frozen_resident(SteadFrozenCache *cache, const char *dir);

/* Writes DIR/sums for the other two files, and makes all three durable. */
gboolean stead_frozen_seal(const char *dir, GError **error);
