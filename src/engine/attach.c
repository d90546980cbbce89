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
    if (volume->removing) {
        stead_set_error(error, STEAD_ERROR_BUSY, NULL, "the volume '%s' is being removed",
                        volume->name);
        return FALSE;
    }
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

static SteadDiskRecord *disk_of(SteadInstance *instance, const SteadVolume *volume)
{
    for (guint i = 0; i < instance->disks->len; i++)
        if (g_strcmp0(((SteadDiskRecord *)instance->disks->pdata[i])->volume, volume->id) == 0)
            return instance->disks->pdata[i];
    return NULL;
}

static void drop_disk(SteadInstance *instance, const SteadVolume *volume)
{
    SteadDiskRecord *disk = disk_of(instance, volume);
    if (disk)
        g_ptr_array_remove(instance->disks, disk);
}

static SteadDiskRecord *add_disk(SteadInstance *instance, const SteadVolume *volume,
                                 gboolean read_only)
{
    SteadDiskRecord *disk = g_new0(SteadDiskRecord, 1);
    disk->path = g_strdup(volume->path);
    disk->format = g_strdup(g_str_has_suffix(volume->path, ".qcow2") ? "qcow2" : "raw");
    disk->volume = g_strdup(volume->id);
    disk->read_only = read_only;
    g_ptr_array_add(instance->disks, disk);
    return disk;
}

/* The volume's name rides in op->extra. */
typedef struct {
    SteadOp *op;
    SteadMachineDisk *disk;
    gboolean running;
} Attach;

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

/* Puts both records in place: the holder, and then its disk. When a killed daemon's attaching is
 * repeated they are there. */
static gboolean begin_attach(gpointer data, GError **error)
{
    Attach *attach = data;
    SteadEngine *engine = attach->op->engine;
    SteadInstance *instance = stead_engine_expect(engine, attach->op->id, error);
    SteadVolume *volume =
        instance ? stead_table_find(engine->volumes, attach->op->extra, error) : NULL;
    SteadDiskRecord *disk = volume ? disk_of(instance, volume) : NULL;
    if (volume == NULL || (disk == NULL && !check_room(instance, volume, error)) ||
        !stead_engine_claim_volume(engine, volume, instance->id, error))
        return FALSE;
    if (disk == NULL)
        disk = add_disk(instance, volume, attach->op->flag);
    attach->disk = g_new0(SteadMachineDisk, 1);
    attach->disk->path = g_strdup(disk->path);
    attach->disk->format = g_strdup(disk->format);
    attach->disk->serial = g_strdup(volume->name);
    attach->disk->read_only = disk->read_only;
    attach->running = stead_instance_is_up(instance);
    return stead_table_save(engine->instances, instance, error);
}

static gboolean finish_attach(gpointer data, GError **error)
{
    SteadOp *op = data;
    stead_events_emit(op->engine->events, "volume.attached", op->extra,
                      stead_event_data("instance", op->name, NULL));
    return TRUE;
}

/* Takes both records back. */
static gboolean finish_detach(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    SteadVolume *volume = stead_table_by_name(op->engine->volumes, op->extra);
    if (instance == NULL || volume == NULL)
        return instance != NULL;
    /* Should a record not be written, doing it again puts it right. */
    drop_disk(instance, volume);
    if (!stead_table_save(op->engine->instances, instance, error))
        return FALSE;
    g_autofree char *holder = g_steal_pointer(&volume->attached);
    if (stead_table_save(op->engine->volumes, volume, error))
        return TRUE;
    volume->attached = g_steal_pointer(&holder);
    return FALSE;
}

static gboolean attach_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    Attach attach = {.op = op};
    gboolean begun = stead_job_sync(job, begin_attach, &attach, error);
    gboolean done = begun && (!attach.running ||
                              stead_runtime_attach_disk(op->runtime, op->id, attach.disk, error));
    if (begun && !done)
        stead_job_sync(job, finish_detach, op, NULL);
    if (attach.disk)
        stead_machine_disk_free(attach.disk);
    return done && stead_job_sync(job, finish_attach, op, error);
}

static SteadJob *submit(SteadEngine *engine, const SteadInstance *instance,
                        const SteadVolume *volume, const char *type, SteadJobFunc body,
                        gboolean read_only, GError **error)
{
    SteadOp *op = stead_op_new(engine, instance->id, instance->name);
    op->flag = read_only;
    op->extra = g_strdup(volume->name);
    op->free_extra = g_free;
    return stead_engine_submit_on(engine, instance, type, body, op, error);
}

