/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spot: a name in an open pool, where a volume is or will be. Shared by this layer's files; not
 * for other layers. All functions block.
 */
#pragma once

#include "storage/disk.h"
#include "storage/pool.h"

typedef struct {
    virConnectPtr conn;
    virStoragePoolPtr pool;
    SteadPool *info;
    char *name; /* the volume's: the stem, with the suffix that the pool asks for */
} SteadSpot;

void stead_spot_clear(SteadSpot *spot);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SteadSpot, stead_spot_clear)

/* Opens the pool (NULL: the default one); errors as of stead_pool_open(). */
gboolean stead_spot_open(SteadLibvirt *libvirt, const SteadPaths *paths, const char *pool,
                         const char *stem, SteadSpot *spot, GError **error);

/* Fills in *volume, owned by the caller; NULL when there is none. */
gboolean stead_spot_look_up(const SteadSpot *spot, virStorageVolPtr *volume, GError **error);

/* Removes whatever a failed attempt left; its own failure is of no interest. */
void stead_spot_discard(const SteadSpot *spot);

/* The names of all volumes of the pool, also of files that libvirt has not seen yet. Owned by the
 * caller, as its elements. */
GPtrArray *stead_spot_names(const SteadSpot *spot, GError **error);

/* What a volume is like, and the path of its backing file (may be NULL); both owned by the caller.
 */
SteadDisk *stead_volume_describe(virStorageVolPtr volume, char **backing, GError **error);

/* Success when it went away meanwhile. */
gboolean stead_volume_delete(virStorageVolPtr volume, GError **error);

/* Whether the calling thread's last libvirt error is that there is no such volume. */
gboolean stead_is_no_volume(void);
