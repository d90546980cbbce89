/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks: volumes of pools, blank or cloned from an image. In a pool of files they are qcow2, and a
 * clone is copy-on-write over its image; elsewhere they are raw, and a clone is a full copy.
 *
 * All functions block. Each may be repeated after a daemon, or libvirtd, was killed in the middle
 * of it; upon failure nothing half-made is left. Disks that a running guest has open are the
 * runtime's to change, not this layer's: resizing one fails with BUSY.
 */
#pragma once

#include <gio/gio.h>

#include "base/paths.h"
#include "base/progress.h"
#include "host/libvirt.h"

typedef struct {
    char *path;         /* on the host */
    char *format;       /* "qcow2" or "raw" */
    guint64 capacity;   /* bytes that a guest sees */
    guint64 allocation; /* bytes on disk */
} SteadDisk;

void stead_disk_free(SteadDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadDisk, stead_disk_free)

/* Where a disk lies: `pool` NULL is the default pool; `stem` is stead_disk_stem()'s. */
typedef struct {
    const char *pool;
    const char *stem;
} SteadDiskPlace;

/* What a disk is cloned from: a file that stead trusts, since QEMU's tools will parse it. */
typedef struct {
    const char *path;
    const char *format;   /* "qcow2" or "raw" */
    guint64 virtual_size; /* bytes */
} SteadDiskImage;

/*
 * Makes a blank disk. One that is there already is kept, with its data, and grown when it is
 * smaller; one that was left half-made is replaced. CONFLICT when what is there cannot be ours.
 * EXHAUSTED when the pool is full. The caller owns the result.
 */
SteadDisk *stead_disk_make(SteadLibvirt *libvirt, const SteadPaths *paths, SteadDiskPlace place,
                           guint64 size, GError **error);

/*
 * Clones an image for an instance that never ran. `size` 0: as large as the image; smaller than it
 * is INVALID. A right copy-on-write clone that is there already is kept; anything else that a
 * former attempt left is replaced. `progress` (may be NULL) is told of full copies, which
 * `cancellable` ends (CANCELLED). The caller owns the result.
 */
SteadDisk *stead_disk_clone(SteadLibvirt *libvirt, const SteadPaths *paths, SteadDiskPlace place,
                            const SteadDiskImage *image, guint64 size, SteadProgressFunc progress,
                            gpointer data, GCancellable *cancellable, GError **error);

/* What the disk at a path is like now; NOT_FOUND. The caller owns the result. */
SteadDisk *stead_disk_info(SteadLibvirt *libvirt, const char *path, GError **error);

/* Grows it. Shrinking is refused (INVALID), since the guest's file system would lose its end.
 * Success when it has that size already. UNSUPPORTED where the pool cannot. */
gboolean stead_disk_resize(SteadLibvirt *libvirt, const char *path, guint64 size, GError **error);

/* Success when there is none. */
gboolean stead_disk_remove(SteadLibvirt *libvirt, const char *path, GError **error);

/* Removes every disk and layer in a pool that was made for the instance or volume of this id, known
 * or half-made. Success when there is none, or no such pool. */
gboolean stead_disk_remove_all(SteadLibvirt *libvirt, const SteadPaths *paths, const char *pool,
                               const char *id, GError **error);

/* The same in all pools that are started: for an instance, whose disks may lie in several. Named
 * volumes stay, since they have ids of their own. */
gboolean stead_instance_disks_remove(SteadLibvirt *libvirt, const SteadPaths *paths, const char *id,
                                     GError **error);

/* Paths in the default pool that carry the id of nobody in `known` (a set of whole ids, of
 * instances and volumes). The array owns them. */
GPtrArray *stead_storage_orphans(SteadLibvirt *libvirt, const SteadPaths *paths, GHashTable *known,
                                 GError **error);
