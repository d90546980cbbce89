/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: on record as incomplete, taken, then complete. Which files hold an instance's disks
 * changes with each of these operations; the runtime knows, and the record follows it
 * (sync_disks), also after a kill in the middle.
 */
#include "base/error.h"
#include "engine/state.h"
#include "model/check.h"
#include "runtime/vm/layers.h"

#define MAX_SNAPSHOTS 64

static SteadSnapshot *find(SteadEngine *engine, const char *instance_id, const char *name)
{
    g_autoptr(GPtrArray) list = stead_engine_snapshots(engine, instance_id);
    for (guint i = 0; i < list->len; i++)
        if (g_str_equal(((SteadSnapshot *)list->pdata[i])->name, name))
            return list->pdata[i];
    return NULL;
}

static int compare_created(gconstpointer a, gconstpointer b)
{
    gint64 x = (*(SteadSnapshot **)a)->created, y = (*(SteadSnapshot **)b)->created;
    return (x > y) - (x < y);
}

GPtrArray *stead_engine_snapshots(SteadEngine *engine, const char *instance_id)
{
    GPtrArray *list = stead_table_list(engine->snapshots);
    for (guint i = list->len; i-- > 0;)
        if (!g_str_equal(((SteadSnapshot *)list->pdata[i])->instance, instance_id))
            g_ptr_array_remove_index(list, i);
    g_ptr_array_sort(list, compare_created);
    return list;
}

/* op->id is the instance's, op->name the snapshot's id; op->flag says whether memory is wanted. */
typedef struct {
    SteadOp *op;
    SteadMachine *machine;
    JsonNode *layers;
    GStrv disks; /* files that are current, as the runtime says */
    char *instance_name, *snapshot_name;
} Work;

