/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools. What a type of pool means for volumes stands in one table. The default pool is found by
 * its name, which holds the root's tag; its folder is open for passing through (0711) because
 * QEMU's user must reach the disks in it, and closed for looking into.
 */
#include "storage/pool.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "base/near.h"
#include "base/units.h"
#include "host/xml.h"

#define POOL_MODE 0711

typedef struct {
    const char *type;
    gboolean files;
} PoolType;

/* Types whose volumes have a path on the host. Those of the others are reached over a network. */
static const PoolType types[] = {
    {"dir", TRUE},   {"fs", TRUE},     {"netfs", TRUE}, {"vstorage", TRUE}, {"logical", FALSE},
    {"disk", FALSE}, {"iscsi", FALSE}, {"scsi", FALSE}, {"mpath", FALSE},   {"zfs", FALSE},
};

void stead_pool_free(SteadPool *pool)
{
    if (pool == NULL)
        return;
    g_free(pool->name);
    g_free(pool->type);
    g_free(pool->path);
    g_free(pool);
}

char *stead_pool_default_name(const SteadPaths *paths)
{
    return g_strconcat("stead", paths->tag, NULL);
}

char *stead_pool_default_path(const SteadPaths *paths)
{
    return g_build_filename(paths->state, "volumes", NULL);
}

static void set_type(SteadPool *info, char *type)
{
    info->type = type;
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_strcmp0(types[i].type, type) == 0) {
            info->supported = TRUE;
            info->files = types[i].files;
        }
}

static SteadPool *describe(virStoragePoolPtr pool, const SteadPaths *paths, GError **error)
{
    const char *name = virStoragePoolGetName(pool);
    g_autofree char *xml = virStoragePoolGetXMLDesc(pool, 0);
    if (xml == NULL) {
        stead_libvirt_error(error, "reading pool %s", name);
        return NULL;
    }
    g_autoptr(xmlDoc) doc = stead_xml_parse(name, xml, error);
    if (doc == NULL)
        return NULL;
    g_autofree char *default_name = stead_pool_default_name(paths);
    SteadPool *info = g_new0(SteadPool, 1);
    info->name = g_strdup(name);
    set_type(info, stead_xml_string(doc, "/pool/@type"));
    info->path = stead_xml_string(doc, "/pool/target/path");
    info->active = virStoragePoolIsActive(pool) == 1;
    info->capacity = stead_xml_size(doc, "/pool/capacity");
    info->available = stead_xml_size(doc, "/pool/available");
    info->is_default = strcmp(name, default_name) == 0;
    return info;
}

/* ---- the default pool ---- */

static char *default_xml(const char *name, const char *path)
{
    return g_markup_printf_escaped("<pool type='dir'>\n"
                                   "  <name>%s</name>\n"
                                   "  <target>\n"
                                   "    <path>%s</path>\n"
                                   "  </target>\n"
                                   "</pool>\n",
                                   name, path);
}

static gboolean is_no_pool(void)
{
    const virError *failure = virGetLastError();
    return failure && failure->code == VIR_ERR_NO_STORAGE_POOL;
}

static gboolean make_folder(const char *path, GError **error)
{
    if (!stead_make_dir(path, POOL_MODE, error))
        return FALSE;
    if (chmod(path, POOL_MODE) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_DENIED, NULL, "the mode of %s cannot be changed", path);
    return FALSE;
}

/* The pool of that name, defined when there is none. */
static virStoragePoolPtr look_up_or_define(virConnectPtr conn, const char *name, const char *path,
                                           GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(conn, name);
    if (pool == NULL && is_no_pool()) {
        g_autofree char *xml = default_xml(name, path);
        pool = virStoragePoolDefineXML(conn, xml, 0);
        if (pool == NULL) /* another job may have been faster */
            pool = virStoragePoolLookupByName(conn, name);
    }
    if (pool == NULL)
        stead_libvirt_error(error, "making the pool %s", name);
    return pool;
}

static gboolean check_folder(const SteadPool *info, const char *path, GError **error)
{
    if (g_strcmp0(info->type, "dir") == 0 && g_strcmp0(info->path, path) == 0)
        return TRUE;
    g_autofree char *hint = g_strdup_printf("Remove it: virsh pool-undefine %s", info->name);
    stead_set_error(error, STEAD_ERROR_CONFLICT, hint,
                    "libvirt has a pool %s already, of type %s at %s, not at %s", info->name,
                    info->type, info->path ? info->path : "(nowhere)", path);
    return FALSE;
}

