/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage pools. Each root has one of its own, the default pool: a folder of files. Any other pool
 * that libvirt knows is used by its name; stead neither makes, starts nor removes those.
 *
 * All functions block, and may be repeated.
 */
#pragma once

#include "base/paths.h"
#include "host/libvirt.h"

typedef struct {
    char *name;
    char *type;         /* libvirt's: "dir", "logical", ... */
    char *path;         /* its folder or device folder on the host; NULL: none */
    guint64 capacity;   /* bytes; 0 while it is not active */
    guint64 available;  /* bytes */
    gboolean active;    /* started */
    gboolean files;     /* volumes are files, thus qcow2; else raw devices */
    gboolean supported; /* volumes have a path on the host that an instance can use */
    gboolean is_default;
} SteadPool;

void stead_pool_free(SteadPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadPool, stead_pool_free)

/* The default pool's name in libvirt ("stead", or "stead-1a2b3c" with a root's tag) and its folder.
 * Owned by the caller. */
char *stead_pool_default_name(const SteadPaths *paths);
char *stead_pool_default_path(const SteadPaths *paths);

/* Makes the default pool's folder, and the pool; starts it. CONFLICT when a pool of its name has
 * another folder. */
gboolean stead_pool_ensure_default(SteadLibvirt *libvirt, const SteadPaths *paths, GError **error);

/* All pools that libvirt knows, as SteadPool, sorted by name; the array owns them. */
GPtrArray *stead_pool_list(SteadLibvirt *libvirt, const SteadPaths *paths, GError **error);

/*
 * The pool of a name, NULL for the default one (which is made when it is absent), ready to hold
 * volumes: *info (may be NULL) describes it, and the caller owns both. Errors: NOT_FOUND, with the
 * nearest name; STATE when it is not started; UNSUPPORTED when its volumes have no path.
 */
virStoragePoolPtr stead_pool_open(virConnectPtr conn, const SteadPaths *paths, const char *name,
                                  SteadPool **info, GError **error);

/* Has libvirt look at the pool again: for files that came or went without it. Not an error when
 * libvirt cannot just now because it is making volumes. */
gboolean stead_pool_refresh(virStoragePoolPtr pool, GError **error);

/* EXHAUSTED when the pool has not `bytes` to spare. Asks the file system itself where there is
 * one, since libvirt's figure is of its latest look. */
gboolean stead_pool_check_space(virStoragePoolPtr pool, const SteadPool *info, guint64 bytes,
                                GError **error);
