/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole specs. `up` makes a plan and carries it out with one job for each part: networks and
 * volumes first, then instances side by side, each after those it depends on are ready. `down` is
 * the way back. Both only submit jobs and wait for them.
 */
#include "base/error.h"
#include "engine/plan.h"
#include "engine/state.h"

#define READY_TIMEOUT_MS (15 * 60 * 1000)
/* Steps that are under way at a time. */
#define MAX_WALKS 64

static GPtrArray *make_plan(SteadEngine *engine, const SteadSpec *spec, GError **error)
{
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    g_autoptr(GPtrArray) networks = stead_table_list(engine->networks);
    g_autoptr(GPtrArray) volumes = stead_table_list(engine->volumes);
    SteadWorld world = {instances, networks, volumes};
    return stead_plan_new(spec, &world, error);
}

JsonNode *stead_engine_plan(SteadEngine *engine, const SteadSpec *spec, GError **error)
{
    g_autoptr(GPtrArray) steps = make_plan(engine, spec, error);
    return steps ? stead_plan_to_json(steps) : NULL;
}

/* ---- changing one instance ---- */

static gboolean check_changes(GPtrArray *changes, const char *name, GError **error)
{
    for (guint i = 0; i < changes->len; i++) {
        const SteadChange *change = changes->pdata[i];
        if (change->effect != STEAD_EFFECT_RECREATE)
            continue;
        g_autofree char *hint = g_strdup_printf(
            "Undo it in the spec, or make the instance anew: stead rm %s, then up.", name);
        stead_set_error(error, STEAD_ERROR_STATE, hint,
                        "%s: '%s' (%s → %s) can only be changed in a new instance", name,
                        change->field, change->from ? change->from : "unset",
                        change->to ? change->to : "unset");
        return FALSE;
    }
    return TRUE;
}

static gboolean grows_disk(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadInstance *instance = stead_table_get(op->engine->instances, op->id);
    const SteadInstanceSpec *wanted = op->extra;
    return instance && wanted->disk > instance->spec->disk;
}

typedef struct {
    SteadOp *op;
    SteadJob *job;
} Submission;

static gboolean submit_growth(gpointer data, GError **error)
{
    Submission *submission = data;
    SteadOp *op = submission->op;
    SteadJob *job =
        stead_engine_resize_root(op->engine, op->id, ((SteadInstanceSpec *)op->extra)->disk, error);
    submission->job = job ? stead_job_ref(job) : NULL;
    return job != NULL;
}

static gboolean take_spec(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL)
        return FALSE;
    SteadInstanceSpec *wanted = op->extra;
    wanted->disk = MAX(wanted->disk, instance->spec->disk);
    g_autoptr(GPtrArray) changes = stead_instance_spec_diff(instance->spec, wanted);
    if (!check_changes(changes, instance->name, error))
        return FALSE;
    for (guint i = 0; stead_instance_is_up(instance) && i < changes->len; i++)
        instance->restart_needed |=
            ((SteadChange *)changes->pdata[i])->effect == STEAD_EFFECT_RESTART;
    stead_instance_spec_free(instance->spec);
    instance->spec = g_steal_pointer(&op->extra);
    if (stead_instance_is_up(instance))
        stead_engine_submit_ports(op->engine, instance);
    return stead_table_save(op->engine->instances, instance, error);
}

/* Composite: the growth is a job of its own under the instance's lock. */
static gboolean change_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    Submission submission = {op, NULL};
    if (stead_job_sync(job, grows_disk, op, NULL)) {
        if (!stead_job_sync(job, submit_growth, &submission, error))
            return FALSE;
        g_autoptr(SteadJob) growth = submission.job;
        if (!stead_job_wait(job, growth, TRUE, error))
            return FALSE;
    }
    return stead_job_sync(job, take_spec, op, error);
}

