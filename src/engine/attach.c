/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching volumes to instances, running or not. A volume belongs to one instance at a time; its
 * record says to which before the guest sees it, and until the guest has let go of it.
 */
#include "base/error.h"
#include "engine/state.h"

gboolean stead_engine_claim_volume(SteadEngine *engine, SteadVolume *volume, const char *id,
                                   GError **error)
{
    if (g_strcmp0(volume->attached, id) == 0)
        return TRUE;
    if (!stead_engine_check_detached(engine, volume, error))
        return FALSE;
    char *before = volume->attached; /* of one that is gone, or NULL */
    volume->attached = g_strdup(id);
    if (!stead_table_save(engine->volumes, volume, error)) {
        g_free(volume->attached);
        volume->attached = before;
        return FALSE;
    }
    g_free(before);
    return TRUE;
}

typedef struct {
    SteadOp *op;
    SteadMachineDisk *disk;
    gboolean running;
} Attach;

static void attach_clear(Attach *attach)
{
    g_clear_pointer(&attach->disk, stead_machine_disk_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Attach, attach_clear)

static gboolean check_room(const SteadInstance *instance, const SteadVolume *volume, GError **error)
{
    if (volume->path == NULL)
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "the volume '%s' is not made yet",
                        volume->name);
    else if (instance->disks->len > STEAD_MAX_DISKS)
        stead_set_error(error, STEAD_ERROR_STATE, "Detach another first.",
                        "%s has %u disks already, which is all it can have", instance->name,
                        instance->disks->len);
    else
        return TRUE;
    return FALSE;
}

/* The volume's name rides in op->extra. Puts both records in place: the disk, and its holder. */
static gboolean begin_attach(gpointer data, GError **error)
{
    Attach *attach = data;
    SteadEngine *engine = attach->op->engine;
    SteadInstance *instance = stead_engine_expect(engine, attach->op->id, error);
    SteadVolume *volume =
        instance ? stead_table_find(engine->volumes, attach->op->extra, error) : NULL;
    if (volume == NULL || !check_room(instance, volume, error) ||
        !stead_engine_claim_volume(engine, volume, instance->id, error))
        return FALSE;
    attach->disk = g_new0(SteadMachineDisk, 1);
    attach->disk->path = g_strdup(volume->path);
    attach->disk->format = g_strdup(g_str_has_suffix(volume->path, ".qcow2") ? "qcow2" : "raw");
    attach->disk->serial = g_strdup(volume->name);
    attach->disk->read_only = attach->op->flag;
    attach->running = stead_instance_is_up(instance);
    return TRUE;
}

static gboolean finish_attach(gpointer data, GError **error)
{
    Attach *attach = data;
    SteadEngine *engine = attach->op->engine;
    SteadInstance *instance = stead_engine_expect(engine, attach->op->id, error);
    const SteadVolume *volume =
        instance ? stead_table_find(engine->volumes, attach->op->extra, error) : NULL;
    if (volume == NULL)
        return FALSE;
    SteadDiskRecord *record = g_new0(SteadDiskRecord, 1);
    record->path = g_strdup(attach->disk->path);
    record->format = g_strdup(attach->disk->format);
    record->volume = g_strdup(volume->id);
    record->read_only = attach->disk->read_only;
    g_ptr_array_add(instance->disks, record);
    if (!stead_table_save(engine->instances, instance, error)) {
        g_ptr_array_remove(instance->disks, record);
        return FALSE;
    }
    stead_events_emit(engine->events, "volume.attached", volume->name,
                      stead_event_data("instance", instance->name, NULL));
    return TRUE;
}

static gboolean unclaim(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadVolume *volume = stead_table_by_name(op->engine->volumes, op->extra);
    if (volume)
        g_clear_pointer(&volume->attached, g_free);
    return volume == NULL || stead_table_save(op->engine->volumes, volume, error);
}

static gboolean attach_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadEngine *engine = op->engine;
    g_auto(Attach) attach = {.op = op};
    if (!stead_job_sync(job, begin_attach, &attach, error))
        return FALSE;
    gboolean held =
        attach.running && stead_runtime_attach_disk(engine->vm, op->id, attach.disk, error);
    if ((held || !attach.running) && stead_job_sync(job, finish_attach, &attach, error))
        return TRUE;
    /* A guest that does not let go keeps its claim. */
    if (!held || stead_runtime_detach_disk(engine->vm, op->id, attach.disk->path, NULL))
        stead_job_sync(job, unclaim, op, NULL);
    return FALSE;
}

