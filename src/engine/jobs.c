/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs on a thread pool: the queue, the locks, and the slots. All of it is the main loop's.
 *
 * A body that waits for another job gives its slot back meanwhile. Otherwise as many bodies as
 * there are slots could all wait for a job that waits for a slot.
 */
#include "base/error.h"
#include "engine/job_parts.h"

/* What a running job counts as; each sort has its limit. */
typedef enum {
    SORT_WORK,
    SORT_COMPOSITE,
    SORT_QUESTION,
    SORT_LOCKED_QUESTION, /* bounded by its lock, so that no flood of questions keeps it waiting */
    N_SORTS
} Sort;

static const guint limits[] = {STEAD_JOBS_MAX_RUNNING, STEAD_JOBS_MAX_COMPOSITE,
                               STEAD_JOBS_MAX_QUESTIONS, G_MAXUINT};
G_STATIC_ASSERT(G_N_ELEMENTS(limits) == N_SORTS);

struct _SteadJobs {
    SteadEvents *events;
    GThreadPool *pool;
    GQueue queued;          /* SteadJob, a reference each */
    GQueue running;         /* likewise */
    GQueue finished;        /* likewise, newest first */
    GHashTable *locked;     /* lock → the running job that holds it */
    guint working[N_SORTS]; /* running jobs that do not wait for another */
    guint dispatch_source;
    gboolean closing;
    SteadJobNotify watch;
    gpointer watch_data;
};

static void dispatch_soon(SteadJobs *jobs);

/* Keeps a job that has ended, within the bounds on their number and on that of their results. */
static void remember(SteadJobs *jobs, SteadJob *job)
{
    g_queue_push_head(&jobs->finished, stead_job_ref(job));
    SteadJob *old = g_queue_peek_nth(&jobs->finished, STEAD_JOBS_MAX_RESULTS);
    if (old)
        stead_job_drop_result(old);
    if (jobs->finished.length > STEAD_JOBS_MAX_FINISHED)
        stead_job_unref(g_queue_pop_tail(&jobs->finished));
}

/* The layers below know an instance by its id; whoever reads of it knows its name. */
static void tell_by_name(const SteadJob *job, GError *error)
{
    if (error == NULL || job->subject_id == NULL || *job->subject == '\0')
        return;
    g_autoptr(GString) message = g_string_new(error->message);
    g_string_replace(message, job->subject_id, job->subject, 0);
    g_free(error->message);
    error->message = g_strdup(message->str);
}

/* Makes the end visible: to waiting bodies, to subscribers, to the list of finished jobs. */
static void finish(SteadJob *job, SteadJobState state, GError *error)
{
    SteadJobs *jobs = job->jobs;
    job->state = state;
    job->error = error;
    tell_by_name(job, error);
    job->finished = g_get_real_time();
    g_clear_handle_id(&job->progress_source, g_source_remove);
    if (job->free_data)
        g_clear_pointer(&job->data, job->free_data);

    g_mutex_lock(&job->mutex);
    job->ended = TRUE;
    g_cond_broadcast(&job->cond);
    g_mutex_unlock(&job->mutex);

    stead_job_tell(job, "job.finished", TRUE);
    if (job->notify)
        job->notify(job, job->notify_data);
    if (jobs->watch)
        jobs->watch(job, jobs->watch_data);
    if (!job->quiet)
        remember(jobs, job);
    stead_job_unref(job);
    dispatch_soon(jobs);
}

static Sort sort_of(const SteadJob *job)
{
    if (job->quiet)
        return job->lock ? SORT_LOCKED_QUESTION : SORT_QUESTION;
    return job->composite ? SORT_COMPOSITE : SORT_WORK;
}

typedef struct {
    SteadJob *job;
    GError *error;
} Ending;

static gboolean on_body_ended(gpointer data)
{
    Ending *ending = data;
    SteadJob *job = ending->job;
    SteadJobs *jobs = job->jobs;
    g_queue_remove(&jobs->running, job);
    jobs->working[sort_of(job)]--;
    if (job->lock)
        g_hash_table_remove(jobs->locked, job->lock);
    SteadJobState state = STEAD_JOB_DONE;
    if (ending->error)
        state = stead_error_code(ending->error) == STEAD_ERROR_CANCELLED ? STEAD_JOB_CANCELLED
                                                                         : STEAD_JOB_FAILED;
    finish(job, state, ending->error);
    g_free(ending);
    return G_SOURCE_REMOVE;
}

