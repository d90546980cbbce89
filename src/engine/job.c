/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job by itself: what it is, what it tells, and what its body calls.
 *
 * The main loop owns every job's public state. A body's thread shares with it only what stands
 * under `mutex`: stage and fraction (written by the body, read for display), the result, and
 * `ended` with its condition, on which other bodies wait.
 */
#include "engine/job_parts.h"

#include "base/error.h"

#define PROGRESS_EVERY_MS 100

static const char *const state_names[] = {"queued", "running", "done", "failed", "cancelled"};
G_STATIC_ASSERT(G_N_ELEMENTS(state_names) == STEAD_N_JOB_STATES);

SteadJob *stead_job_ref(SteadJob *job)
{
    g_atomic_ref_count_inc(&job->refs);
    return job;
}

void stead_job_unref(SteadJob *job)
{
    if (job == NULL || !g_atomic_ref_count_dec(&job->refs))
        return;
    g_free(job->id);
    g_free(job->type);
    g_free(job->subject);
    g_free(job->subject_id);
    g_free(job->lock);
    g_object_unref(job->cancellable);
    g_clear_error(&job->error);
    g_free(job->stage);
    g_clear_pointer(&job->result, json_node_unref);
    g_mutex_clear(&job->mutex);
    g_cond_clear(&job->cond);
    g_free(job);
}

SteadJob *stead_job_new(SteadJobs *jobs, SteadEvents *events, const SteadJobOptions *options)
{
    SteadJob *job = g_new0(SteadJob, 1);
    g_autofree char *uuid = g_uuid_string_random();
    g_atomic_ref_count_init(&job->refs);
    job->jobs = jobs;
    job->events = events;
    job->id = g_strndup(uuid, 8);
    job->type = g_strdup(options->type);
    job->subject = g_strdup(options->subject ? options->subject : "");
    job->subject_id = g_strdup(options->id);
    job->lock = g_strdup(options->lock);
    job->composite = options->composite;
    job->quiet = options->quiet;
    job->func = options->func;
    job->data = options->data;
    job->free_data = options->free_data;
    job->cancellable = g_cancellable_new();
    job->created = g_get_real_time();
    job->fraction = -1;
    g_mutex_init(&job->mutex);
    g_cond_init(&job->cond);
    return job;
}

void stead_job_tell(SteadJob *job, const char *type, gboolean lasting)
{
    if (job->quiet)
        return;
    JsonNode *data = stead_job_to_json(job);
    json_object_remove_member(json_node_get_object(data), "result");
    if (lasting)
        stead_events_emit(job->events, type, job->subject, data);
    else
        stead_events_emit_passing(job->events, type, job->subject, data);
}

void stead_job_drop_result(SteadJob *job)
{
    g_mutex_lock(&job->mutex);
    g_clear_pointer(&job->result, json_node_unref);
    g_mutex_unlock(&job->mutex);
}

const char *stead_job_id(const SteadJob *job)
{
    return job->id;
}

SteadJobState stead_job_state(const SteadJob *job)
{
    return job->state;
}

gboolean stead_job_is_quiet(const SteadJob *job)
{
    return job->quiet;
}

const GError *stead_job_error(const SteadJob *job)
{
    return job->error;
}

JsonNode *stead_job_to_json(SteadJob *job)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "id", job->id);
    json_object_set_string_member(object, "type", job->type);
    json_object_set_string_member(object, "subject", job->subject);
    json_object_set_string_member(object, "state", state_names[job->state]);
    json_object_set_int_member(object, "created", job->created);
    if (job->finished)
        json_object_set_int_member(object, "finished", job->finished);
    if (job->error)
        json_object_set_member(object, "error", stead_error_to_json(job->error));
    g_mutex_lock(&job->mutex);
    if (job->stage)
        json_object_set_string_member(object, "stage", job->stage);
    json_object_set_double_member(object, "progress", job->fraction);
    if (job->result)
        json_object_set_member(object, "result", json_node_copy(job->result));
    g_mutex_unlock(&job->mutex);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

void stead_job_notify(SteadJob *job, SteadJobNotify func, gpointer data)
{
    job->notify = func;
    job->notify_data = data;
}

const char *stead_job_lock(const SteadJob *job)
{
    return job->lock;
}

