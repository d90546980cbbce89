/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of an instance that is being made: the root disk, a clone of its image; blank ones of
 * its own; named volumes, which one instance may have at a time.
 */
#include "base/error.h"
#include "base/units.h"
#include "engine/create.h"
#include "engine/template.h"
#include "storage/disk.h"
#include "storage/disk_name.h"

static SteadDiskRecord *add_disk(SteadInstance *instance, const SteadDisk *disk,
                                 const char *backing)
{
    SteadDiskRecord *record = g_new0(SteadDiskRecord, 1);
    record->path = g_strdup(disk->path);
    record->format = g_strdup(disk->format);
    if (backing && g_str_equal(disk->format, "qcow2")) {
        const char *const list[] = {backing, NULL};
        record->backing = g_strdupv((char **)(gsize)list);
    }
    g_ptr_array_add(instance->disks, record);
    return record;
}

static gboolean clone_root(Create *create, GError **error)
{
    SteadEngine *engine = create->engine;
    SteadInstance *instance = create->instance;
    g_autofree char *stem = stead_disk_stem(instance->name, instance->id, 0);
    g_autofree char *path = stead_image_store_path(engine->image_store, create->image->digest);
    SteadDiskImage image = {path, "qcow2", create->image->virtual_size};
    guint64 size = instance->spec->disk;
    if (size && size < create->image->virtual_size) {
        g_autofree char *least = stead_format_size(create->image->virtual_size);
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "the disk of %s must be at least %s, as its image '%s' is", instance->name,
                        least, create->image->name);
        return FALSE;
    }
    stead_job_progress("cloning the image", -1, create->job);
    g_autoptr(SteadDisk) disk = stead_disk_clone(
        engine->libvirt, engine->paths, (SteadDiskPlace){instance->spec->pool, stem}, &image, size,
        stead_job_progress, create->job, stead_job_cancellable(create->job), error);
    if (disk)
        add_disk(instance, disk, path);
    return disk != NULL;
}

/* Claims a named volume; one instance may have it at a time. */
static gboolean claim_volumes(gpointer data, GError **error)
{
    Create *create = data;
    SteadEngine *engine = create->engine;
    const SteadInstanceSpec *spec = create->instance->spec;
    create->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)stead_volume_free);
    for (guint i = 0; i < spec->disks->len; i++) {
        const SteadDiskSpec *wanted = spec->disks->pdata[i];
        SteadVolume *volume = NULL;
        if (wanted->volume) {
            volume = stead_table_find(engine->volumes, wanted->volume, error);
            if (volume == NULL || !stead_engine_claim_volume(engine, volume, create->id, error))
                return FALSE;
        }
        g_ptr_array_add(create->volumes, volume ? stead_volume_copy(volume) : NULL);
    }
    return TRUE;
}

gboolean stead_create_disks(Create *create, GError **error)
{
    SteadEngine *engine = create->engine;
    SteadInstance *instance = create->instance;
    if (instance->template)
        return stead_clone_disks(create, error);
    g_ptr_array_set_size(instance->disks, 0);
    if (!stead_job_sync(create->job, claim_volumes, create, error) ||
        (create->image && !clone_root(create, error)))
        return FALSE;
    for (guint i = 0; i < instance->spec->disks->len; i++) {
        const SteadDiskSpec *wanted = instance->spec->disks->pdata[i];
        const SteadVolume *volume = create->volumes->pdata[i];
        g_autofree char *stem =
            stead_disk_stem(volume ? volume->name : instance->name,
                            volume ? volume->id : instance->id, volume ? 0 : i + 1);
        SteadDiskPlace place = {volume ? volume->spec->pool : wanted->pool, stem};
        g_autoptr(SteadDisk) disk =
            stead_disk_make(engine->libvirt, engine->paths, place,
                            volume ? volume->spec->size : wanted->size, error);
        if (disk == NULL)
            return FALSE;
        SteadDiskRecord *record = add_disk(instance, disk, NULL);
        record->read_only = wanted->read_only;
        record->volume = volume ? g_strdup(volume->id) : NULL;
    }
    return TRUE;
}