static void run_body(gpointer data, gpointer unused)
{
    SteadJob *job = data;
    Ending *ending = g_new0(Ending, 1);
    ending->job = job;
    if (!job->func(job, job->data, &ending->error) && ending->error == NULL)
        ending->error =
            stead_error_new(STEAD_ERROR_INTERNAL, NULL, "%s failed without a reason", job->type);
    stead_call_on_main(on_body_ended, ending);
}

static void start(SteadJob *job)
{
    SteadJobs *jobs = job->jobs;
    job->state = STEAD_JOB_RUNNING;
    g_queue_push_tail(&jobs->running, job);
    jobs->working[sort_of(job)]++;
    if (job->lock)
        g_hash_table_insert(jobs->locked, job->lock, job);
    stead_job_tell(job, "job.started", TRUE);
    g_thread_pool_push(jobs->pool, job, NULL);
}

/* Starts what may run. A lock that an earlier queued job waits for is not taken by a later one. */
static gboolean dispatch(gpointer data)
{
    SteadJobs *jobs = data;
    jobs->dispatch_source = 0;
    g_autoptr(GHashTable) waited_for = g_hash_table_new(g_str_hash, g_str_equal);
    for (GList *link = jobs->queued.head, *next; link; link = next) {
        SteadJob *job = link->data;
        next = link->next;
        gboolean locked = job->lock && (g_hash_table_contains(jobs->locked, job->lock) ||
                                        g_hash_table_contains(waited_for, job->lock));
        if (locked || jobs->working[sort_of(job)] >= limits[sort_of(job)]) {
            if (job->lock)
                g_hash_table_add(waited_for, job->lock);
            continue;
        }
        g_queue_delete_link(&jobs->queued, link);
        start(job);
    }
    return G_SOURCE_REMOVE;
}

static void dispatch_soon(SteadJobs *jobs)
{
    if (jobs->dispatch_source == 0)
        jobs->dispatch_source = g_idle_add_full(G_PRIORITY_DEFAULT, dispatch, jobs, NULL);
}

SteadJobs *stead_jobs_new(SteadEvents *events)
{
    SteadJobs *jobs = g_new0(SteadJobs, 1);
    jobs->events = events;
    jobs->pool = g_thread_pool_new(run_body, NULL, -1, FALSE, NULL);
    jobs->locked = g_hash_table_new(g_str_hash, g_str_equal);
    return jobs;
}

static void cancel_all(GQueue *queue)
{
    g_autoptr(GList) jobs = g_list_copy(queue->head);
    for (GList *link = jobs; link; link = link->next)
        stead_job_cancel(link->data);
}

static gboolean on_timeout(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE;
}

gboolean stead_jobs_shutdown(SteadJobs *jobs, guint timeout_ms)
{
    gboolean timed_out = FALSE;
    jobs->closing = TRUE;
    cancel_all(&jobs->queued);
    cancel_all(&jobs->running);
    guint timer = g_timeout_add(timeout_ms, on_timeout, &timed_out);
    while (jobs->running.length > 0 && !timed_out)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    return jobs->running.length == 0;
}

void stead_jobs_free(SteadJobs *jobs)
{
    if (jobs == NULL)
        return;
    g_clear_handle_id(&jobs->dispatch_source, g_source_remove);
    g_thread_pool_free(jobs->pool, FALSE, FALSE);
    g_queue_clear_full(&jobs->queued, (GDestroyNotify)stead_job_unref);
    g_queue_clear_full(&jobs->finished, (GDestroyNotify)stead_job_unref);
    g_hash_table_unref(jobs->locked);
    g_free(jobs);
}

SteadJob *stead_jobs_submit(SteadJobs *jobs, const SteadJobOptions *options, GError **error)
{
    if (jobs->closing || jobs->queued.length >= STEAD_JOBS_MAX_QUEUED) {
        if (options->free_data)
            options->free_data(options->data);
        if (jobs->closing)
            stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "the daemon is ending");
        else
            stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Wait until some of them have ended.",
                            "%u jobs are waiting already", jobs->queued.length);
        return NULL;
    }
    SteadJob *job = stead_job_new(jobs, jobs->events, options);
    g_queue_push_tail(&jobs->queued, job);
    dispatch_soon(jobs);
    return job;
}