SteadJob *stead_engine_attach(SteadEngine *engine, const char *instance_id, const char *volume_name,
                              gboolean read_only, GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    SteadVolume *volume = instance ? stead_engine_volume(engine, volume_name, error) : NULL;
    if (volume == NULL || !stead_engine_check_detached(engine, volume, error) ||
        !check_room(instance, volume, error))
        return NULL;
    return submit(engine, instance, volume, "volume.attach", attach_body, read_only, error);
}

typedef struct {
    SteadOp *op;
    char *path;
    gboolean running;
} Detach;

static gboolean begin_detach(gpointer data, GError **error)
{
    Detach *detach = data;
    SteadEngine *engine = detach->op->engine;
    SteadInstance *instance = stead_engine_expect(engine, detach->op->id, error);
    const SteadVolume *volume =
        instance ? stead_table_find(engine->volumes, detach->op->extra, error) : NULL;
    if (volume == NULL)
        return FALSE;
    SteadDiskRecord *disk = disk_of(instance, volume);
    if (disk && g_strcmp0(disk->path, volume->path) != 0) {
        stead_set_error(error, STEAD_ERROR_STATE, "Remove those snapshots first.",
                        "snapshots of %s hold a part of what the volume '%s' contains",
                        instance->name, volume->name);
        return FALSE;
    }
    detach->path = g_strdup(volume->path);
    detach->running = stead_instance_is_up(instance);
    if (disk == NULL)
        return TRUE;
    disk->leaving = TRUE;
    return stead_table_save(engine->instances, instance, error);
}

/* The guest did not let go of it. */
static gboolean undo_detach(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    const SteadVolume *volume = stead_table_by_name(op->engine->volumes, op->extra);
    SteadDiskRecord *disk = instance && volume ? disk_of(instance, volume) : NULL;
    if (disk == NULL)
        return TRUE;
    disk->leaving = FALSE;
    return stead_table_save(op->engine->instances, instance, error);
}

static gboolean tell_detached(gpointer data, GError **error)
{
    SteadOp *op = data;
    stead_events_emit(op->engine->events, "volume.detached", op->extra,
                      stead_event_data("instance", op->name, NULL));
    return TRUE;
}

static gboolean detach_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    Detach detach = {.op = op};
    gboolean begun = stead_job_sync(job, begin_detach, &detach, error);
    g_autofree char *path = detach.path;
    if (begun && detach.running && !stead_runtime_detach_disk(op->runtime, op->id, path, error)) {
        stead_job_sync(job, undo_detach, op, NULL);
        return FALSE;
    }
    return begun && stead_job_sync(job, finish_detach, op, error) &&
           stead_job_sync(job, tell_detached, op, error);
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
    return submit(engine, instance, volume, "volume.detach", detach_body, FALSE, error);
}

void stead_engine_settle_volumes(SteadEngine *engine, const SteadInstance *instance)
{
    g_autoptr(GPtrArray) snapshots = stead_engine_snapshots(engine, instance->id);
    for (guint i = 0; snapshots->len == 0 && i < instance->disks->len; i++) {
        const SteadDiskRecord *disk = instance->disks->pdata[i];
        SteadVolume *volume = stead_table_get(engine->volumes, disk->volume);
        if (volume == NULL || g_strcmp0(volume->path, disk->path) == 0)
            continue;
        stead_set_string(&volume->path, disk->path);
        stead_table_save(engine->volumes, volume, NULL); /* seen to again at the next start */
    }
}

/* A volume that nobody's disks have was claimed and no more. */
static gboolean finish_attachment(SteadEngine *engine, SteadInstance *instance, SteadVolume *volume,
                                  GError **error)
{
    const SteadDiskRecord *disk = disk_of(instance, volume);
    if (disk == NULL) {
        g_clear_pointer(&volume->attached, g_free);
        return stead_table_save(engine->volumes, volume, error);
    }
    if (disk->leaving)
        return submit(engine, instance, volume, "volume.detach", detach_body, FALSE, error) != NULL;
    return !stead_instance_is_up(instance) ||
           submit(engine, instance, volume, "volume.attach", attach_body, disk->read_only, error);
}

void stead_engine_finish_attachments(SteadEngine *engine, SteadInstance *instance)
{
    g_autoptr(GPtrArray) volumes = stead_table_list(engine->volumes);
    stead_engine_settle_volumes(engine, instance);
    for (guint i = 0; i < volumes->len; i++) {
        SteadVolume *volume = volumes->pdata[i];
        g_autoptr(GError) error = NULL;
        if (g_strcmp0(volume->attached, instance->id) == 0 &&
            !finish_attachment(engine, instance, volume, &error))
            g_warning("%s: %s", volume->name, error->message);
    }
}