static void work_clear(Work *work)
{
    g_clear_pointer(&work->machine, stead_machine_free);
    g_clear_pointer(&work->layers, json_node_unref);
    g_clear_pointer(&work->disks, g_strfreev);
    g_clear_pointer(&work->instance_name, g_free);
    g_clear_pointer(&work->snapshot_name, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static gboolean resolve(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    SteadInstance *instance = stead_engine_expect(engine, work->op->id, error);
    SteadSnapshot *snapshot = stead_table_get(engine->snapshots, work->op->name);
    if (instance == NULL)
        return FALSE;
    if (snapshot == NULL) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the snapshot was removed meanwhile");
        return FALSE;
    }
    work->layers = snapshot->layers ? json_node_ref(snapshot->layers) : NULL;
    work->instance_name = g_strdup(instance->name);
    work->snapshot_name = g_strdup(snapshot->name);
    work->machine = stead_engine_machine(engine, instance, error);
    return work->machine != NULL;
}

/* A disk is known by its family of layers: the definition may be older than the record, and have
 * other disks. */
static void write_disk(SteadInstance *instance, const char *path)
{
    for (guint i = 0; i < instance->disks->len; i++) {
        SteadDiskRecord *disk = instance->disks->pdata[i];
        if (g_str_equal(disk->path, path))
            return;
        if (!stead_layer_same_family(disk->path, path))
            continue;
        /* A layer is qcow2 also where what it stands on is raw. */
        stead_set_string(&disk->path, path);
        stead_set_string(&disk->format, g_str_has_suffix(path, ".qcow2") ? "qcow2" : "raw");
        return;
    }
}

static gboolean write_disks(gpointer data, GError **error)
{
    Work *work = data;
    SteadInstance *instance = stead_engine_expect(work->op->engine, work->op->id, error);
    if (instance == NULL)
        return FALSE;
    for (char **path = work->disks; *path; path++)
        write_disk(instance, *path);
    return stead_table_save(work->op->engine->instances, instance, error);
}

static gboolean sync_disks(Work *work, SteadJob *job, GError **error)
{
    g_clear_pointer(&work->disks, g_strfreev);
    if (!stead_runtime_has(work->op->runtime, STEAD_FEATURE_LAYERS))
        return TRUE;
    work->disks = stead_runtime_disks(work->op->runtime, work->op->id, error);
    return work->disks && stead_job_sync(job, write_disks, work, error);
}

static SteadJob *submit(SteadEngine *engine, const SteadInstance *instance,
                        const SteadSnapshot *snapshot, const char *type, SteadJobFunc body,
                        gboolean flag, GError **error)
{
    SteadOp *op = stead_op_new(engine, instance->id, snapshot->id);
    op->flag = flag;
    return stead_engine_submit_on(engine, instance, type, body, op, error);
}

/* ---- create ---- */

/* The one thing in a runtime's layers that is for others, too. */
static guint64 size_of(JsonNode *layers)
{
    JsonObject *object = JSON_NODE_HOLDS_OBJECT(layers) ? json_node_get_object(layers) : NULL;
    gint64 size = object ? json_object_get_int_member_with_default(object, "size", 0) : 0;
    return (guint64)MAX(size, 0);
}

static gboolean complete(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    SteadSnapshot *snapshot = stead_table_get(engine->snapshots, work->op->name);
    if (snapshot == NULL)
        return TRUE;
    g_clear_pointer(&snapshot->layers, json_node_unref);
    snapshot->layers = json_node_ref(work->layers);
    snapshot->size = size_of(work->layers);
    snapshot->memory = work->op->flag;
    snapshot->complete = TRUE;
    if (!stead_table_save(engine->snapshots, snapshot, error))
        return FALSE;
    stead_events_emit(engine->events, "snapshot.created", work->instance_name,
                      stead_event_data("snapshot", work->snapshot_name, NULL));
    return TRUE;
}

static gboolean forget(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    const SteadInstance *instance = stead_table_get(engine->instances, work->op->id);
    if (!stead_table_remove(engine->snapshots, work->op->name, error))
        return FALSE;
    if (instance)
        stead_engine_settle_volumes(engine, instance);
    return TRUE;
}

static void undo(Work *work, SteadJob *job)
{
    g_autoptr(GError) error = NULL;
    if (!stead_runtime_snapshot_remove(work->op->runtime, work->machine, work->op->name, NULL,
                                       &error) ||
        !sync_disks(work, job, &error) || !stead_job_sync(job, forget, work, &error))
        g_warning("the unfinished snapshot %s of %s stays to be removed: %s", work->snapshot_name,
                  work->instance_name, error->message);
}

static gboolean create_body(SteadJob *job, gpointer data, GError **error)
{
    g_auto(Work) work = {.op = data};
    SteadOp *op = data;
    if (!stead_job_sync(job, resolve, &work, error))
        return FALSE;
    stead_job_progress("taking the snapshot", -1, job);
    work.layers =
        stead_runtime_snapshot(op->runtime, work.machine, op->name, op->flag, stead_job_progress,
                               job, stead_job_cancellable(job), error);
    if (work.layers && sync_disks(&work, job, error) && stead_job_sync(job, complete, &work, error))
        return TRUE;
    undo(&work, job);
    return FALSE;
}

static gboolean may_take(SteadEngine *engine, const SteadInstance *instance, const char *name,
                         int memory, GError **error)
{
    g_autoptr(GPtrArray) list = stead_engine_snapshots(engine, instance->id);
    if (!stead_name_check("snapshot", name, error))
        return FALSE;
    if (!stead_runtime_has(stead_engine_runtime(engine, instance->kind), STEAD_FEATURE_SNAPSHOT))
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, NULL,
                        "instances of kind %s have no snapshots",
                        stead_name_of(&stead_kind_names, (int)instance->kind));
    else if (find(engine, instance->id, name))
        stead_set_error(error, STEAD_ERROR_CONFLICT, "Choose another name, or remove it first.",
                        "%s has a snapshot '%s' already", instance->name, name);
    else if (list->len >= MAX_SNAPSHOTS)
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Remove some that are not needed.",
                        "%s has %u snapshots already", instance->name, list->len);
    else if (memory == 1 && !stead_instance_is_up(instance))
        stead_set_error(error, STEAD_ERROR_STATE, "Leave the memory out, or start it.",
                        "%s is not running, so it has no memory to keep", instance->name);
    else if (instance->disks->len == 0)
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is still being made", instance->name);
    else
        return TRUE;
    return FALSE;
}

SteadJob *stead_engine_snapshot(SteadEngine *engine, const char *instance_id, const char *name,
                                int memory, GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    if (instance == NULL || !may_take(engine, instance, name, memory, error))
        return NULL;
    g_autoptr(GPtrArray) list = stead_engine_snapshots(engine, instance->id);
    SteadSnapshot *snapshot = g_new0(SteadSnapshot, 1);
    snapshot->id = g_uuid_string_random();
    snapshot->instance = g_strdup(instance->id);
    snapshot->name = g_strdup(name);
    snapshot->memory = memory < 0 ? stead_instance_is_up(instance) : memory;
    snapshot->ready = snapshot->memory && instance->ready;
    snapshot->spec = stead_instance_spec_copy(instance->spec);
    snapshot->created = g_get_real_time();
    if (list->len > 0)
        snapshot->parent = g_strdup(((SteadSnapshot *)list->pdata[list->len - 1])->name);
    if (!stead_table_add(engine->snapshots, snapshot, error)) {
        stead_snapshot_free(snapshot);
        return NULL;
    }
    SteadJob *job =
        submit(engine, instance, snapshot, "snapshot.create", create_body, snapshot->memory, error);
    if (job == NULL)
        stead_table_remove(engine->snapshots, snapshot->id, NULL);
    return job;
}

