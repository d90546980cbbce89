/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start, stop, restart, pause, resume, remove.
 *
 * Each action is a row of a table: which states it may begin in, which state it shows meanwhile,
 * and its body. The intent is on record (want_running, the state) before the host is touched.
 */
#include "base/error.h"
#include "engine/state.h"
#include "net/network.h"
#include "net/ports.h"
#include "net/reservations.h"
#include "storage/disk.h"

#define STOP_TIMEOUT_MS (90 * 1000)

/* What a start needs, copied on the main loop. */
typedef struct {
    SteadEngine *engine;
    const char *id;
    SteadMachine *machine;
    GPtrArray *networks; /* SteadNetwork, one for each interface */
    GPtrArray *nics;     /* SteadNicRecord */
    char *hostname;
    const char *address; /* of the first interface that has one; NULL */
    gboolean running;    /* it runs already */
} Start;

static void start_clear(Start *start)
{
    g_clear_pointer(&start->machine, stead_machine_free);
    g_clear_pointer(&start->networks, g_ptr_array_unref);
    g_clear_pointer(&start->nics, g_ptr_array_unref);
    g_clear_pointer(&start->hostname, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Start, start_clear)

const char *stead_engine_reserved_address(const GPtrArray *nics)
{
    for (guint i = 0; i < nics->len; i++) {
        const SteadNicRecord *nic = nics->pdata[i];
        if (nic->address && *nic->address)
            return nic->address;
    }
    return NULL;
}

static void copy_networks(Start *start, const SteadInstance *instance)
{
    start->networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    start->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_nic_record_free);
    for (guint i = 0; i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        const SteadNetwork *network = stead_table_by_name(start->engine->networks, nic->network);
        SteadNicRecord *copy = g_new0(SteadNicRecord, 1);
        copy->network = g_strdup(nic->network);
        copy->mac = g_strdup(nic->mac);
        copy->address = g_strdup(nic->address);
        g_ptr_array_add(start->nics, copy);
        g_ptr_array_add(start->networks, stead_network_copy(network));
    }
    start->address = stead_engine_reserved_address(start->nics);
}

static gboolean begin_start(gpointer data, GError **error)
{
    Start *start = data;
    SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    if (instance == NULL)
        return FALSE;
    start->running = instance->state == STEAD_STATE_RUNNING;
    if (start->running)
        return TRUE;
    if (instance->state == STEAD_STATE_PAUSED) {
        stead_set_error(error, STEAD_ERROR_STATE, "Resume it: stead resume.", "%s is paused",
                        instance->name);
        return FALSE;
    }
    start->machine = stead_engine_machine(start->engine, instance, error);
    if (start->machine == NULL)
        return FALSE;
    start->hostname = g_strdup(stead_engine_hostname(instance));
    copy_networks(start, instance);
    gboolean wanted = instance->want_running;
    instance->want_running = TRUE;
    stead_set_string(&instance->accel, start->machine->accel);
    g_clear_pointer(&instance->stage, g_free);
    if (stead_engine_set_state(start->engine, instance, STEAD_STATE_STARTING, NULL, error))
        return TRUE;
    instance->want_running = wanted;
    return FALSE;
}

static gboolean finish_start(gpointer data, GError **error)
{
    Start *start = data;
    SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    if (instance == NULL)
        return FALSE;
    instance->started = g_get_real_time();
    instance->restart_needed = FALSE;
    if (instance->state == STEAD_STATE_STARTING &&
        !stead_engine_set_state(start->engine, instance, STEAD_STATE_RUNNING, NULL, error))
        return FALSE;
    /* With a rule that asks for nothing it is ready at once. */
    stead_engine_await_ready(start->engine, stead_engine_live(start->engine, start->id));
    return TRUE;
}

static gboolean begin_watch(gpointer data, GError **error)
{
    Start *start = data;
    SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    if (instance)
        stead_engine_watch(start->engine, instance, TRUE);
    return instance != NULL;
}

typedef struct {
    SteadEngine *engine;
    const char *id;
    const GError *why;
} Failure;

static gboolean fail_start(gpointer data, GError **error)
{
    Failure *failure = data;
    SteadInstance *instance = stead_table_get(failure->engine->instances, failure->id);
    if (instance == NULL)
        return TRUE;
    stead_engine_unwatch(failure->engine, failure->id);
    instance->want_running = FALSE;
    return stead_engine_set_state(failure->engine, instance, STEAD_STATE_FAILED,
                                  failure->why->message, error);
}

