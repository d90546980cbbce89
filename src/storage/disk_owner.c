/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks by their owner: all that carry an id, and those whose id is nobody's. Names decide, not
 * records, so that what a killed daemon did not write down is found too.
 */
#include <string.h>

#include "base/error.h"
#include "storage/disk_name.h"
#include "storage/spot.h"

static gboolean remove_named(const SteadSpot *spot, const char *name, GError **error)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(spot->pool, name);
    if (volume)
        return stead_volume_delete(volume, error);
    if (!stead_is_no_volume())
        return stead_libvirt_error(error, "looking for volume %s", name);
    if (!spot->info->files)
        return TRUE;
    g_autofree char *path = g_build_filename(spot->info->path, name, NULL);
    return stead_remove_tree(path, error);
}

static gboolean remove_all(const SteadSpot *spot, const char *id, GError **error)
{
    g_autoptr(GPtrArray) names = stead_spot_names(spot, error);
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
    g_auto(SteadSpot) spot = {0};
    g_autoptr(GError) local = NULL;
    if (stead_spot_open(libvirt, paths, pool, "", &spot, &local))
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
    g_auto(SteadSpot) spot = {0};
    if (!stead_spot_open(libvirt, paths, NULL, "", &spot, error))
        return NULL;
    g_autoptr(GHashTable) digits = digits_of(known);
    g_autoptr(GPtrArray) names = stead_spot_names(&spot, error);
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
