/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making, cloning and removing disks.
 *
 * A volume's name follows from its owner's id (disk_name.c), so what is found under it was left by
 * a former attempt. What is kept of it depends on what it may hold: a blank disk may hold a user's
 * data already, so it is kept whenever it can be; a clone is made before its instance first runs,
 * so it is kept only where it is exactly right, and a full copy, of which one cannot see whether it
 * was finished, never.
 *
 * libvirt knows a pool's files by its latest look. A file that is there but unknown (libvirtd was
 * killed while making it) makes it look again.
 */
#include "storage/disk.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "host/xml.h"
#include "storage/disk_name.h"
#include "storage/disk_xml.h"
#include "storage/pool.h"
#include "storage/qemu_img.h"

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

/* ---- volumes as libvirt has them ---- */

/* An open pool, and the name that a place has in it. */
typedef struct {
    virConnectPtr conn;
    virStoragePoolPtr pool;
    SteadPool *info;
    char *name;
} Spot;

static void spot_clear(Spot *spot)
{
    g_clear_pointer(&spot->name, g_free);
    g_clear_pointer(&spot->info, stead_pool_free);
    g_clear_pointer(&spot->pool, virStoragePoolFree);
    g_clear_pointer(&spot->conn, virConnectClose);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Spot, spot_clear)

static gboolean spot_open(SteadLibvirt *libvirt, const SteadPaths *paths, const char *pool,
                          const char *stem, Spot *spot, GError **error)
{
    spot->conn = stead_libvirt_get(libvirt, error);
    spot->pool = spot->conn ? stead_pool_open(spot->conn, paths, pool, &spot->info, error) : NULL;
    if (spot->pool == NULL)
        return FALSE;
    spot->name = spot->info->files ? g_strconcat(stem, ".qcow2", NULL) : g_strdup(stem);
    return TRUE;
}

static gboolean is_no_volume(void)
{
    const virError *failure = virGetLastError();
    return failure && failure->code == VIR_ERR_NO_STORAGE_VOL;
}

static gboolean is_no_pool(void)
{
    const virError *failure = virGetLastError();
    return failure && failure->code == VIR_ERR_NO_STORAGE_POOL;
}

/* *volume is NULL when there is none. */
static gboolean look_up(const Spot *spot, virStorageVolPtr *volume, GError **error)
{
    *volume = virStorageVolLookupByName(spot->pool, spot->name);
    if (*volume == NULL && is_no_volume()) {
        g_autofree char *path =
            g_build_filename(spot->info->path ? spot->info->path : "/", spot->name, NULL);
        if (!spot->info->files || !g_file_test(path, G_FILE_TEST_EXISTS))
            return TRUE;
        if (!stead_pool_refresh(spot->pool, error))
            return FALSE;
        *volume = virStorageVolLookupByName(spot->pool, spot->name);
    }
    if (*volume || is_no_volume())
        return TRUE;
    return stead_libvirt_error(error, "looking for volume %s", spot->name);
}