static gboolean prepare_networks(Start *start, GError **error)
{
    SteadEngine *engine = start->engine;
    for (guint i = 0; i < start->networks->len; i++) {
        const SteadNetwork *network = start->networks->pdata[i];
        const SteadNicRecord *nic = start->nics->pdata[i];
        g_autofree char *address = NULL;
        if (!stead_network_ensure_started(engine->libvirt, network, engine->paths, error))
            return FALSE;
        address = stead_network_reserve(engine->libvirt, network, nic->mac,
                                        nic->address && *nic->address ? nic->address : NULL,
                                        i == 0 ? start->hostname : NULL, NULL, error);
        if (address == NULL)
            return FALSE;
    }
    return TRUE;
}

static gboolean copy_for_networks(gpointer data, GError **error)
{
    Start *start = data;
    const SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    /* Resolving it finds networks that are gone. */
    start->machine = instance ? stead_engine_machine(start->engine, instance, error) : NULL;
    if (start->machine == NULL)
        return FALSE;
    start->hostname = g_strdup(stead_engine_hostname(instance));
    copy_networks(start, instance);
    return TRUE;
}

gboolean stead_engine_make_ground_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                         GError **error)
{
    g_auto(Start) start = {.engine = engine, .id = id};
    return stead_job_sync(job, copy_for_networks, &start, error) &&
           stead_make_dir(start.machine->run_dir, 0711, error) && prepare_networks(&start, error);
}

static void set_no_address(GError **error)
{
    stead_set_error(error, STEAD_ERROR_INVALID,
                    "Give the instance a static address, or a network of mode nat.",
                    "ports cannot be published for an instance without a known address");
}

static gboolean start_on_host(Start *start, SteadJob *job, GError **error)
{
    SteadEngine *engine = start->engine;
    const GPtrArray *ports = start->machine->spec->ports;
    SteadRuntime *runtime = engine->vm;
    stead_job_progress("starting", -1, job);
    if (!stead_make_dir(start->machine->dir, 0711, error) ||
        !stead_make_dir(start->machine->run_dir, 0711, error) || !prepare_networks(start, error))
        return FALSE;
    if (ports->len > 0 && start->address == NULL) {
        set_no_address(error);
        return FALSE;
    }
    if (ports->len > 0 &&
        !stead_ports_publish(start->machine->run_dir, ports, start->address, error))
        return FALSE;
    if (!stead_job_sync(job, begin_watch, start, error))
        return FALSE;
    return stead_runtime_start(runtime, start->machine, error);
}

gboolean stead_engine_start_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                   GError **error)
{
    g_auto(Start) start = {.engine = engine, .id = id};
    if (!stead_job_sync(job, begin_start, &start, error))
        return FALSE;
    if (start.running)
        return TRUE;
    g_autoptr(GError) why = NULL;
    if (start_on_host(&start, job, &why) && stead_job_sync(job, finish_start, &start, &why))
        return TRUE;
    stead_runtime_kill(engine->vm, id, NULL);
    stead_ports_unpublish(start.machine->run_dir, NULL);
    Failure failure = {engine, id, why};
    stead_job_sync(job, fail_start, &failure, NULL);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean start_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_engine_start_in_job(op->engine, job, op->id, error);
}

/* ---- ports of an instance that is up, or went down, without a start or stop of ours ---- */

typedef struct {
    SteadEngine *engine;
    const char *id;
    SteadInstance *instance; /* a copy */
} Ports;

static gboolean copy_instance(gpointer data, GError **error)
{
    Ports *ports = data;
    SteadInstance *instance = stead_engine_expect(ports->engine, ports->id, error);
    ports->instance = instance ? stead_instance_copy(instance) : NULL;
    return instance != NULL;
}

gboolean stead_engine_publish_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                     GError **error)
{
    Ports ports = {engine, id, NULL};
    if (!stead_job_sync(job, copy_instance, &ports, error))
        return FALSE;
    g_autoptr(SteadInstance) instance = ports.instance;
    g_autofree char *run_dir = stead_engine_instance_run_dir(engine, id);
    if (!stead_instance_is_up(instance) || instance->spec->ports->len == 0)
        return stead_ports_unpublish(run_dir, error);
    const char *address = stead_engine_reserved_address(instance->nics);
    if (address)
        return stead_ports_publish(run_dir, instance->spec->ports, address, error);
    set_no_address(error);
    return FALSE;
}

