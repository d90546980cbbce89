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

static gboolean check_step(const SteadStep *step, GError **error)
{
    if (step->kind != STEAD_STEP_CHANGE)
        return TRUE;
    if (step->part == STEAD_PART_INSTANCE)
        return stead_engine_check_changes(step->changes, step->name, error);
    if (step->part == STEAD_PART_VOLUME && step->effect != STEAD_EFFECT_RECREATE)
        return TRUE;
    const SteadChange *first = step->changes->pdata[0];
    stead_set_error(error, STEAD_ERROR_STATE,
                    "Undo it in the spec, or remove the old one first ('stead down' for a spec).",
                    "the %s '%s' is there already, and its '%s' cannot be changed",
                    stead_name_of(&stead_part_names, (int)step->part), step->name, first->field);
    return FALSE;
}

/* A plan that can be carried out: what cannot is refused before anything is done. */
static GPtrArray *make_feasible_plan(SteadEngine *engine, const SteadSpec *spec, GError **error)
{
    g_autoptr(GPtrArray) steps = make_plan(engine, spec, error);
    for (guint i = 0; steps && i < steps->len; i++)
        if (!check_step(steps->pdata[i], error))
            return NULL;
    return g_steal_pointer(&steps);
}

JsonNode *stead_engine_plan(SteadEngine *engine, const SteadSpec *spec, GError **error)
{
    g_autoptr(GPtrArray) steps = make_plan(engine, spec, error);
    return steps ? stead_plan_to_json(steps) : NULL;
}

/* ---- one step's way ---- */

typedef struct _Walk Walk;

/* The steps that are walked side by side. */
typedef struct {
    SteadEngine *engine;
    SteadJob *job; /* of the whole */
    const SteadSpec *spec;
    GPtrArray *walks; /* Walk */
    GMutex mutex;     /* with `moved`: guards has_ended of all walks */
    GCond moved;
} Round;

/* Submitted when what it waits for is ready, then waited for. */
struct _Walk {
    Round *round;
    const SteadStep *step;
    SteadJob *own; /* the step's present job */
    gboolean has_ended;
    GError *error;
};

static SteadJob *submit_network(Walk *walk, GError **error)
{
    const SteadStep *step = walk->step;
    return stead_engine_create_network(walk->round->engine, step->name,
                                       stead_network_spec_copy(step->spec), walk->round->spec->name,
                                       error);
}

static SteadJob *submit_volume(Walk *walk, GError **error)
{
    const SteadStep *step = walk->step;
    const SteadVolumeSpec *spec = step->spec;
    if (step->kind == STEAD_STEP_CHANGE)
        return stead_engine_resize_volume(walk->round->engine, step->name, spec->size, error);
    return stead_engine_create_volume(walk->round->engine, step->name, stead_volume_spec_copy(spec),
                                      walk->round->spec->name, error);
}

static SteadJob *submit_start(Walk *walk, GError **error)
{
    SteadEngine *engine = walk->round->engine;
    SteadInstance *instance = stead_engine_instance(engine, walk->step->name, error);
    return instance ? stead_engine_act(engine, instance->id, STEAD_ACTION_START, NULL, error)
                    : NULL;
}

static SteadJob *submit_instance(Walk *walk, GError **error)
{
    const SteadStep *step = walk->step;
    SteadEngine *engine = walk->round->engine;
    if (step->kind == STEAD_STEP_START)
        return submit_start(walk, error);
    if (step->kind == STEAD_STEP_CREATE)
        return stead_engine_create(engine, step->name, stead_instance_spec_copy(step->spec),
                                   walk->round->spec->name, TRUE, error);
    SteadInstance *instance = stead_engine_instance(engine, step->name, error);
    return instance ? stead_engine_change(engine, instance->id,
                                          stead_instance_spec_copy(step->spec), error)
                    : NULL;
}

typedef SteadJob *(*SubmitFunc)(Walk *walk, GError **error);

static const SubmitFunc submit_part[] = {
    [STEAD_PART_NETWORK] = submit_network,
    [STEAD_PART_VOLUME] = submit_volume,
    [STEAD_PART_INSTANCE] = submit_instance,
};
G_STATIC_ASSERT(G_N_ELEMENTS(submit_part) == STEAD_N_PARTS);

typedef struct {
    Walk *walk;
    SubmitFunc func;
} Submission;

static gboolean submit_on_main(gpointer data, GError **error)
{
    Submission *submission = data;
    Walk *walk = submission->walk;
    SteadJob *job = submission->func(walk, error);
    g_clear_pointer(&walk->own, stead_job_unref);
    walk->own = job ? stead_job_ref(job) : NULL;
    return job != NULL;
}

static gboolean run(Walk *walk, SubmitFunc func, GError **error)
{
    Submission submission = {walk, func};
    SteadJob *job = walk->round->job;
    return !g_cancellable_set_error_if_cancelled(stead_job_cancellable(job), error) &&
           stead_job_sync(job, submit_on_main, &submission, error) &&
           stead_job_wait(job, walk->own, TRUE, error);
}

/* ---- what a step waits for ---- */

static Walk *find_walk(Round *round, const char *name)
{
    for (guint i = 0; i < round->walks->len; i++) {
        Walk *walk = round->walks->pdata[i];
        if (walk->step->part == STEAD_PART_INSTANCE && g_str_equal(walk->step->name, name))
            return walk;
    }
    return NULL;
}

