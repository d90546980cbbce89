/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: named disks that outlive the instances they are attached to; pools; the growing of
 * disks. A volume without a path on record was never made, or only half: making it is repeatable.
 */
#include "base/error.h"
#include "base/units.h"
#include "engine/state.h"
#include "model/check.h"
#include "storage/disk.h"
#include "storage/disk_name.h"
#include "storage/pool.h"

SteadVolume *stead_engine_volume(SteadEngine *engine, const char *name, GError **error)
{
    return stead_table_find(engine->volumes, name, error);
}

GPtrArray *stead_engine_volumes(SteadEngine *engine)
{
    return stead_table_list(engine->volumes);
}

GPtrArray *stead_engine_volumes_of(SteadEngine *engine, const char *instance_id)
{
    GPtrArray *list = stead_table_list(engine->volumes);
    for (guint i = list->len; i-- > 0;)
        if (g_strcmp0(((SteadVolume *)list->pdata[i])->attached, instance_id) != 0)
            g_ptr_array_remove_index(list, i);
    return list;
}

JsonNode *stead_engine_show_volume(SteadEngine *engine, const SteadVolume *volume)
{
    JsonNode *node = stead_volume_to_json(volume);
    const SteadInstance *holder = stead_table_get(engine->instances, volume->attached);
    if (holder)
        json_object_set_string_member(json_node_get_object(node), "attached-to", holder->name);
    return node;
}

/* ---- pools ---- */

static void add_pool(JsonArray *array, const SteadPool *pool)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", pool->name);
    json_object_set_string_member(object, "type", pool->type);
    if (pool->path)
        json_object_set_string_member(object, "path", pool->path);
    json_object_set_int_member(object, "capacity", (gint64)pool->capacity);
    json_object_set_int_member(object, "available", (gint64)pool->available);
    json_object_set_string_member(object, "state", pool->active ? "active" : "inactive");
    json_object_set_boolean_member(object, "default", pool->is_default);
    json_array_add_object_element(array, object);
}

static gboolean pools_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    if (!stead_pool_ensure_default(op->engine->libvirt, op->engine->paths, error))
        return FALSE;
    g_autoptr(GPtrArray) pools = stead_pool_list(op->engine->libvirt, op->engine->paths, error);
    if (pools == NULL)
        return FALSE;
    JsonArray *array = json_array_new();
    for (guint i = 0; i < pools->len; i++)
        add_pool(array, pools->pdata[i]);
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    stead_job_set_result(job, node);
    return TRUE;
}

SteadJob *stead_engine_pools(SteadEngine *engine, GError **error)
{
    return stead_engine_submit_question(engine, "pool.list", pools_body,
                                        stead_op_new(engine, NULL, NULL), error);
}

/* ---- create, remove, resize ---- */

static gboolean copy_volume(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadVolume *volume = stead_table_get(op->engine->volumes, op->id);
    if (volume == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the volume was removed meanwhile");
    else
        op->extra = stead_volume_copy(volume);
    op->free_extra = (GDestroyNotify)stead_volume_free;
    return volume != NULL;
}

static gboolean finish_make(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadVolume *made = op->extra;
    SteadVolume *volume = stead_table_get(op->engine->volumes, op->id);
    if (volume == NULL)
        return TRUE;
    stead_set_string(&volume->path, made->path);
    if (!stead_table_save(op->engine->volumes, volume, error))
        return FALSE;
    stead_events_emit(op->engine->events, "volume.created", volume->name, NULL);
    return TRUE;
}

static gboolean forget(gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_table_remove(op->engine->volumes, op->id, error);
}

static gboolean make_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    if (!stead_job_sync(job, copy_volume, op, error))
        return FALSE;
    SteadVolume *volume = op->extra;
    g_autofree char *stem = stead_disk_stem(volume->name, volume->id, 0);
    g_autoptr(SteadDisk) disk =
        stead_disk_make(op->engine->libvirt, op->engine->paths,
                        (SteadDiskPlace){volume->spec->pool, stem}, volume->spec->size, error);
    if (disk == NULL) {
        if (op->flag) /* new: nothing half-made stays */
            stead_job_sync(job, forget, op, NULL);
        return FALSE;
    }
    stead_set_string(&volume->path, disk->path);
    return stead_job_sync(job, finish_make, op, error);
}