/* Success also when another job was faster. Asking whether it is active forgets libvirt's error. */
static gboolean start(virStoragePoolPtr pool, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (virStoragePoolCreate(pool, 0) == 0)
        return TRUE;
    stead_libvirt_error(&why, "starting the pool %s", virStoragePoolGetName(pool));
    if (virStoragePoolIsActive(pool) == 1)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* *info is what it says of itself, owned by the caller. */
static virStoragePoolPtr open_default(virConnectPtr conn, const SteadPaths *paths, SteadPool **info,
                                      GError **error)
{
    g_autofree char *name = stead_pool_default_name(paths);
    g_autofree char *path = stead_pool_default_path(paths);
    if (!make_folder(path, error))
        return NULL;
    g_autoptr(virStoragePool) pool = look_up_or_define(conn, name, path, error);
    g_autoptr(SteadPool) described = pool ? describe(pool, paths, error) : NULL;
    if (described == NULL || !check_folder(described, path, error) ||
        (!described->active && !start(pool, error)))
        return NULL;
    described->active = TRUE;
    *info = g_steal_pointer(&described);
    return g_steal_pointer(&pool);
}

gboolean stead_pool_ensure_default(SteadLibvirt *libvirt, const SteadPaths *paths, GError **error)
{
    g_autoptr(SteadPool) info = NULL;
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    g_autoptr(virStoragePool) pool = conn ? open_default(conn, paths, &info, error) : NULL;
    if (pool)
        virStoragePoolSetAutostart(pool, 1);
    return pool != NULL;
}

/* ---- all pools ---- */

static int compare_names(gconstpointer a, gconstpointer b)
{
    const SteadPool *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static GPtrArray *list(virConnectPtr conn, const SteadPaths *paths, GError **error)
{
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, 0);
    if (n < 0) {
        stead_libvirt_error(error, "listing libvirt's pools");
        return NULL;
    }
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)stead_pool_free);
    for (int i = 0; i < n; i++) {
        SteadPool *info = describe(pools[i], paths, NULL);
        if (info) /* else it went away meanwhile */
            g_ptr_array_add(all, info);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    g_ptr_array_sort(all, compare_names);
    return all;
}

GPtrArray *stead_pool_list(SteadLibvirt *libvirt, const SteadPaths *paths, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    return conn ? list(conn, paths, error) : NULL;
}

static char *hint_for_unknown(virConnectPtr conn, const SteadPaths *paths, const char *name)
{
    g_autoptr(GPtrArray) all = list(conn, paths, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; all && i < all->len; i++)
        g_ptr_array_add(names, ((SteadPool *)g_ptr_array_index(all, i))->name);
    const char *near = stead_near(name, (const char *const *)names->pdata, names->len);
    return near ? g_strdup_printf("Did you mean %s?", near)
                : g_strdup("See the pools: stead pool ls");
}

static virStoragePoolPtr open_named(virConnectPtr conn, const SteadPaths *paths, const char *name,
                                    GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(conn, name);
    if (pool == NULL && is_no_pool()) {
        g_autofree char *hint = hint_for_unknown(conn, paths, name);
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint, "there is no pool %s", name);
    } else if (pool == NULL) {
        stead_libvirt_error(error, "looking for pool %s", name);
    }
    return pool;
}

static gboolean check_usable(const SteadPool *info, GError **error)
{
    g_autofree char *hint = g_strdup_printf("Start it: virsh pool-start %s", info->name);
    if (!info->supported)
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Use a pool of type dir or logical.",
                        "volumes of pool %s, of type %s, have no path on this host", info->name,
                        info->type);
    else if (!info->active)
        stead_set_error(error, STEAD_ERROR_STATE, hint, "the pool %s is not started", info->name);
    else
        return TRUE;
    return FALSE;
}

virStoragePoolPtr stead_pool_open(virConnectPtr conn, const SteadPaths *paths, const char *name,
                                  SteadPool **info, GError **error)
{
    g_autoptr(SteadPool) described = NULL;
    g_autoptr(virStoragePool) pool =
        name ? open_named(conn, paths, name, error) : open_default(conn, paths, &described, error);
    if (name && pool)
        described = describe(pool, paths, error);
    if (described == NULL || !check_usable(described, error))
        return NULL;
    if (info)
        *info = g_steal_pointer(&described);
    return g_steal_pointer(&pool);
}

gboolean stead_pool_refresh(virStoragePoolPtr pool, GError **error)
{
    if (virStoragePoolRefresh(pool, 0) == 0)
        return TRUE;
    const virError *failure = virGetLastError();
    if (failure && failure->message && strstr(failure->message, "asynchronous jobs"))
        return TRUE;
    return stead_libvirt_error(error, "looking at pool %s", virStoragePoolGetName(pool));
}

static guint64 available(virStoragePoolPtr pool, const SteadPool *info)
{
    struct statvfs fs;
    virStoragePoolInfo now;
    if (info->files && info->path && statvfs(info->path, &fs) == 0)
        return (guint64)fs.f_bavail * fs.f_frsize;
    return virStoragePoolGetInfo(pool, &now) == 0 ? now.available : info->available;
}

gboolean stead_pool_check_space(virStoragePoolPtr pool, const SteadPool *info, guint64 bytes,
                                GError **error)
{
    guint64 left = available(pool, info);
    if (left >= bytes)
        return TRUE;
    g_autofree char *wanted_text = stead_format_size(bytes);
    g_autofree char *left_text = stead_format_size(left);
    stead_set_error(
        error, STEAD_ERROR_EXHAUSTED, "Remove instances, volumes or images, or use another pool.",
        "the pool %s has %s left, and %s are needed", info->name, left_text, wanted_text);
    return FALSE;
}