/* ---- restore ---- */

static gboolean begin_restore(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    if (!resolve(work, error))
        return FALSE;
    SteadInstance *instance = stead_engine_expect(engine, work->op->id, error);
    const SteadSnapshot *snapshot = stead_table_get(engine->snapshots, work->op->name);
    stead_set_string(&instance->restoring, work->op->name);
    work->op->flag = snapshot->memory;
    if (!stead_table_save(engine->instances, instance, error)) {
        g_clear_pointer(&instance->restoring, g_free);
        return FALSE;
    }
    stead_engine_unwatch(engine, instance->id);
    return TRUE;
}

/* The line that its readiness rule waits for may have been printed before the snapshot was taken,
 * and is not printed again. */
static void watch_restored(Work *work, SteadInstance *instance)
{
    SteadEngine *engine = work->op->engine;
    const SteadSnapshot *snapshot = stead_table_get(engine->snapshots, work->op->name);
    stead_engine_watch(engine, instance, TRUE);
    if (snapshot && snapshot->ready)
        g_clear_pointer(&stead_engine_live(engine, instance->id)->rule, stead_match_free);
}

static gboolean finish_restore(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    SteadInstance *instance = stead_engine_expect(engine, work->op->id, error);
    if (instance == NULL)
        return FALSE;
    gboolean running = work->op->flag;
    const SteadSnapshot *snapshot = stead_table_get(engine->snapshots, work->op->name);
    if (snapshot && snapshot->spec) /* the root disk has the size again that it had then */
        instance->spec->disk = snapshot->spec->disk;
    g_clear_pointer(&instance->restoring, g_free);
    instance->want_running = running;
    instance->started = running ? g_get_real_time() : 0;
    if (running)
        stead_engine_note_choice(instance, work->machine);
    g_clear_pointer(&instance->error, g_free);
    /* A restore leads from any settled state to what the snapshot holds. */
    SteadState from = instance->state;
    instance->state = running ? STEAD_STATE_RUNNING : STEAD_STATE_STOPPED;
    instance->ready = FALSE;
    if (!stead_table_save(engine->instances, instance, error))
        return FALSE;
    stead_events_emit(engine->events, "snapshot.restored", instance->name,
                      stead_event_data("snapshot", work->snapshot_name, "from",
                                       stead_name_of(&stead_state_names, (int)from), NULL));
    stead_engine_live(engine, instance->id)->changed = g_get_monotonic_time();
    if (running)
        watch_restored(work, instance);
    stead_engine_finish_attachments(engine, instance);
    stead_engine_changed(engine);
    return TRUE;
}

static gboolean fail_restore(gpointer data, GError **error)
{
    Work *work = data;
    SteadInstance *instance = stead_table_get(work->op->engine->instances, work->op->id);
    if (instance == NULL)
        return TRUE;
    g_clear_pointer(&instance->restoring, g_free);
    stead_engine_save(work->op->engine, instance);
    if (stead_instance_is_up(instance))
        stead_engine_watch(work->op->engine, instance, FALSE);
    stead_engine_reconcile(work->op->engine);
    return TRUE;
}

static gboolean restore_body(SteadJob *job, gpointer data, GError **error)
{
    g_auto(Work) work = {.op = data};
    SteadOp *op = data;
    if (!stead_job_sync(job, begin_restore, &work, error))
        return FALSE;
    stead_job_progress("restoring", -1, job);
    if ((!op->flag || stead_engine_make_ground_in_job(op->engine, job, op->id, error)) &&
        stead_runtime_restore(op->runtime, work.machine, op->name, work.layers, error) &&
        sync_disks(&work, job, error) && stead_job_sync(job, finish_restore, &work, error))
        return stead_engine_publish_in_job(op->engine, job, op->id, error);
    stead_job_sync(job, fail_restore, &work, NULL);
    return FALSE;
}

static SteadSnapshot *find_complete(SteadEngine *engine, const SteadInstance *instance,
                                    const char *name, GError **error)
{
    SteadSnapshot *snapshot = find(engine, instance->id, name);
    if (snapshot == NULL) {
        g_autofree char *hint =
            g_strdup_printf("'stead snapshot ls %s' shows them.", instance->name);
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint, "%s has no snapshot '%.64s'",
                        instance->name, name);
    } else if (!snapshot->complete) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "the snapshot '%s' is not complete", name);
        snapshot = NULL;
    }
    return snapshot;
}