SteadJob *stead_engine_attach(SteadEngine *engine, const char *instance_id, const char *volume_name,
                              gboolean read_only, GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    SteadVolume *volume = instance ? stead_engine_volume(engine, volume_name, error) : NULL;
    if (volume == NULL || !stead_engine_check_detached(engine, volume, error) ||
        !check_room(instance, volume, error))
        return NULL;
    SteadOp *op = stead_op_new(engine, instance->id, instance->name);
    op->flag = read_only;
    op->extra = g_strdup(volume->name);
    op->free_extra = g_free;
    return stead_engine_submit_on(engine, instance, "volume.attach", attach_body, op, error);
}

typedef struct {
    SteadOp *op;
    char *path;
    gboolean running;
} Detach;

static const SteadDiskRecord *disk_of(const SteadInstance *instance, const SteadVolume *volume)
{
    for (guint i = 0; i < instance->disks->len; i++)
        if (g_strcmp0(((SteadDiskRecord *)instance->disks->pdata[i])->volume, volume->id) == 0)
            return instance->disks->pdata[i];
    return NULL;
}

static gboolean begin_detach(gpointer data, GError **error)
{
    Detach *detach = data;
    SteadEngine *engine = detach->op->engine;
    const SteadInstance *instance = stead_engine_expect(engine, detach->op->id, error);
    const SteadVolume *volume =
        instance ? stead_table_find(engine->volumes, detach->op->extra, error) : NULL;
    if (volume == NULL)
        return FALSE;
    const SteadDiskRecord *disk = disk_of(instance, volume);
    if (disk && g_strcmp0(disk->path, volume->path) != 0) {
        stead_set_error(error, STEAD_ERROR_STATE, "Remove those snapshots first.",
                        "snapshots of %s hold a part of what the volume '%s' contains",
                        instance->name, volume->name);
        return FALSE;
    }
    detach->path = g_strdup(volume->path);
    detach->running = stead_instance_is_up(instance);
    return TRUE;
}

static void drop_disk(SteadInstance *instance, const SteadVolume *volume)
{
    for (guint i = instance->disks->len; i-- > 0;)
        if (g_strcmp0(((SteadDiskRecord *)instance->disks->pdata[i])->volume, volume->id) == 0)
            g_ptr_array_remove_index(instance->disks, i);
}

static gboolean finish_detach(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    SteadVolume *volume = stead_table_by_name(op->engine->volumes, op->extra);
    if (instance == NULL || volume == NULL)
        return instance != NULL;
    /* The guest has let go: should a record not be written, detaching again puts it right. */
    drop_disk(instance, volume);
    if (!stead_table_save(op->engine->instances, instance, error))
        return FALSE;
    g_autofree char *holder = g_steal_pointer(&volume->attached);
    if (!stead_table_save(op->engine->volumes, volume, error)) {
        volume->attached = g_steal_pointer(&holder);
        return FALSE;
    }
    stead_events_emit(op->engine->events, "volume.detached", volume->name,
                      stead_event_data("instance", instance->name, NULL));
    return TRUE;
}

static gboolean detach_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    Detach detach = {.op = op};
    gboolean begun = stead_job_sync(job, begin_detach, &detach, error);
    g_autofree char *path = detach.path;
    return begun &&
           (!detach.running || stead_runtime_detach_disk(op->engine->vm, op->id, path, error)) &&
           stead_job_sync(job, finish_detach, op, error);
}

SteadJob *stead_engine_detach(SteadEngine *engine, const char *instance_id, const char *volume_name,
                              GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    SteadVolume *volume = instance ? stead_engine_volume(engine, volume_name, error) : NULL;
    if (volume == NULL)
        return NULL;
    if (g_strcmp0(volume->attached, instance->id) != 0) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "the volume '%s' is not attached to %s",
                        volume->name, instance->name);
        return NULL;
    }
    SteadOp *op = stead_op_new(engine, instance->id, instance->name);
    op->extra = g_strdup(volume->name);
    op->free_extra = g_free;
    return stead_engine_submit_on(engine, instance, "volume.detach", detach_body, op, error);
}
