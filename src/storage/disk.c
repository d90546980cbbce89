/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making, cloning and removing disks.
 *
 * A volume's name follows from its owner's id (disk_name.c), so what is found under it was left by
 * a former attempt. What is kept of it depends on what it may hold: a blank disk may hold a user's
 * data already, so it is kept whenever it can be; a clone is made before its instance first runs,
 * so it is kept only where it is exactly right, and a full copy, of which one cannot see whether it
 * was finished, never.
 */
#include "storage/disk.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "storage/disk_xml.h"
#include "storage/qemu_img.h"
#include "storage/spot.h"

/* What an empty qcow2 file and its tables need at once. */
#define SPARSE_NEED (G_GUINT64_CONSTANT(1) << 20)
/* A file of another format than ours that holds more than this is not a disk left half-made. */
#define HALF_MADE_MAX (G_GUINT64_CONSTANT(1) << 20)

void stead_disk_free(SteadDisk *disk)
{
    if (disk == NULL)
        return;
    g_free(disk->path);
    g_free(disk->format);
    g_free(disk);
}

static SteadDisk *create(const SteadSpot *spot, guint64 size, const SteadDiskImage *image,
                         GError **error)
{
    if (!stead_pool_check_space(spot->pool, spot->info, spot->info->files ? SPARSE_NEED : size,
                                error))
        return NULL;
    g_autofree char *xml = stead_disk_xml(spot->name, size, spot->info->files, image);
    g_autoptr(virStorageVol) volume = virStorageVolCreateXML(spot->pool, xml, 0);
    if (volume == NULL)
        stead_libvirt_error(error, "making volume %s in pool %s", spot->name, spot->info->name);
    SteadDisk *disk = volume ? stead_volume_describe(volume, NULL, error) : NULL;
    if (disk == NULL)
        stead_spot_discard(spot);
    return disk;
}

/* ---- blank disks ---- */

static gboolean grow(virStorageVolPtr volume, SteadDisk *disk, guint64 size, GError **error)
{
    if (size <= disk->capacity)
        return TRUE;
    if (virStorageVolResize(volume, size, 0) < 0)
        return stead_libvirt_error(error, "growing volume %s", virStorageVolGetName(volume));
    disk->capacity = size;
    return TRUE;
}

/* A blank disk is there: keeps it (*disk), or clears it away for a new one (*disk NULL). */
static gboolean keep_or_clear(const SteadSpot *spot, virStorageVolPtr volume, guint64 size,
                              SteadDisk **disk, GError **error)
{
    g_autoptr(SteadDisk) found = stead_volume_describe(volume, NULL, error);
    if (found == NULL)
        return FALSE;
    if (!spot->info->files || strcmp(found->format, "qcow2") == 0) {
        if (!grow(volume, found, size, error))
            return FALSE;
        *disk = g_steal_pointer(&found);
        return TRUE;
    }
    if (found->allocation <= HALF_MADE_MAX)
        return stead_volume_delete(volume, error);
    stead_set_error(error, STEAD_ERROR_CONFLICT, "Move it away, or choose another name.",
                    "%s is there already, and is not a disk that stead made", found->path);
    return FALSE;
}

/* A device holds what its former owner left, which the next guest may not see. A file reads as
 * zeros where nothing was written. */
static gboolean zero_from(const SteadDisk *disk, guint64 offset, GCancellable *cancellable,
                          GError **error)
{
    struct stat st;
    if (stat(disk->path, &st) != 0 || !S_ISBLK(st.st_mode) || offset >= disk->capacity)
        return TRUE;
    g_autofree char *start = g_strdup_printf("%" G_GUINT64_FORMAT, offset & ~(guint64)511);
    const char *const argv[] = {"blkdiscard", "--zeroout", "--offset", start, disk->path, NULL};
    return stead_run(argv, NULL, cancellable, NULL, error);
}

SteadDisk *stead_disk_make(SteadLibvirt *libvirt, const SteadPaths *paths, SteadDiskPlace place,
                           guint64 size, GError **error)
{
    g_auto(SteadSpot) spot = {0};
    g_autoptr(virStorageVol) volume = NULL;
    g_autoptr(SteadDisk) disk = NULL;
    if (!stead_spot_open(libvirt, paths, place.pool, place.stem, &spot, error) ||
        !stead_spot_look_up(&spot, &volume, error) ||
        (volume && !keep_or_clear(&spot, volume, size, &disk, error)))
        return NULL;
    if (disk)
        return g_steal_pointer(&disk);
    disk = create(&spot, size, NULL, error);
    if (disk == NULL || zero_from(disk, 0, NULL, error))
        return g_steal_pointer(&disk);
    stead_spot_discard(&spot);
    return NULL;
}

/* ---- clones ---- */

static gboolean check_size(const SteadDiskImage *image, guint64 *size, GError **error)
{
    if (*size == 0)
        *size = image->virtual_size;
    if (*size >= image->virtual_size)
        return TRUE;
    g_autofree char *wanted = stead_format_size(*size);
    g_autofree char *least = stead_format_size(image->virtual_size);
    g_autofree char *exact = stead_format_size_exact(image->virtual_size);
    g_autofree char *hint = g_strdup_printf("Give it at least %s.", exact);
    stead_set_error(error, STEAD_ERROR_INVALID, hint,
                    "a disk of %s is too small for the image, which has %s", wanted, least);
    return FALSE;
}

