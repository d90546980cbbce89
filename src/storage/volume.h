/* SPDX-License-Identifier: Apache-2.0 */
/* Named volumes made real: the records' view of disk.h, whose words on repetition and errors hold
 * here too. All block. */
#pragma once

#include "model/instance.h"
#include "storage/disk.h"

/* Makes what the record says, and fills in path. */
gboolean stead_volume_make(SteadLibvirt *libvirt, const SteadPaths *paths, SteadVolume *volume,
                           GError **error);

/* Grows it, and fills in spec->size. Only while no running guest has it open. */
gboolean stead_volume_resize(SteadLibvirt *libvirt, const SteadPaths *paths, SteadVolume *volume,
                             guint64 size, GError **error);

/* Removes it, made, half-made or not. BUSY while it is attached. */
gboolean stead_volume_remove(SteadLibvirt *libvirt, const SteadPaths *paths,
                             const SteadVolume *volume, GError **error);

/* Its format in the file or device at volume->path: "qcow2" or "raw". A volume that was made has
 * one; it follows from the path. Static. */
const char *stead_volume_format(const SteadVolume *volume);
