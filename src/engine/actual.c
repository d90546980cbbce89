/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host says against what the records say, for instances that no job is working on: one
 * that ended by itself is marked, and started again where its restart policy wants that; one
 * that somebody started, paused or stopped by other means is shown as it is.
 *
 * While a job has the instance, or before the records were compared with the host, the last word
 * is kept, and heard afterwards: what the job left behind it agrees with, and says nothing new; but
 * a guest that ended behind the job's back is noticed.
 */
#include <string.h>

#include "base/error.h"
#include "engine/template.h"

#define MAX_BACKOFF_S 60
/* A run this long counts as a success: the next restart does not wait. */
#define GOOD_RUN_US (60 * G_TIME_SPAN_SECOND)

static gboolean restart_now(gpointer data)
{
    SteadLive *live = data;
    SteadEngine *engine = live->engine;
    SteadInstance *instance = stead_table_get(engine->instances, live->id);
    live->restart_timer = 0;
    if (instance == NULL || !instance->want_running)
        return G_SOURCE_REMOVE;
    guint restarts = instance->restarts;
    g_autoptr(GError) error = NULL;
    if (!stead_engine_act(engine, live->id, STEAD_ACTION_START, NULL, &error))
        g_warning("%s could not be started again: %s", instance->name, error->message);
    instance->restarts = restarts + 1;
    return G_SOURCE_REMOVE;
}

static void restart_later(SteadEngine *engine, SteadInstance *instance, gint64 ran_us)
{
    SteadLive *live = stead_engine_live(engine, instance->id);
    if (ran_us > GOOD_RUN_US)
        instance->restarts = 0;
    guint seconds =
        instance->restarts == 0 ? 0 : MIN(MAX_BACKOFF_S, 1u << MIN(6, instance->restarts - 1));
    g_autofree char *wait = g_strdup_printf("%u", seconds);
    stead_events_emit(engine->events, "instance.restart", instance->name,
                      stead_event_data("wait-s", wait, NULL));
    g_clear_handle_id(&live->restart_timer, g_source_remove);
    live->restart_timer = g_timeout_add_seconds(seconds, restart_now, live);
}

static gboolean policy_restarts(const SteadInstance *instance, gboolean failed)
{
    SteadRestart policy = instance->spec->restart;
    return instance->want_running &&
           (policy == STEAD_RESTART_ALWAYS || (policy == STEAD_RESTART_ON_FAILURE && failed));
}

static void on_end(SteadEngine *engine, SteadInstance *instance, const SteadActual *actual)
{
    gboolean failed = actual->failed;
    const SteadLive *live = g_hash_table_lookup(engine->live, instance->id);
    gint64 ran_us = live && live->run_started ? g_get_monotonic_time() - live->run_started : 0;
    gboolean restarts =
        policy_restarts(instance, failed) || (actual->rebooting && instance->want_running);
    instance->want_running = restarts;
    instance->started = 0;
    stead_engine_set_state(engine, instance, failed ? STEAD_STATE_FAILED : STEAD_STATE_STOPPED,
                           failed ? "it ended by itself; 'stead logs' shows its last words" : NULL,
                           NULL);
    stead_engine_unwatch(engine, instance->id);
    stead_engine_submit_ports(engine, instance);
    if (restarts)
        restart_later(engine, instance, ran_us);
}

static void on_run(SteadEngine *engine, SteadInstance *instance, SteadState state)
{
    gboolean was_up =
        instance->state == STEAD_STATE_RUNNING || instance->state == STEAD_STATE_PAUSED;
    if (!was_up && !stead_engine_set_state(engine, instance, STEAD_STATE_STARTING, NULL, NULL))
        return;
    if (!was_up) {
        instance->want_running = TRUE;
        instance->started = g_get_real_time();
    }
    stead_engine_set_state(engine, instance, state, NULL, NULL);
    if (!was_up) {
        stead_engine_watch(engine, instance, FALSE);
        stead_engine_submit_ports(engine, instance);
    }
}

static void keep(SteadEngine *engine, const SteadActual *actual)
{
    SteadActual *copy = g_new0(SteadActual, 1);
    copy->id = g_strdup(actual->id);
    copy->domain = g_strdup(actual->domain);
    copy->state = actual->state;
    copy->silent = actual->silent;
    copy->failed = actual->failed;
    copy->rebooting = actual->rebooting;
    /* A clone is told who it is by the job that has it. */
    const SteadInstance *instance = stead_table_get(engine->instances, actual->id);
    copy->agent = actual->agent;
    copy->nameless = actual->nameless && !(instance && instance->unborn);
    g_hash_table_replace(engine->heard, g_strdup(actual->id), copy);
}

void stead_engine_on_job_ended(SteadJob *job, gpointer data)
{
    SteadEngine *engine = data;
    const char *lock = stead_job_lock(job);
    stead_warm_on_job_ended(job, engine);
    if (lock == NULL || !g_str_has_prefix(lock, STEAD_INSTANCE_LOCK) ||
        stead_jobs_active_with_lock(engine->jobs, lock))
        return;
    g_autofree char *id = NULL;
    g_autoptr(SteadActual) actual = NULL;
    if (g_hash_table_steal_extended(engine->heard, lock + strlen(STEAD_INSTANCE_LOCK),
                                    (gpointer *)&id, (gpointer *)&actual))
        stead_engine_on_actual(actual, engine);
}

void stead_engine_on_actual(const SteadActual *actual, gpointer data)
{
    SteadEngine *engine = data;
    SteadInstance *instance = stead_table_get(engine->instances, actual->id);
    g_autofree char *lock = stead_engine_instance_lock(actual->id);
    if (!engine->adopted || (instance && stead_jobs_active_with_lock(engine->jobs, lock))) {
        keep(engine, actual);
        return;
    }
    g_hash_table_remove(engine->heard, actual->id);
    if (instance == NULL)
        return;
    gboolean up = instance->state == STEAD_STATE_RUNNING || instance->state == STEAD_STATE_PAUSED;
    if (actual->state == STEAD_STATE_STOPPED && up)
        on_end(engine, instance, actual);
    else if ((actual->state == STEAD_STATE_RUNNING || actual->state == STEAD_STATE_PAUSED) &&
             actual->state != instance->state && !(actual->silent && up) &&
             instance->state != STEAD_STATE_CREATING && instance->state != STEAD_STATE_REMOVING)
        on_run(engine, instance, actual->state);
    if (actual->nameless && instance->state == STEAD_STATE_RUNNING)
        stead_engine_introduce(engine, instance);
    else if (actual->agent && instance->state == STEAD_STATE_RUNNING)
        stead_engine_await_ready(engine, stead_engine_live(engine, instance->id));
    stead_engine_changed(engine);
}