/* Its step comes first: before that the instance may not even be on record. */
static gboolean wait_for_walk(Walk *walk, GError **error)
{
    g_mutex_lock(&walk->round->mutex);
    while (!walk->has_ended)
        g_cond_wait(&walk->round->moved, &walk->round->mutex);
    g_mutex_unlock(&walk->round->mutex);
    if (walk->error)
        g_propagate_error(error, g_error_copy(walk->error));
    return walk->error == NULL;
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
    const SteadInstance *instance = stead_engine_instance(lookup->engine, lookup->name, error);
    lookup->id = instance ? g_strdup(instance->id) : NULL;
    lookup->timeout_ms = instance && instance->spec->ready.timeout ? instance->spec->ready.timeout
                                                                   : READY_TIMEOUT_MS;
    return instance != NULL;
}

static gboolean wait_for(Walk *walk, const char *name, GError **error)
{
    Round *round = walk->round;
    Lookup lookup = {round->engine, name, NULL, 0};
    Walk *before = find_walk(round, name);
    if ((before == NULL || wait_for_walk(before, error)) &&
        stead_job_sync(round->job, look_up, &lookup, error)) {
        g_autofree char *id = lookup.id;
        if (stead_engine_wait_ready(round->engine, round->job, id, lookup.timeout_ms, error))
            return TRUE;
    }
    g_prefix_error(error, "%s depends on %s: ", walk->step->name, name);
    return FALSE;
}

static gboolean walk_step(Walk *walk, GError **error)
{
    const SteadStep *step = walk->step;
    for (guint i = 0; step->after && step->after[i]; i++)
        if (!wait_for(walk, step->after[i], error))
            return FALSE;
    return run(walk, submit_part[step->part], error) &&
           (!step->then_start || run(walk, submit_start, error));
}

static void run_walk(gpointer data, gpointer unused)
{
    Walk *walk = data;
    if (!walk_step(walk, &walk->error))
        g_prefix_error(&walk->error,
                       "%s '%s': ", stead_name_of(&stead_part_names, (int)walk->step->part),
                       walk->step->name);
    g_mutex_lock(&walk->round->mutex);
    walk->has_ended = TRUE;
    g_cond_broadcast(&walk->round->moved);
    g_mutex_unlock(&walk->round->mutex);
}

static void walk_free(gpointer data)
{
    Walk *walk = data;
    g_clear_pointer(&walk->own, stead_job_unref);
    g_clear_error(&walk->error);
    g_free(walk);
}

static void add_walks(Round *round, GPtrArray *steps, gboolean instances)
{
    for (guint i = 0; i < steps->len; i++) {
        const SteadStep *step = steps->pdata[i];
        if ((step->part == STEAD_PART_INSTANCE) != instances || step->kind == STEAD_STEP_KEEP ||
            step->kind == STEAD_STEP_SURPLUS)
            continue;
        Walk *walk = g_new0(Walk, 1);
        *walk = (Walk){.round = round, .step = step};
        g_ptr_array_add(round->walks, walk);
    }
}

/* The first error counts, the others are told. */
static gboolean gather_errors(GPtrArray *walks, GError **error)
{
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

/* Walks all steps of the instances, or of what they stand on, side by side. */
static gboolean walk_part(SteadEngine *engine, SteadJob *job, const SteadSpec *spec,
                          GPtrArray *steps, gboolean instances, GError **error)
{
    g_autoptr(GPtrArray) walks = g_ptr_array_new_with_free_func(walk_free);
    Round round = {.engine = engine, .job = job, .spec = spec, .walks = walks};
    g_mutex_init(&round.mutex);
    g_cond_init(&round.moved);
    add_walks(&round, steps, instances);
    /* Steps are in the order of their dependencies, and the pool keeps that order: whoever waits
     * waits for one that was begun before. */
    GThreadPool *pool = g_thread_pool_new(run_walk, NULL, MAX_WALKS, FALSE, NULL);
    for (guint i = 0; i < walks->len; i++)
        g_thread_pool_push(pool, walks->pdata[i], NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
    g_mutex_clear(&round.mutex);
    g_cond_clear(&round.moved);
    return gather_errors(walks, error);
}

/* ---- up ---- */

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

/* Another `up` of the project may have come first: what counts is what there is now. */
static gboolean plan_again(gpointer data, GError **error)
{
    Up *up = data;
    GPtrArray *steps = make_feasible_plan(up->engine, up->spec, error);
    if (steps == NULL)
        return FALSE;
    g_ptr_array_unref(up->steps);
    up->steps = steps;
    return TRUE;
}

static gboolean up_body(SteadJob *job, gpointer data, GError **error)
{
    Up *up = data;
    if (!stead_job_sync(job, plan_again, up, error))
        return FALSE;
    stead_job_set_result(job, stead_plan_to_json(up->steps));
    return walk_part(up->engine, job, up->spec, up->steps, FALSE, error) &&
           walk_part(up->engine, job, up->spec, up->steps, TRUE, error);
}

SteadJob *stead_engine_up(SteadEngine *engine, SteadSpec *spec, GError **error)
{
    g_autoptr(SteadSpec) owned = spec;
    g_autoptr(GPtrArray) steps = make_feasible_plan(engine, spec, error);
    if (steps == NULL)
        return NULL;
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