/* Whether the volume is the very clone; otherwise it is removed, and *disk stays NULL. */
static gboolean keep_clone_or_clear(const SteadSpot *spot, virStorageVolPtr volume,
                                    const SteadDiskImage *image, guint64 size, SteadDisk **disk,
                                    GError **error)
{
    g_autofree char *backing = NULL;
    g_autoptr(SteadDisk) found = stead_volume_describe(volume, &backing, NULL);
    if (found && spot->info->files && strcmp(found->format, "qcow2") == 0 &&
        found->capacity == size && g_strcmp0(backing, image->path) == 0) {
        *disk = g_steal_pointer(&found);
        return TRUE;
    }
    return stead_volume_delete(volume, error);
}

static SteadDisk *copy_in_full(const SteadSpot *spot, const SteadDiskImage *image, guint64 size,
                               SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                               GError **error)
{
    g_autoptr(SteadDisk) disk = create(spot, size, NULL, error);
    if (disk == NULL)
        return NULL;
    if (stead_disk_file_copy(image->path, image->format, disk->path, progress, data, cancellable,
                             error) &&
        zero_from(disk, image->virtual_size, cancellable, error))
        return g_steal_pointer(&disk);
    stead_spot_discard(spot);
    return NULL;
}

SteadDisk *stead_disk_clone(SteadLibvirt *libvirt, const SteadPaths *paths, SteadDiskPlace place,
                            const SteadDiskImage *image, guint64 size, SteadProgressFunc progress,
                            gpointer data, GCancellable *cancellable, GError **error)
{
    g_auto(SteadSpot) spot = {0};
    g_autoptr(virStorageVol) volume = NULL;
    SteadDisk *disk = NULL;
    if (!check_size(image, &size, error) ||
        !stead_spot_open(libvirt, paths, place.pool, place.stem, &spot, error) ||
        !stead_spot_look_up(&spot, &volume, error) ||
        (volume && !keep_clone_or_clear(&spot, volume, image, size, &disk, error)))
        return NULL;
    if (disk)
        return disk;
    return spot.info->files ? create(&spot, size, image, error)
                            : copy_in_full(&spot, image, size, progress, data, cancellable, error);
}

/* ---- disks by their path ---- */

/* Has the pool that holds the folder of `path` look again; FALSE when there is none. */
static gboolean refresh_around(virConnectPtr conn, const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByTargetPath(conn, folder);
    return pool && stead_pool_refresh(pool, NULL);
}

/* *volume is NULL when libvirt knows no volume there. */
static gboolean look_up_path(virConnectPtr conn, const char *path, virStorageVolPtr *volume,
                             GError **error)
{
    *volume = virStorageVolLookupByPath(conn, path);
    if (*volume)
        return TRUE;
    if (!stead_is_no_volume())
        return stead_libvirt_error(error, "looking for %s", path);
    if (g_file_test(path, G_FILE_TEST_EXISTS) && refresh_around(conn, path))
        *volume = virStorageVolLookupByPath(conn, path);
    return TRUE;
}

static virStorageVolPtr need_path(virConnectPtr conn, const char *path, GError **error)
{
    virStorageVolPtr volume = NULL;
    if (look_up_path(conn, path, &volume, error) && volume == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "no pool has a disk %s", path);
    return volume;
}

SteadDisk *stead_disk_info(SteadLibvirt *libvirt, const char *path, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    g_autoptr(virStorageVol) volume = conn ? need_path(conn, path, error) : NULL;
    return volume ? stead_volume_describe(volume, NULL, error) : NULL;
}

gboolean stead_disk_resize(SteadLibvirt *libvirt, const char *path, guint64 size, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    g_autoptr(virStorageVol) volume = conn ? need_path(conn, path, error) : NULL;
    g_autoptr(SteadDisk) disk = volume ? stead_volume_describe(volume, NULL, error) : NULL;
    if (disk == NULL)
        return FALSE;
    if (size >= disk->capacity)
        return grow(volume, disk, size, error);
    g_autofree char *has = stead_format_size(disk->capacity);
    g_autofree char *wants = stead_format_size(size);
    stead_set_error(error, STEAD_ERROR_INVALID,
                    "Make a smaller disk and copy within the guest what you need.",
                    "%s has %s and cannot shrink to %s: the guest would lose what lies at its end",
                    path, has, wants);
    return FALSE;
}

gboolean stead_disk_remove(SteadLibvirt *libvirt, const char *path, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    g_autoptr(virStorageVol) volume = NULL;
    if (conn == NULL || !look_up_path(conn, path, &volume, error))
        return FALSE;
    if (volume)
        return stead_volume_delete(volume, error);
    if (g_file_test(path, G_FILE_TEST_IS_REGULAR) && g_unlink(path) != 0) {
        stead_set_error(error, STEAD_ERROR_DENIED, NULL, "%s cannot be removed", path);
        return FALSE;
    }
    return TRUE;
}