typedef gboolean (*MatchFunc)(const SteadJob *job, const char *a, const char *b);

static SteadJob *find_in(GQueue *queue, MatchFunc match, const char *a, const char *b)
{
    for (GList *link = queue->tail; link; link = link->prev)
        if (match(link->data, a, b))
            return link->data;
    return NULL;
}

static SteadJob *find_active(SteadJobs *jobs, MatchFunc match, const char *a, const char *b)
{
    SteadJob *job = find_in(&jobs->queued, match, a, b);
    return job ? job : find_in(&jobs->running, match, a, b);
}

static gboolean has_id(const SteadJob *job, const char *id, const char *unused)
{
    return g_str_equal(job->id, id);
}

static gboolean has_type(const SteadJob *job, const char *type, const char *subject)
{
    return g_str_equal(job->type, type) && g_str_equal(job->subject, subject);
}

static gboolean has_lock(const SteadJob *job, const char *lock, const char *unused)
{
    return g_strcmp0(job->lock, lock) == 0;
}

SteadJob *stead_jobs_find(SteadJobs *jobs, const char *id, GError **error)
{
    SteadJob *job = find_active(jobs, has_id, id, NULL);
    if (job == NULL)
        job = find_in(&jobs->finished, has_id, id, NULL);
    if (job == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND,
                        "Jobs are forgotten when the daemon is restarted; 'stead ls' shows what "
                        "became of the instances.",
                        "there is no job '%.32s'", id);
    return job;
}

SteadJob *stead_jobs_find_active(SteadJobs *jobs, const char *type, const char *subject)
{
    return find_active(jobs, has_type, type, subject);
}

SteadJob *stead_jobs_active_with_lock(SteadJobs *jobs, const char *lock)
{
    return find_active(jobs, has_lock, lock, NULL);
}

static void cancel_with_lock(GQueue *queue, const char *lock)
{
    for (GList *link = queue->head, *next; link; link = next) {
        next = link->next;
        if (has_lock(link->data, lock, NULL))
            stead_job_cancel(link->data);
    }
}

void stead_jobs_cancel_with_lock(SteadJobs *jobs, const char *lock)
{
    cancel_with_lock(&jobs->queued, lock);
    cancel_with_lock(&jobs->running, lock);
}

void stead_jobs_each(SteadJobs *jobs, gboolean active_only, void (*func)(SteadJob *, gpointer),
                     gpointer data)
{
    for (GList *link = jobs->queued.tail; link; link = link->prev)
        func(link->data, data);
    for (GList *link = jobs->running.tail; link; link = link->prev)
        func(link->data, data);
    for (GList *link = active_only ? NULL : jobs->finished.head; link; link = link->next)
        func(link->data, data);
}

void stead_jobs_watch(SteadJobs *jobs, SteadJobNotify func, gpointer data)
{
    jobs->watch = func;
    jobs->watch_data = data;
}

void stead_job_cancel(SteadJob *job)
{
    if (job->state == STEAD_JOB_RUNNING) {
        g_cancellable_cancel(job->cancellable);
    } else if (job->state == STEAD_JOB_QUEUED) {
        g_queue_remove(&job->jobs->queued, job);
        finish(job, STEAD_JOB_CANCELLED,
               stead_error_new(STEAD_ERROR_CANCELLED, NULL, "cancelled before it began"));
    }
}

static gboolean lend_slot(gpointer data)
{
    SteadJob *job = data;
    job->jobs->working[sort_of(job)]--;
    dispatch_soon(job->jobs);
    return G_SOURCE_REMOVE;
}

/* The limit may be exceeded for a moment; what was begun is not made to wait again. */
static gboolean take_slot_back(gpointer data)
{
    SteadJob *job = data;
    job->jobs->working[sort_of(job)]++;
    return G_SOURCE_REMOVE;
}

gboolean stead_jobs_lend_slot(SteadJob *job)
{
    if (sort_of(job) != SORT_WORK)
        return FALSE;
    stead_call_on_main(lend_slot, job);
    return TRUE;
}

void stead_jobs_take_slot_back(SteadJob *job)
{
    stead_call_on_main(take_slot_back, job);
}