static SteadJob *submit(SteadEngine *engine, const SteadVolume *volume, const char *type,
                        SteadJobFunc body, gboolean is_new, GError **error)
{
    SteadOp *op = stead_op_new(engine, volume->id, volume->name);
    op->flag = is_new;
    return stead_engine_submit_named(engine, "volume", type, body, op, error);
}

SteadJob *stead_engine_make_volume_again(SteadEngine *engine, const SteadVolume *volume,
                                         GError **error)
{
    return submit(engine, volume, "volume.make", make_body, FALSE, error);
}

SteadJob *stead_engine_create_volume(SteadEngine *engine, const char *name, SteadVolumeSpec *spec,
                                     const char *project, GError **error)
{
    g_autoptr(SteadVolume) volume = g_new0(SteadVolume, 1);
    volume->spec = spec;
    if (!stead_name_check("volume", name, error))
        return NULL;
    volume->id = g_uuid_string_random();
    volume->name = g_strdup(name);
    volume->project = g_strdup(project);
    volume->created = g_get_real_time();
    if (!stead_table_add(engine->volumes, volume, error))
        return NULL;
    SteadVolume *kept = g_steal_pointer(&volume);
    SteadJob *job = submit(engine, kept, "volume.create", make_body, TRUE, error);
    if (job == NULL)
        stead_table_remove(engine->volumes, kept->id, NULL);
    return job;
}

gboolean stead_engine_check_detached(SteadEngine *engine, const SteadVolume *volume, GError **error)
{
    const SteadInstance *holder = stead_table_get(engine->instances, volume->attached);
    if (holder == NULL)
        return stead_table_check_readable(engine->instances, volume->attached, error);
    g_autofree char *hint =
        g_strdup_printf("Detach it first: stead volume detach %s %s", holder->name, volume->name);
    stead_set_error(error, STEAD_ERROR_BUSY, hint, "the volume '%s' is attached to %s",
                    volume->name, holder->name);
    return FALSE;
}

static gboolean check_unused(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadVolume *volume = stead_table_get(op->engine->volumes, op->id);
    return volume == NULL || stead_engine_check_detached(op->engine, volume, error);
}

static gboolean finish_remove(gpointer data, GError **error)
{
    SteadOp *op = data;
    if (!stead_table_remove(op->engine->volumes, op->id, error))
        return FALSE;
    stead_events_emit(op->engine->events, "volume.removed", op->name, NULL);
    return TRUE;
}

/* It stays after all. */
static gboolean undo_remove(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadVolume *volume = stead_table_get(op->engine->volumes, op->id);
    if (volume)
        volume->removing = FALSE;
    return volume == NULL || stead_table_save(op->engine->volumes, volume, error);
}

static gboolean remove_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    if (!stead_job_sync(job, check_unused, op, error)) {
        stead_job_sync(job, undo_remove, op, NULL);
        return FALSE;
    }
    if (!stead_job_sync(job, copy_volume, op, error))
        return FALSE;
    const SteadVolume *volume = op->extra;
    return stead_disk_remove_all(op->engine->libvirt, op->engine->paths, volume->spec->pool,
                                 volume->id, error) &&
           stead_job_sync(job, finish_remove, op, error);
}

SteadJob *stead_engine_remove_volume(SteadEngine *engine, const char *name, GError **error)
{
    SteadVolume *volume = stead_engine_volume(engine, name, error);
    if (volume == NULL || !stead_engine_check_detached(engine, volume, error))
        return NULL;
    gboolean was_removing = volume->removing;
    volume->removing = TRUE; /* on record, so that a killed daemon's successor goes on */
    if (!stead_table_save(engine->volumes, volume, error)) {
        volume->removing = was_removing;
        return NULL;
    }
    SteadJob *job = submit(engine, volume, "volume.remove", remove_body, FALSE, error);
    if (job == NULL) { /* refused after all */
        volume->removing = was_removing;
        stead_table_save(engine->volumes, volume, NULL);
    }
    return job;
}

/* Where a disk is to be grown: by its running guest's engine, or on the host. */
typedef struct {
    char *path;
    char *running; /* id of the running instance that has it; NULL: none */
} Target;

static void target_clear(Target *target)
{
    g_free(target->path);
    g_free(target->running);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Target, target_clear)

static gboolean grow(SteadOp *op, const Target *target, GError **error)
{
    if (target->running)
        return stead_runtime_resize_disk(op->runtime, target->running, target->path, op->number,
                                         error);
    return stead_disk_resize(op->engine->libvirt, target->path, op->number, error);
}

