/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start, stop, restart, pause, resume, remove: the actions. How an instance is started and removed
 * stands in start.c and remove.c, since creating needs it, too.
 *
 * Each action is a row of a table: which states it may begin in, which state it shows meanwhile,
 * and its body. It is on record from its acceptance (ask.c) until its body says what it does
 * (want_running, the state), which is before the host is touched.
 */
#include "base/error.h"
#include "engine/state.h"
#include "net/ports.h"

#define STOP_TIMEOUT_MS (90 * 1000)

static gboolean start_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_engine_start_in_job(op->engine, job, op->id, FALSE, error);
}

/* ---- stop ---- */

static gboolean begin_stop(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL)
        return FALSE;
    gboolean wanted = instance->want_running, ending = instance->ending;
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
    instance->ending = ending;
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
        return stead_runtime_kill(op->runtime, op->id, error);
    }
    stead_job_progress("shutting down", -1, job);
    guint64 timeout_ms = op->number ? op->number : STOP_TIMEOUT_MS;
    if (stead_runtime_stop(op->runtime, op->id, timeout_ms, stead_job_cancellable(job), error))
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
    return stead_runtime_pause(op->runtime, op->id, stead_job_cancellable(job), error) &&
           stead_job_sync(job, finish_pause, op, error);
}

static gboolean resume_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    op->flag = FALSE;
    return stead_runtime_resume(op->runtime, op->id, error) &&
           stead_job_sync(job, finish_pause, op, error);
}

/* ---- the table ---- */

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

#define IN(state) (1u << STEAD_STATE_##state)
#define SETTLED (IN(STOPPED) | IN(RUNNING) | IN(PAUSED) | IN(FAILED))
#define ANY (~0u)

static const struct {
    const char *type;
    SteadJobFunc body;
    guint from; /* states, as bits; a job under way may lead to another by the time this one runs */
    const char *refusal;
} actions[] = {
    [STEAD_ACTION_NONE] = {"instance.none", NULL, 0, "be left alone"},
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
    if (instance->asked == STEAD_ACTION_REMOVE && action != STEAD_ACTION_REMOVE) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is about to be removed",
                        instance->name);
        return FALSE;
    }
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

static gboolean act_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return (op->extra == NULL || stead_job_sync(job, stead_ask_begin, op->extra, error)) &&
           actions[op->action].body(job, data, error);
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
    guint restarts = instance->restarts;
    instance->restarts = 0;
    gboolean on_record = options && options->on_record;
    SteadAsk *ask = on_record ? NULL : stead_engine_ask(engine, instance, action, options, error);
    if (ask == NULL && !on_record) {
        instance->restarts = restarts;
        return NULL;
    }
    SteadOp *op = stead_op_new(engine, id, instance->name);
    op->action = action;
    op->flag = options && options->force;
    op->number = options ? options->timeout_ms : 0;
    op->extra = ask;
    op->free_extra = stead_ask_free;
    return stead_engine_submit_on(engine, instance, actions[action].type, act_body, op, error);
}