static guint64 xml_size(xmlDocPtr doc, const char *xpath)
{
    g_autofree char *text = stead_xml_string(doc, xpath);
    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* *backing (may be NULL) is owned by the caller. */
static SteadDisk *describe(virStorageVolPtr volume, char **backing, GError **error)
{
    const char *name = virStorageVolGetName(volume);
    g_autofree char *xml = virStorageVolGetXMLDesc(volume, 0);
    if (xml == NULL) {
        stead_libvirt_error(error, "reading volume %s", name);
        return NULL;
    }
    g_autoptr(xmlDoc) doc = stead_xml_parse(name, xml, error);
    if (doc == NULL)
        return NULL;
    SteadDisk *disk = g_new0(SteadDisk, 1);
    disk->path = stead_xml_string(doc, "/volume/target/path");
    disk->format = stead_xml_string(doc, "/volume[@type='file']/target/format/@type");
    if (disk->format == NULL)
        disk->format = g_strdup("raw");
    disk->capacity = xml_size(doc, "/volume/capacity");
    disk->allocation = xml_size(doc, "/volume/allocation");
    if (backing)
        *backing = stead_xml_string(doc, "/volume/backingStore/path");
    return disk;
}

static gboolean delete_volume(virStorageVolPtr volume, GError **error)
{
    if (virStorageVolDelete(volume, 0) == 0 || is_no_volume())
        return TRUE;
    return stead_libvirt_error(error, "removing volume %s", virStorageVolGetName(volume));
}

/* Whatever a failed attempt left; its own failure is of no interest. */
static void discard(const Spot *spot)
{
    g_autoptr(virStorageVol) volume = NULL;
    if (look_up(spot, &volume, NULL) && volume)
        delete_volume(volume, NULL);
}

static SteadDisk *create(const Spot *spot, guint64 size, const SteadDiskImage *image,
                         GError **error)
{
    if (!stead_pool_check_space(spot->pool, spot->info, spot->info->files ? SPARSE_NEED : size,
                                error))
        return NULL;
    g_autofree char *xml = stead_disk_xml(spot->name, size, spot->info->files, image);
    g_autoptr(virStorageVol) volume = virStorageVolCreateXML(spot->pool, xml, 0);
    if (volume == NULL)
        stead_libvirt_error(error, "making volume %s in pool %s", spot->name, spot->info->name);
    SteadDisk *disk = volume ? describe(volume, NULL, error) : NULL;
    if (disk == NULL)
        discard(spot);
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
static gboolean keep_or_clear(const Spot *spot, virStorageVolPtr volume, guint64 size,
                              SteadDisk **disk, GError **error)
{
    g_autoptr(SteadDisk) found = describe(volume, NULL, error);
    if (found == NULL)
        return FALSE;
    if (!spot->info->files || strcmp(found->format, "qcow2") == 0) {
        if (!grow(volume, found, size, error))
            return FALSE;
        *disk = g_steal_pointer(&found);
        return TRUE;
    }
    if (found->allocation <= HALF_MADE_MAX)
        return delete_volume(volume, error);
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
    g_auto(Spot) spot = {0};
    g_autoptr(virStorageVol) volume = NULL;
    g_autoptr(SteadDisk) disk = NULL;
    if (!spot_open(libvirt, paths, place.pool, place.stem, &spot, error) ||
        !look_up(&spot, &volume, error) ||
        (volume && !keep_or_clear(&spot, volume, size, &disk, error)))
        return NULL;
    if (disk)
        return g_steal_pointer(&disk);
    disk = create(&spot, size, NULL, error);
    if (disk == NULL || zero_from(disk, 0, NULL, error))
        return g_steal_pointer(&disk);
    discard(&spot);
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
static gboolean keep_clone_or_clear(const Spot *spot, virStorageVolPtr volume,
                                    const SteadDiskImage *image, guint64 size, SteadDisk **disk,
                                    GError **error)
{
    g_autofree char *backing = NULL;
    g_autoptr(SteadDisk) found = describe(volume, &backing, NULL);
    if (found && spot->info->files && strcmp(found->format, "qcow2") == 0 &&
        found->capacity == size && g_strcmp0(backing, image->path) == 0) {
        *disk = g_steal_pointer(&found);
        return TRUE;
    }
    return delete_volume(volume, error);
}

static SteadDisk *copy_in_full(const Spot *spot, const SteadDiskImage *image, guint64 size,
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
    discard(spot);
    return NULL;
}

SteadDisk *stead_disk_clone(SteadLibvirt *libvirt, const SteadPaths *paths, SteadDiskPlace place,
                            const SteadDiskImage *image, guint64 size, SteadProgressFunc progress,
                            gpointer data, GCancellable *cancellable, GError **error)
{
    g_auto(Spot) spot = {0};
    g_autoptr(virStorageVol) volume = NULL;
    SteadDisk *disk = NULL;
    if (!check_size(image, &size, error) ||
        !spot_open(libvirt, paths, place.pool, place.stem, &spot, error) ||
        !look_up(&spot, &volume, error) ||
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
    if (*volume == NULL && is_no_volume() && g_file_test(path, G_FILE_TEST_EXISTS) &&
        refresh_around(conn, path))
        *volume = virStorageVolLookupByPath(conn, path);
    if (*volume || is_no_volume() || is_no_pool())
        return TRUE;
    return stead_libvirt_error(error, "looking for %s", path);
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
    return volume ? describe(volume, NULL, error) : NULL;
}

gboolean stead_disk_resize(SteadLibvirt *libvirt, const char *path, guint64 size, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    g_autoptr(virStorageVol) volume = conn ? need_path(conn, path, error) : NULL;
    g_autoptr(SteadDisk) disk = volume ? describe(volume, NULL, error) : NULL;
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
        return delete_volume(volume, error);
    if (g_file_test(path, G_FILE_TEST_IS_REGULAR) && g_unlink(path) != 0) {
        stead_set_error(error, STEAD_ERROR_DENIED, NULL, "%s cannot be removed", path);
        return FALSE;
    }
    return TRUE;
}

/* ---- many ---- */

/* The names of all volumes of the pool, those also that libvirt has not seen yet. */
static GPtrArray *list_names(const Spot *spot, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (spot->info->files) {
        g_autoptr(GDir) dir = g_dir_open(spot->info->path, 0, error);
        if (dir == NULL)
            return NULL;
        for (const char *name; (name = g_dir_read_name(dir));)
            g_ptr_array_add(names, g_strdup(name));
        return g_steal_pointer(&names);
    }
    virStorageVolPtr *volumes = NULL;
    int n = virStoragePoolListAllVolumes(spot->pool, &volumes, 0);
    if (n < 0) {
        stead_libvirt_error(error, "listing the volumes of pool %s", spot->info->name);
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        g_ptr_array_add(names, g_strdup(virStorageVolGetName(volumes[i])));
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return g_steal_pointer(&names);
}

static gboolean remove_named(const Spot *spot, const char *name, GError **error)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(spot->pool, name);
    if (volume)
        return delete_volume(volume, error);
    if (!is_no_volume())
        return stead_libvirt_error(error, "looking for volume %s", name);
    if (!spot->info->files)
        return TRUE;
    g_autofree char *path = g_build_filename(spot->info->path, name, NULL);
    return stead_remove_tree(path, error);
}

static gboolean remove_all(const Spot *spot, const char *id, GError **error)
{
    g_autoptr(GPtrArray) names = list_names(spot, error);
    for (guint i = 0; names && i < names->len; i++) {
        const char *volume = g_ptr_array_index(names, i);
        if (stead_disk_name_is_of(volume, id) && !remove_named(spot, volume, error))
            return FALSE;
    }
    return names != NULL;
}

gboolean stead_disk_remove_all(SteadLibvirt *libvirt, const SteadPaths *paths, const char *pool,
                               const char *id, GError **error)
{
    g_auto(Spot) spot = {0};
    g_autoptr(GError) local = NULL;
    if (spot_open(libvirt, paths, pool, "", &spot, &local))
        return remove_all(&spot, id, error);
    if (g_error_matches(local, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

gboolean stead_instance_disks_remove(SteadLibvirt *libvirt, const SteadPaths *paths, const char *id,
                                     GError **error)
{
    g_autoptr(GPtrArray) pools = stead_pool_list(libvirt, paths, error);
    for (guint i = 0; pools && i < pools->len; i++) {
        const SteadPool *pool = g_ptr_array_index(pools, i);
        if (pool->active && pool->supported &&
            !stead_disk_remove_all(libvirt, paths, pool->name, id, error))
            return FALSE;
    }
    return pools != NULL;
}

static gboolean is_orphan(const char *name, GHashTable *digits)
{
    g_autofree char *id = stead_disk_name_id(name);
    return id && !g_hash_table_contains(digits, id);
}

/* The first digits of each id of a set. */
static GHashTable *digits_of(GHashTable *ids)
{
    GHashTable *digits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer id;
    g_hash_table_iter_init(&iter, ids);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        g_hash_table_add(digits, g_strndup(id, STEAD_DISK_ID_DIGITS));
    return digits;
}

GPtrArray *stead_storage_orphans(SteadLibvirt *libvirt, const SteadPaths *paths, GHashTable *known,
                                 GError **error)
{
    g_auto(Spot) spot = {0};
    if (!spot_open(libvirt, paths, NULL, "", &spot, error))
        return NULL;
    g_autoptr(GHashTable) digits = digits_of(known);
    g_autoptr(GPtrArray) names = list_names(&spot, error);
    if (names == NULL)
        return NULL;
    GPtrArray *orphans = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        if (is_orphan(name, digits))
            g_ptr_array_add(orphans, g_build_filename(spot.info->path, name, NULL));
    }
    return orphans;
}