static gboolean ports_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_engine_publish_in_job(op->engine, job, op->id, error);
}

void stead_engine_submit_ports(SteadEngine *engine, const SteadInstance *instance)
{
    if (instance->spec->ports->len > 0)
        stead_engine_submit_on(engine, instance, "instance.ports", ports_body,
                               stead_op_new(engine, instance->id, instance->name), NULL);
}

/* ---- stop ---- */

static gboolean begin_stop(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL)
        return FALSE;
    gboolean wanted = instance->want_running;
    instance->want_running = op->again;
    /* A paused guest cannot answer the power button. */
    op->flag |= instance->state == STEAD_STATE_PAUSED || instance->state == STEAD_STATE_FAILED;
    instance->ending = op->flag;
    gboolean ended =
        instance->state == STEAD_STATE_STOPPED || instance->state == STEAD_STATE_FAILED;
    if (ended ? stead_table_save(op->engine->instances, instance, error)
              : stead_engine_set_state(op->engine, instance, STEAD_STATE_STOPPING, NULL, error))
        return TRUE;
    instance->want_running = wanted;
    return FALSE;
}

static gboolean finish_stop(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL)
        return FALSE;
    stead_engine_unwatch(op->engine, op->id);
    instance->ending = FALSE;
    instance->started = 0;
    instance->restart_needed = FALSE;
    if (instance->state == STEAD_STATE_STOPPED)
        return TRUE;
    return stead_engine_set_state(op->engine, instance, STEAD_STATE_STOPPED, NULL, error);
}

/* The guest did not go: it runs on, and the record says so. */
static gboolean undo_stop(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL || instance->state != STEAD_STATE_STOPPING)
        return instance != NULL;
    instance->ending = FALSE;
    instance->want_running = TRUE;
    return stead_engine_set_state(op->engine, instance, STEAD_STATE_RUNNING, NULL, error);
}

static gboolean stop_on_host(SteadOp *op, SteadJob *job, GError **error)
{
    if (op->flag) {
        stead_job_progress("ending", -1, job);
        return stead_runtime_kill(op->engine->vm, op->id, error);
    }
    stead_job_progress("shutting down", -1, job);
    guint64 timeout_ms = op->number ? op->number : STOP_TIMEOUT_MS;
    if (stead_runtime_stop(op->engine->vm, op->id, timeout_ms, stead_job_cancellable(job), error))
        return TRUE;
    if (error && *error && stead_error_code(*error) == STEAD_ERROR_TIMEOUT) {
        g_clear_error(error);
        g_autofree char *hint =
            g_strdup_printf("End it without asking: stead stop --force %s", op->name);
        stead_set_error(error, STEAD_ERROR_TIMEOUT, hint,
                        "%s did not shut down within %" G_GUINT64_FORMAT " s; it still runs",
                        op->name, timeout_ms / 1000);
    }
    return FALSE;
}

static gboolean stop_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    if (!stead_job_sync(job, begin_stop, op, error))
        return FALSE;
    if (!stop_on_host(op, job, error)) {
        stead_job_sync(job, undo_stop, op, NULL);
        return FALSE;
    }
    g_autofree char *run_dir = stead_engine_instance_run_dir(op->engine, op->id);
    return stead_ports_unpublish(run_dir, error) && stead_job_sync(job, finish_stop, op, error);
}

/* It stays wanted in between, so that a daemon that takes over starts it. */
static gboolean restart_body(SteadJob *job, gpointer data, GError **error)
{
    ((SteadOp *)data)->again = TRUE;
    return stop_body(job, data, error) && start_body(job, data, error);
}

/* ---- pause, resume ---- */

static gboolean finish_pause(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    SteadState to = op->flag ? STEAD_STATE_PAUSED : STEAD_STATE_RUNNING;
    return instance &&
           (instance->state == to || stead_engine_set_state(op->engine, instance, to, NULL, error));
}

static gboolean pause_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    op->flag = TRUE;
    return stead_runtime_pause(op->engine->vm, op->id, error) &&
           stead_job_sync(job, finish_pause, op, error);
}

