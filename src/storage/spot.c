/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes as libvirt has them. It knows a pool's files by its latest look; a file that is there but
 * unknown (libvirtd was killed while making it) makes it look again.
 */
#include "storage/spot.h"

#include <string.h>

#include "host/xml.h"

void stead_spot_clear(SteadSpot *spot)
{
    g_clear_pointer(&spot->name, g_free);
    g_clear_pointer(&spot->info, stead_pool_free);
    g_clear_pointer(&spot->pool, virStoragePoolFree);
    g_clear_pointer(&spot->conn, virConnectClose);
}

gboolean stead_spot_open(SteadLibvirt *libvirt, const SteadPaths *paths, const char *pool,
                         const char *stem, SteadSpot *spot, GError **error)
{
    spot->conn = stead_libvirt_get(libvirt, error);
    spot->pool = spot->conn ? stead_pool_open(spot->conn, paths, pool, &spot->info, error) : NULL;
    if (spot->pool == NULL)
        return FALSE;
    spot->name = spot->info->files ? g_strconcat(stem, ".qcow2", NULL) : g_strdup(stem);
    return TRUE;
}

gboolean stead_is_no_volume(void)
{
    const virError *failure = virGetLastError();
    return failure && failure->code == VIR_ERR_NO_STORAGE_VOL;
}

gboolean stead_spot_look_up(const SteadSpot *spot, virStorageVolPtr *volume, GError **error)
{
    *volume = virStorageVolLookupByName(spot->pool, spot->name);
    if (*volume == NULL && stead_is_no_volume()) {
        g_autofree char *path =
            g_build_filename(spot->info->path ? spot->info->path : "/", spot->name, NULL);
        if (!spot->info->files || !g_file_test(path, G_FILE_TEST_EXISTS))
            return TRUE;
        if (!stead_pool_refresh(spot->pool, error))
            return FALSE;
        *volume = virStorageVolLookupByName(spot->pool, spot->name);
    }
    if (*volume || stead_is_no_volume())
        return TRUE;
    return stead_libvirt_error(error, "looking for volume %s", spot->name);
}

SteadDisk *stead_volume_describe(virStorageVolPtr volume, char **backing, GError **error)
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
    disk->capacity = stead_xml_size(doc, "/volume/capacity");
    disk->allocation = stead_xml_size(doc, "/volume/allocation");
    if (backing)
        *backing = stead_xml_string(doc, "/volume/backingStore/path");
    return disk;
}

gboolean stead_volume_delete(virStorageVolPtr volume, GError **error)
{
    if (virStorageVolDelete(volume, 0) == 0 || stead_is_no_volume())
        return TRUE;
    return stead_libvirt_error(error, "removing volume %s", virStorageVolGetName(volume));
}

void stead_spot_discard(const SteadSpot *spot)
{
    g_autoptr(virStorageVol) volume = NULL;
    if (stead_spot_look_up(spot, &volume, NULL) && volume)
        stead_volume_delete(volume, NULL);
}

GPtrArray *stead_spot_names(const SteadSpot *spot, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (spot->info->files) {
        g_autoptr(GError) why = NULL;
        g_autoptr(GDir) dir = g_dir_open(spot->info->path, 0, &why);
        if (g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            return g_steal_pointer(&names);
        if (dir == NULL) {
            g_propagate_error(error, g_steal_pointer(&why));
            return NULL;
        }
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