typedef struct {
    SteadOp *op;
    Target *target;
} Locate;

static gboolean locate_volume(gpointer data, GError **error)
{
    Locate *locate = data;
    SteadEngine *engine = locate->op->engine;
    const SteadVolume *volume = stead_table_get(engine->volumes, locate->op->id);
    if (volume == NULL || volume->path == NULL) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the volume '%s' is not there",
                        locate->op->name);
        return FALSE;
    }
    const SteadInstance *holder = stead_table_get(engine->instances, volume->attached);
    locate->target->path = g_strdup(volume->path);
    locate->target->running = stead_instance_is_up(holder) ? g_strdup(holder->id) : NULL;
    return TRUE;
}

static gboolean finish_resize(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadVolume *volume = stead_table_get(op->engine->volumes, op->id);
    if (volume == NULL)
        return TRUE;
    guint64 size = volume->spec->size;
    volume->spec->size = op->number;
    if (stead_table_save(op->engine->volumes, volume, error))
        return TRUE;
    volume->spec->size = size;
    return FALSE;
}

static gboolean resize_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_auto(Target) target = {0};
    Locate locate = {op, &target};
    return stead_job_sync(job, locate_volume, &locate, error) && grow(op, &target, error) &&
           stead_job_sync(job, finish_resize, op, error);
}

static gboolean check_growth(const char *what, guint64 from, guint64 to, GError **error)
{
    if (to >= from && to > 0 && to <= STEAD_MAX_DISK)
        return TRUE;
    g_autofree char *size = stead_format_size(to > STEAD_MAX_DISK ? STEAD_MAX_DISK : from);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                    to > STEAD_MAX_DISK
                        ? "%s: a disk has %s at most"
                        : "%s has %s; a disk can be grown, not shrunk, since its end would be lost",
                    what, size);
    return FALSE;
}

SteadJob *stead_engine_resize_volume(SteadEngine *engine, const char *name, guint64 size,
                                     GError **error)
{
    SteadVolume *volume = stead_engine_volume(engine, name, error);
    if (volume == NULL || !check_growth(volume->name, volume->spec->size, size, error))
        return NULL;
    SteadOp *op = stead_op_new(engine, volume->id, volume->name);
    op->number = size;
    /* The holder must neither start nor stop meanwhile. */
    const SteadInstance *holder = stead_table_get(engine->instances, volume->attached);
    if (holder)
        return stead_engine_submit_on(engine, holder, "volume.resize", resize_body, op, error);
    return stead_engine_submit_named(engine, "volume", "volume.resize", resize_body, op, error);
}

/* ---- the root disk ---- */

static gboolean locate_root(gpointer data, GError **error)
{
    Locate *locate = data;
    SteadInstance *instance = stead_engine_expect(locate->op->engine, locate->op->id, error);
    if (instance == NULL)
        return FALSE;
    if (instance->disks->len == 0) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s has no disk yet", instance->name);
        return FALSE;
    }
    locate->op->runtime = stead_engine_runtime(locate->op->engine, instance->kind);
    locate->target->path = g_strdup(((SteadDiskRecord *)instance->disks->pdata[0])->path);
    locate->target->running = stead_instance_is_up(instance) ? g_strdup(instance->id) : NULL;
    return TRUE;
}

static gboolean finish_root(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL)
        return FALSE;
    guint64 size = instance->spec->disk;
    instance->spec->disk = op->number;
    if (stead_table_save(op->engine->instances, instance, error))
        return TRUE;
    instance->spec->disk = size;
    return FALSE;
}

gboolean stead_engine_grow_root_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                       guint64 size, GError **error)
{
    g_autoptr(SteadOp) op = stead_op_new(engine, id, NULL);
    g_auto(Target) target = {0};
    Locate locate = {op, &target};
    op->number = size;
    return stead_job_sync(job, locate_root, &locate, error) && grow(op, &target, error) &&
           stead_job_sync(job, finish_root, op, error);
}

static gboolean resize_root_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_engine_grow_root_in_job(op->engine, job, op->id, op->number, error);
}

SteadJob *stead_engine_resize_root(SteadEngine *engine, const char *instance_id, guint64 size,
                                   GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    if (instance == NULL || !check_growth(instance->name, instance->spec->disk, size, error))
        return NULL;
    SteadOp *op = stead_op_new(engine, instance->id, instance->name);
    op->number = size;
    return stead_engine_submit_on(engine, instance, "instance.resize", resize_root_body, op, error);
}
