/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks whose file was prepared beforehand: copied with their holes, or shared blocks where the
 * file system can. For clones, which are made by the dozen: nothing here asks libvirt, whose pool
 * sees the file when it looks next.
 */
#pragma once

#include "base/paths.h"
#include "storage/disk.h"

/* Copies a file, which may be the disk of a machine that stands still, to `to`, anew, 0600. Whoever
 * keeps the copy syncs it; a new machine's first flush does it for its disk. */
gboolean stead_disk_file_clone(const char *from, const char *to, GError **error);

/* Makes the disk of that stem in the default pool a copy of `from`, a qcow2 file of `capacity`
 * bytes; what a former attempt left is replaced. The caller owns the result. */
SteadDisk *stead_disk_copy_prepared(const SteadPaths *paths, const char *stem, const char *from,
                                    guint64 capacity, GError **error);

/* Makes an empty qcow2 file at `path` that stands on another. Blocking. */
gboolean stead_disk_prepare_overlay(const char *path, const char *backing, guint64 size,
                                    GError **error);