SteadJob *stead_engine_restore(SteadEngine *engine, const char *instance_id, const char *name,
                               GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    SteadSnapshot *snapshot = instance ? find_complete(engine, instance, name, error) : NULL;
    return snapshot
               ? submit(engine, instance, snapshot, "snapshot.restore", restore_body, FALSE, error)
               : NULL;
}

/* ---- remove ---- */

static gboolean begin_remove(gpointer data, GError **error)
{
    Work *work = data;
    if (!resolve(work, error))
        return FALSE;
    SteadSnapshot *snapshot = stead_table_get(work->op->engine->snapshots, work->op->name);
    gboolean complete = snapshot->complete;
    snapshot->complete = FALSE; /* from here on there is only the way out */
    if (stead_table_save(work->op->engine->snapshots, snapshot, error))
        return TRUE;
    snapshot->complete = complete;
    return FALSE;
}

static gboolean finish_remove(gpointer data, GError **error)
{
    Work *work = data;
    stead_events_emit(work->op->engine->events, "snapshot.removed", work->instance_name,
                      stead_event_data("snapshot", work->snapshot_name, NULL));
    return forget(work, error);
}

static gboolean remove_body(SteadJob *job, gpointer data, GError **error)
{
    g_auto(Work) work = {.op = data};
    SteadOp *op = data;
    if (!stead_job_sync(job, begin_remove, &work, error))
        return FALSE;
    stead_job_progress("removing the snapshot", -1, job);
    return stead_runtime_snapshot_remove(op->runtime, work.machine, op->name, work.layers, error) &&
           sync_disks(&work, job, error) && stead_job_sync(job, finish_remove, &work, error);
}

SteadJob *stead_engine_remove_snapshot(SteadEngine *engine, const char *instance_id,
                                       const char *name, GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, instance_id, error);
    SteadSnapshot *snapshot = instance ? find(engine, instance->id, name) : NULL;
    if (instance && snapshot == NULL)
        find_complete(engine, instance, name, error);
    return snapshot
               ? submit(engine, instance, snapshot, "snapshot.remove", remove_body, FALSE, error)
               : NULL;
}

SteadJob *stead_engine_finish_snapshot(SteadEngine *engine, const SteadInstance *instance,
                                       const SteadSnapshot *snapshot, GError **error)
{
    gboolean restoring = g_strcmp0(instance->restoring, snapshot->id) == 0;
    return submit(engine, instance, snapshot, restoring ? "snapshot.restore" : "snapshot.remove",
                  restoring ? restore_body : remove_body, FALSE, error);
}

/* ---- volumes that outlive the instance ---- */

typedef struct {
    SteadOp *op;
    GStrv ids;
} Holding;

static gboolean is_spread(SteadEngine *engine, const SteadInstance *instance)
{
    for (guint i = 0; i < instance->disks->len; i++) {
        const SteadDiskRecord *disk = instance->disks->pdata[i];
        const SteadVolume *volume = stead_table_get(engine->volumes, disk->volume);
        if (volume && g_strcmp0(volume->path, disk->path) != 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean list_holding(gpointer data, GError **error)
{
    Holding *holding = data;
    SteadEngine *engine = holding->op->engine;
    const SteadInstance *instance = stead_engine_expect(engine, holding->op->id, error);
    if (instance == NULL)
        return FALSE;
    holding->op->runtime = stead_engine_runtime(engine, instance->kind);
    g_autoptr(GStrvBuilder) ids = g_strv_builder_new();
    g_autoptr(GPtrArray) snapshots = stead_engine_snapshots(engine, instance->id);
    for (guint i = 0; i < snapshots->len && is_spread(engine, instance); i++)
        g_strv_builder_add(ids, ((SteadSnapshot *)snapshots->pdata[i])->id);
    holding->ids = g_strv_builder_end(ids);
    if (!is_spread(engine, instance) || stead_table_damaged(engine->snapshots)->len == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_STATE, "'stead doctor' says how to mend the record.",
                    "a volume of %s may end in layers of a snapshot whose record cannot be read",
                    instance->name);
    return FALSE;
}

gboolean stead_engine_gather_volumes_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                            GError **error)
{
    g_autoptr(SteadOp) op = stead_op_new(engine, id, NULL);
    Holding holding = {.op = op};
    gboolean listed = stead_job_sync(job, list_holding, &holding, error);
    g_auto(GStrv) ids = holding.ids;
    if (!listed)
        return FALSE;
    for (char **snapshot = ids; *snapshot; snapshot++) {
        stead_set_string(&op->name, *snapshot);
        if (!remove_body(job, op, error))
            return FALSE;
    }
    return TRUE;
}
