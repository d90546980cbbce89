/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's XML of a volume. Pure. */
#pragma once

#include "storage/disk.h"

/* A volume in a pool of files (qcow2, sparse, over `image` unless that is NULL) or, where `files`
 * is FALSE, one of another pool (fully allocated). Owned by the caller. */
char *stead_disk_xml(const char *name, guint64 size, gboolean files, const SteadDiskImage *image);