JsonNode *stead_job_result(SteadJob *job)
{
    return job->result;
}

GCancellable *stead_job_cancellable(SteadJob *job)
{
    return job->cancellable;
}

static gboolean on_progress_timer(gpointer data)
{
    SteadJob *job = data;
    job->progress_source = 0;
    g_mutex_lock(&job->mutex);
    job->progress_due = FALSE;
    g_mutex_unlock(&job->mutex);
    if (job->state == STEAD_JOB_RUNNING)
        stead_job_tell(job, "job.progress", FALSE);
    return G_SOURCE_REMOVE;
}

static gboolean on_progress(gpointer data)
{
    SteadJob *job = data;
    if (job->state == STEAD_JOB_RUNNING && job->progress_source == 0)
        job->progress_source = g_timeout_add(PROGRESS_EVERY_MS, on_progress_timer, job);
    stead_job_unref(job);
    return G_SOURCE_REMOVE;
}

void stead_job_progress(const char *stage, double fraction, gpointer data)
{
    SteadJob *job = data;
    g_mutex_lock(&job->mutex);
    if (g_strcmp0(job->stage, stage) != 0) {
        g_free(job->stage);
        job->stage = g_strdup(stage);
    }
    job->fraction = fraction;
    gboolean was_due = job->progress_due;
    job->progress_due = TRUE;
    g_mutex_unlock(&job->mutex);
    if (!was_due)
        stead_call_on_main(on_progress, stead_job_ref(job));
}

/* Not g_main_context_invoke(): that calls func in this very thread whenever the main loop is
 * between two iterations, as it is while the daemon ends. */
void stead_call_on_main(GSourceFunc func, gpointer data)
{
    g_idle_add_full(G_PRIORITY_DEFAULT, func, data, NULL);
}

typedef struct {
    SteadSyncFunc func;
    gpointer data;
    GError **error;
    gboolean result, done;
    GMutex mutex;
    GCond cond;
} Sync;

static gboolean on_sync(gpointer data)
{
    Sync *sync = data;
    gboolean result = sync->func(sync->data, sync->error);
    g_mutex_lock(&sync->mutex);
    sync->result = result;
    sync->done = TRUE;
    g_cond_signal(&sync->cond);
    g_mutex_unlock(&sync->mutex);
    return G_SOURCE_REMOVE;
}

gboolean stead_job_sync(SteadJob *job, SteadSyncFunc func, gpointer data, GError **error)
{
    Sync sync = {.func = func, .data = data, .error = error};
    g_mutex_init(&sync.mutex);
    g_cond_init(&sync.cond);
    stead_call_on_main(on_sync, &sync);
    g_mutex_lock(&sync.mutex);
    while (!sync.done)
        g_cond_wait(&sync.cond, &sync.mutex);
    g_mutex_unlock(&sync.mutex);
    g_mutex_clear(&sync.mutex);
    g_cond_clear(&sync.cond);
    return sync.result;
}

static gboolean cancel_on_main(gpointer data)
{
    stead_job_cancel(data);
    stead_job_unref(data);
    return G_SOURCE_REMOVE;
}

static void on_waiter_cancelled(GCancellable *cancellable, gpointer data)
{
    stead_call_on_main(cancel_on_main, stead_job_ref(data));
}

gboolean stead_job_wait(SteadJob *job, SteadJob *other, gboolean own, GError **error)
{
    gulong handler =
        own ? g_cancellable_connect(job->cancellable, G_CALLBACK(on_waiter_cancelled), other, NULL)
            : 0;
    gboolean lends = stead_jobs_lend_slot(job);
    g_mutex_lock(&other->mutex);
    while (!other->ended)
        g_cond_wait(&other->cond, &other->mutex);
    g_mutex_unlock(&other->mutex);
    if (lends)
        stead_jobs_take_slot_back(job);
    g_cancellable_disconnect(job->cancellable, handler);
    if (other->error == NULL)
        return TRUE;
    if (error)
        *error = g_error_copy(other->error);
    return FALSE;
}

void stead_job_set_result(SteadJob *job, JsonNode *result)
{
    g_mutex_lock(&job->mutex);
    g_clear_pointer(&job->result, json_node_unref);
    job->result = result;
    g_mutex_unlock(&job->mutex);
}
