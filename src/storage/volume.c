/* SPDX-License-Identifier: Apache-2.0 */
/* Named volumes: a disk whose stem is the volume's name and id. */
#include "storage/volume.h"

#include "base/error.h"
#include "storage/disk_name.h"

gboolean stead_volume_make(SteadLibvirt *libvirt, const SteadPaths *paths, SteadVolume *volume,
                           GError **error)
{
    g_autofree char *stem = stead_disk_stem(volume->name, volume->id, 0);
    SteadDiskPlace place = {volume->spec->pool, stem};
    g_autoptr(SteadDisk) disk = stead_disk_make(libvirt, paths, place, volume->spec->size, error);
    if (disk == NULL)
        return FALSE;
    g_free(volume->path);
    volume->path = g_steal_pointer(&disk->path);
    return TRUE;
}

gboolean stead_volume_resize(SteadLibvirt *libvirt, const SteadPaths *paths, SteadVolume *volume,
                             guint64 size, GError **error)
{
    if (volume->path == NULL && !stead_volume_make(libvirt, paths, volume, error))
        return FALSE;
    if (!stead_disk_resize(libvirt, volume->path, size, error))
        return FALSE;
    volume->spec->size = size;
    return TRUE;
}

gboolean stead_volume_remove(SteadLibvirt *libvirt, const SteadPaths *paths,
                             const SteadVolume *volume, GError **error)
{
    if (volume->attached) {
        g_autofree char *hint = g_strdup_printf("Detach it: stead volume detach %s", volume->name);
        stead_set_error(error, STEAD_ERROR_BUSY, hint, "the volume %s is attached to an instance",
                        volume->name);
        return FALSE;
    }
    return stead_disk_remove_all(libvirt, paths, volume->spec->pool, volume->id, error);
}

const char *stead_volume_format(const SteadVolume *volume)
{
    return volume->path && g_str_has_suffix(volume->path, ".qcow2") ? "qcow2" : "raw";
}
