/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing an instance: first all that is on the host, each step repeatable, and its records last
 * and at once. What was cut off goes on from the record, which says `removing`.
 */
#include "base/error.h"
#include "engine/state.h"
#include "net/ports.h"
#include "net/reservations.h"
#include "storage/disk.h"

typedef struct {
    SteadEngine *engine;
    const char *id;
    SteadRuntime *runtime;
    GPtrArray *networks; /* SteadNetwork */
    GPtrArray *macs;     /* char *, one for each */
    char *name;
} Removal;

static void removal_clear(Removal *removal)
{
    g_clear_pointer(&removal->networks, g_ptr_array_unref);
    g_clear_pointer(&removal->macs, g_ptr_array_unref);
    g_clear_pointer(&removal->name, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Removal, removal_clear)

static gboolean begin_remove(gpointer data, GError **error)
{
    Removal *removal = data;
    SteadEngine *engine = removal->engine;
    SteadInstance *instance = stead_engine_expect(engine, removal->id, error);
    if (instance == NULL)
        return FALSE;
    removal->name = g_strdup(instance->name);
    removal->runtime = stead_engine_runtime(engine, instance->kind);
    removal->networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    removal->macs = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        const SteadNetwork *network = stead_table_by_name(engine->networks, nic->network);
        if (network == NULL)
            continue;
        g_ptr_array_add(removal->networks, stead_network_copy(network));
        g_ptr_array_add(removal->macs, g_strdup(nic->mac));
    }
    gboolean wanted = instance->want_running;
    instance->want_running = FALSE;
    if (instance->state == STEAD_STATE_REMOVING ||
        stead_engine_set_state(engine, instance, STEAD_STATE_REMOVING, NULL, error))
        return TRUE;
    instance->want_running = wanted;
    return FALSE;
}

/* Its console is closed before its folder goes: it keeps an index there. */
static gboolean end_watch(gpointer data, GError **error)
{
    Removal *removal = data;
    stead_engine_unwatch(removal->engine, removal->id);
    return TRUE;
}

static gboolean save_released(SteadEngine *engine, SteadVolume *volume, GError **error)
{
    char *holder = g_steal_pointer(&volume->attached);
    gboolean saved = stead_table_save(engine->volumes, volume, error);
    volume->attached = holder; /* until the whole is committed */
    return saved;
}

/* (in a transaction) */
static gboolean erase_records(SteadEngine *engine, const char *id, GPtrArray *snapshots,
                              GPtrArray *volumes, GError **error)
{
    for (guint i = 0; i < snapshots->len; i++)
        if (!stead_table_erase(engine->snapshots, ((SteadSnapshot *)snapshots->pdata[i])->id,
                               error))
            return FALSE;
    for (guint i = 0; i < volumes->len; i++)
        if (!save_released(engine, volumes->pdata[i], error))
            return FALSE;
    return stead_table_erase(engine->instances, id, error);
}

static gboolean finish_remove(gpointer data, GError **error)
{
    Removal *removal = data;
    SteadEngine *engine = removal->engine;
    g_autoptr(GPtrArray) snapshots = stead_engine_snapshots(engine, removal->id);
    g_autoptr(GPtrArray) volumes = stead_engine_volumes_of(engine, removal->id);
    if (!stead_store_begin(engine->store, error))
        return FALSE;
    if (!erase_records(engine, removal->id, snapshots, volumes, error)) {
        stead_store_rollback(engine->store);
        return FALSE;
    }
    if (!stead_store_commit(engine->store, error))
        return FALSE;
    for (guint i = 0; i < snapshots->len; i++)
        stead_table_drop(engine->snapshots, ((SteadSnapshot *)snapshots->pdata[i])->id);
    for (guint i = 0; i < volumes->len; i++)
        g_clear_pointer(&((SteadVolume *)volumes->pdata[i])->attached, g_free);
    g_hash_table_remove(engine->live, removal->id);
    stead_table_drop(engine->instances, removal->id);
    stead_events_emit(engine->events, "instance.removed", removal->name, NULL);
    stead_engine_changed(engine);
    return TRUE;
}

gboolean stead_engine_remove_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                    GError **error)
{
    g_auto(Removal) removal = {.engine = engine, .id = id};
    g_autofree char *dir = stead_engine_instance_dir(engine, id);
    g_autofree char *run_dir = stead_engine_instance_run_dir(engine, id);
    if (!stead_job_sync(job, begin_remove, &removal, error))
        return FALSE;
    stead_job_progress("removing", -1, job);
    /* Snapshots go with the instance, a volume stays: it may not end in layers of theirs. */
    if (!stead_runtime_kill(removal.runtime, id, error) ||
        !stead_engine_gather_volumes_in_job(engine, job, id, error) ||
        !stead_runtime_destroy(removal.runtime, id, error) ||
        !stead_ports_unpublish(run_dir, error) || !stead_job_sync(job, end_watch, &removal, error))
        return FALSE;
    for (guint i = 0; i < removal.networks->len; i++)
        if (!stead_network_release(engine->libvirt, removal.networks->pdata[i],
                                   removal.macs->pdata[i], error))
            return FALSE;
    if (!stead_instance_disks_remove(engine->libvirt, engine->paths, id, error) ||
        !stead_remove_tree(dir, error) || !stead_remove_tree(run_dir, error))
        return FALSE;
    return stead_job_sync(job, finish_remove, &removal, error);
}