static gboolean resume_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    op->flag = FALSE;
    return stead_runtime_resume(op->engine->vm, op->id, error) &&
           stead_job_sync(job, finish_pause, op, error);
}

/* ---- remove ---- */

typedef struct {
    SteadEngine *engine;
    const char *id;
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
    instance->want_running = FALSE;
    return instance->state == STEAD_STATE_REMOVING ||
           stead_engine_set_state(engine, instance, STEAD_STATE_REMOVING, NULL, error);
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
    if (!stead_runtime_kill(engine->vm, id, error) ||
        !stead_engine_gather_volumes_in_job(engine, job, id, error) ||
        !stead_runtime_destroy(engine->vm, id, error) || !stead_ports_unpublish(run_dir, error) ||
        !stead_job_sync(job, end_watch, &removal, error))
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

static gboolean is_there(gpointer data, GError **error)
{
    const SteadOp *op = data;
    return stead_table_get(op->engine->instances, op->id) != NULL;
}

/* A creation that was cancelled for this has undone itself, and nothing is left to do. */
static gboolean remove_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return !stead_job_sync(job, is_there, op, NULL) ||
           stead_engine_remove_in_job(op->engine, job, op->id, error);
}

/* ---- the table ---- */

#define IN(state) (1u << STEAD_STATE_##state)
#define SETTLED (IN(STOPPED) | IN(RUNNING) | IN(PAUSED) | IN(FAILED))
#define ANY (~0u)

static const struct {
    const char *type;
    SteadJobFunc body;
    guint from; /* states, as bits; a job under way may lead to another by the time this one runs */
    const char *refusal;
} actions[] = {
    [STEAD_ACTION_START] = {"instance.start", start_body, ANY & ~IN(REMOVING), "be started"},
    [STEAD_ACTION_STOP] = {"instance.stop", stop_body, ANY & ~IN(REMOVING), "be stopped"},
    [STEAD_ACTION_RESTART] = {"instance.restart", restart_body, SETTLED | IN(STOPPING),
                              "be restarted"},
    [STEAD_ACTION_PAUSE] = {"instance.pause", pause_body, IN(RUNNING) | IN(PAUSED), "be paused"},
    [STEAD_ACTION_RESUME] = {"instance.resume", resume_body, IN(RUNNING) | IN(PAUSED),
                             "be resumed"},
    [STEAD_ACTION_REMOVE] = {"instance.remove", remove_body, ANY, "be removed"},
};
G_STATIC_ASSERT(G_N_ELEMENTS(actions) == STEAD_N_ACTIONS);

static gboolean check_action(const SteadInstance *instance, SteadAction action, gboolean force,
                             GError **error)
{
    gboolean up = (1u << instance->state) & (IN(RUNNING) | IN(PAUSED) | IN(STARTING));
    if (action == STEAD_ACTION_REMOVE && up && !force) {
        g_autofree char *hint = g_strdup_printf(
            "Stop it first, or remove it as it is: stead rm --force %s", instance->name);
        stead_set_error(error, STEAD_ERROR_STATE, hint, "%s is %s", instance->name,
                        stead_name_of(&stead_state_names, (int)instance->state));
        return FALSE;
    }
    if (actions[action].from & (1u << instance->state))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is %s, and cannot %s", instance->name,
                    stead_name_of(&stead_state_names, (int)instance->state),
                    actions[action].refusal);
    return FALSE;
}

SteadJob *stead_engine_act(SteadEngine *engine, const char *id, SteadAction action,
                           const SteadActionOptions *options, GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, id, error);
    if (instance == NULL || !check_action(instance, action, options && options->force, error))
        return NULL;
    g_autofree char *lock = stead_engine_instance_lock(id);
    /* What is being made, or hangs in a stop, need not be waited for when it is to go away. */
    if (options && options->force && (action == STEAD_ACTION_REMOVE || action == STEAD_ACTION_STOP))
        stead_jobs_cancel_with_lock(engine->jobs, lock);
    instance->restarts = 0;
    SteadOp *op = stead_op_new(engine, id, instance->name);
    op->flag = options && options->force;
    op->number = options ? options->timeout_ms : 0;
    return stead_engine_submit_on(engine, instance, actions[action].type, actions[action].body, op,
                                  error);
}