SteadJob *stead_engine_change(SteadEngine *engine, const char *id, SteadInstanceSpec *spec,
                              GError **error)
{
    g_autoptr(SteadInstanceSpec) owned = spec;
    SteadInstance *instance = stead_engine_expect(engine, id, error);
    if (instance == NULL)
        return NULL;
    owned->count = 1;
    g_autoptr(GPtrArray) changes = stead_instance_spec_diff(instance->spec, owned);
    if (!check_changes(changes, instance->name, error))
        return NULL;
    SteadOp *op = stead_op_new(engine, id, instance->name);
    op->extra = g_steal_pointer(&owned);
    op->free_extra = (GDestroyNotify)stead_instance_spec_free;
    SteadJobOptions options = {.type = "instance.change",
                               .subject = instance->name,
                               .composite = TRUE,
                               .func = change_body,
                               .data = op,
                               .free_data = stead_op_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}

/* ---- up ---- */

/* One step's way: submitted when what it waits for is ready, then waited for. */
typedef struct {
    SteadEngine *engine;
    SteadJob *job; /* of the whole */
    const SteadSpec *spec;
    const SteadStep *step;
    char *id;      /* of the instance, once it is on record */
    SteadJob *own; /* the step's job; NULL when nothing is to be done */
    GError *error;
} Walk;

static gboolean submit_step(gpointer data, GError **error)
{
    Walk *walk = data;
    const SteadStep *step = walk->step;
    SteadEngine *engine = walk->engine;
    SteadInstance *instance = stead_table_by_name(engine->instances, step->name);
    SteadJob *job = NULL;
    if (step->kind == STEAD_STEP_KEEP || step->kind == STEAD_STEP_SURPLUS)
        job = NULL;
    else if (step->part == STEAD_PART_NETWORK && step->kind == STEAD_STEP_CREATE)
        job = stead_engine_create_network(engine, step->name, stead_network_spec_copy(step->spec),
                                          walk->spec->name, error);
    else if (step->part == STEAD_PART_VOLUME && step->kind == STEAD_STEP_CREATE)
        job = stead_engine_create_volume(engine, step->name, stead_volume_spec_copy(step->spec),
                                         walk->spec->name, error);
    else if (step->part == STEAD_PART_VOLUME)
        job = stead_engine_resize_volume(engine, step->name,
                                         ((const SteadVolumeSpec *)step->spec)->size, error);
    else if (step->part == STEAD_PART_NETWORK)
        stead_set_error(error, STEAD_ERROR_STATE, "Take its instances down first.",
                        "the network '%s' cannot be changed while it is in use", step->name);
    else if (step->kind == STEAD_STEP_CREATE)
        job = stead_engine_create(engine, step->name, stead_instance_spec_copy(step->spec),
                                  walk->spec->name, TRUE, error);
    else if (step->kind == STEAD_STEP_START && instance)
        job = stead_engine_act(engine, instance->id, STEAD_ACTION_START, NULL, error);
    else if (instance)
        job =
            stead_engine_change(engine, instance->id, stead_instance_spec_copy(step->spec), error);
    walk->own = job ? stead_job_ref(job) : NULL;
    instance = stead_table_by_name(engine->instances, step->name);
    walk->id = instance ? g_strdup(instance->id) : NULL;
    return job || step->kind == STEAD_STEP_KEEP || step->kind == STEAD_STEP_SURPLUS;
}

typedef struct {
    SteadEngine *engine;
    const char *name;
    char *id;
    guint64 timeout_ms;
} Lookup;

static gboolean look_up(gpointer data, GError **error)
{
    Lookup *lookup = data;
    const SteadInstance *instance =
        stead_table_find(lookup->engine->instances, lookup->name, error);
    lookup->id = instance ? g_strdup(instance->id) : NULL;
    lookup->timeout_ms = instance && instance->spec->ready.timeout ? instance->spec->ready.timeout
                                                                   : READY_TIMEOUT_MS;
    return instance != NULL;
}

static gboolean wait_for(Walk *walk, const char *name, GError **error)
{
    Lookup lookup = {walk->engine, name, NULL, 0};
    if (!stead_job_sync(walk->job, look_up, &lookup, error))
        return FALSE;
    g_autofree char *id = lookup.id;
    if (stead_engine_wait_ready(walk->engine, walk->job, id, lookup.timeout_ms, error))
        return TRUE;
    g_prefix_error(error, "%s depends on %s: ", walk->step->name, name);
    return FALSE;
}

static gboolean walk_step(Walk *walk, GError **error)
{
    for (guint i = 0; walk->step->after && walk->step->after[i]; i++)
        if (!wait_for(walk, walk->step->after[i], error))
            return FALSE;
    if (!stead_job_sync(walk->job, submit_step, walk, error))
        return FALSE;
    return walk->own == NULL || stead_job_wait(walk->job, walk->own, TRUE, error);
}

static void run_walk(gpointer data, gpointer unused)
{
    Walk *walk = data;
    if (!walk_step(walk, &walk->error))
        g_prefix_error(&walk->error,
                       "%s '%s': ", stead_name_of(&stead_part_names, (int)walk->step->part),
                       walk->step->name);
}

static void walk_free(gpointer data)
{
    Walk *walk = data;
    g_free(walk->id);
    g_clear_pointer(&walk->own, stead_job_unref);
    g_clear_error(&walk->error);
    g_free(walk);
}

/* Walks all steps of a part side by side; the first error counts, the others are told. */
static gboolean walk_part(SteadEngine *engine, SteadJob *job, const SteadSpec *spec,
                          GPtrArray *steps, gboolean instances, GError **error)
{
    g_autoptr(GPtrArray) walks = g_ptr_array_new_with_free_func(walk_free);
    for (guint i = 0; i < steps->len; i++) {
        const SteadStep *step = steps->pdata[i];
        if ((step->part == STEAD_PART_INSTANCE) != instances || step->kind == STEAD_STEP_KEEP ||
            step->kind == STEAD_STEP_SURPLUS)
            continue;
        Walk *walk = g_new0(Walk, 1);
        *walk = (Walk){.engine = engine, .job = job, .spec = spec, .step = step};
        g_ptr_array_add(walks, walk);
    }
    /* Steps are in the order of their dependencies, and the pool keeps that order: whoever waits
     * waits for one that was begun before. */
    GThreadPool *pool = g_thread_pool_new(run_walk, NULL, MAX_WALKS, FALSE, NULL);
    for (guint i = 0; i < walks->len; i++)
        g_thread_pool_push(pool, walks->pdata[i], NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
    gboolean done = TRUE;
    for (guint i = 0; i < walks->len; i++) {
        Walk *walk = walks->pdata[i];
        if (walk->error == NULL)
            continue;
        if (done)
            g_propagate_error(error, g_steal_pointer(&walk->error));
        else
            g_warning("%s", walk->error->message);
        done = FALSE;
    }
    return done;
}

typedef struct {
    SteadEngine *engine;
    SteadSpec *spec;
    GPtrArray *steps;
} Up;

static void up_free(gpointer data)
{
    Up *up = data;
    stead_spec_free(up->spec);
    g_ptr_array_unref(up->steps);
    g_free(up);
}

static gboolean up_body(SteadJob *job, gpointer data, GError **error)
{
    Up *up = data;
    stead_job_set_result(job, stead_plan_to_json(up->steps));
    return walk_part(up->engine, job, up->spec, up->steps, FALSE, error) &&
           walk_part(up->engine, job, up->spec, up->steps, TRUE, error);
}

SteadJob *stead_engine_up(SteadEngine *engine, SteadSpec *spec, GError **error)
{
    g_autoptr(SteadSpec) owned = spec;
    g_autoptr(GPtrArray) steps = make_plan(engine, spec, error);
    if (steps == NULL)
        return NULL;
    for (guint i = 0; i < steps->len; i++) {
        const SteadStep *step = steps->pdata[i];
        if (step->part == STEAD_PART_INSTANCE && step->kind == STEAD_STEP_CHANGE &&
            !check_changes(step->changes, step->name, error))
            return NULL;
    }
    g_autofree char *lock = g_strconcat("project/", spec->name, NULL);
    Up *up = g_new0(Up, 1);
    *up = (Up){engine, g_steal_pointer(&owned), g_steal_pointer(&steps)};
    SteadJobOptions options = {.type = "spec.up",
                               .subject = up->spec->name,
                               .lock = lock,
                               .composite = TRUE,
                               .func = up_body,
                               .data = up,
                               .free_data = up_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}

/* ---- down ---- */

/* op->name is the project; op->flag: volumes, too. */
typedef struct {
    SteadOp *op;
    SteadPart part;
    GPtrArray *jobs; /* references */
} Down;

static void keep_job(Down *down, SteadJob *job)
{
    if (job)
        g_ptr_array_add(down->jobs, stead_job_ref(job));
}

static gboolean submit_removals(gpointer data, GError **error)
{
    Down *down = data;
    SteadEngine *engine = down->op->engine;
    SteadTable *tables[] = {[STEAD_PART_NETWORK] = engine->networks,
                            [STEAD_PART_VOLUME] = engine->volumes,
                            [STEAD_PART_INSTANCE] = engine->instances};
    g_autoptr(GPtrArray) list = stead_table_list(tables[down->part]);
    SteadActionOptions force = {.force = TRUE};
    for (guint i = 0; i < list->len; i++) {
        GError *failure = NULL;
        const SteadInstance *instance = list->pdata[i];
        const SteadNetwork *network = list->pdata[i];
        const SteadVolume *volume = list->pdata[i];
        SteadJob *job = NULL;
        if (down->part == STEAD_PART_INSTANCE && g_strcmp0(instance->project, down->op->name) == 0)
            job = stead_engine_act(engine, instance->id, STEAD_ACTION_REMOVE, &force, &failure);
        else if (down->part == STEAD_PART_NETWORK &&
                 g_strcmp0(network->project, down->op->name) == 0)
            job = stead_engine_remove_network(engine, network->name, &failure);
        else if (down->part == STEAD_PART_VOLUME && g_strcmp0(volume->project, down->op->name) == 0)
            job = stead_engine_remove_volume(engine, volume->name, &failure);
        keep_job(down, job);
        if (failure) {
            g_propagate_error(error, failure);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean remove_part(SteadOp *op, SteadJob *job, SteadPart part, GError **error)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)stead_job_unref);
    Down down = {op, part, jobs};
    gboolean done = stead_job_sync(job, submit_removals, &down, error);
    for (guint i = 0; i < jobs->len; i++)
        done = stead_job_wait(job, jobs->pdata[i], FALSE, done ? error : NULL) && done;
    return done;
}

static gboolean down_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    stead_job_progress("removing instances", -1, job);
    if (!remove_part(op, job, STEAD_PART_INSTANCE, error))
        return FALSE;
    stead_job_progress("removing networks", -1, job);
    return remove_part(op, job, STEAD_PART_NETWORK, error) &&
           (!op->flag || remove_part(op, job, STEAD_PART_VOLUME, error));
}

SteadJob *stead_engine_down(SteadEngine *engine, const char *project, gboolean volumes,
                            GError **error)
{
    g_autofree char *lock = g_strconcat("project/", project, NULL);
    SteadOp *op = stead_op_new(engine, NULL, project);
    op->flag = volumes;
    SteadJobOptions options = {.type = "spec.down",
                               .subject = project,
                               .lock = lock,
                               .composite = TRUE,
                               .func = down_body,
                               .data = op,
                               .free_data = stead_op_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}
