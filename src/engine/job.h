/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: the long operations.
 *
 * A job's body is straight-line blocking code in a thread of its own. It owns copies of what it
 * works on; records belong to the main loop, and the body reaches them only through
 * stead_job_sync(), which runs a function there and waits for it. Jobs with the same lock run one
 * after the other, in the order they were submitted. All other functions are for the main loop, but
 * those marked (body).
 *
 * Jobs live in memory. What a killed daemon left half-done is found in the records, which are
 * written before each step, and is finished or undone from there.
 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "engine/events.h"

/* At most this many bodies work at a time; further jobs wait their turn. */
#define STEAD_JOBS_MAX_RUNNING 16
/* So many composite ones, and so many questions. */
#define STEAD_JOBS_MAX_COMPOSITE 16
#define STEAD_JOBS_MAX_QUESTIONS 64
/* Finished jobs that are remembered, and for how many of them their results are. */
#define STEAD_JOBS_MAX_FINISHED 256
#define STEAD_JOBS_MAX_RESULTS 16
/* Jobs that may wait; one more is refused (EXHAUSTED). */
#define STEAD_JOBS_MAX_QUEUED 4096

typedef enum {
    STEAD_JOB_QUEUED,
    STEAD_JOB_RUNNING,
    STEAD_JOB_DONE,
    STEAD_JOB_FAILED,
    STEAD_JOB_CANCELLED,
    STEAD_N_JOB_STATES
} SteadJobState;

typedef struct _SteadJobs SteadJobs;
typedef struct _SteadJob SteadJob;

/* The body; `data` is the submitter's. */
typedef gboolean (*SteadJobFunc)(SteadJob *job, gpointer data, GError **error);

typedef struct {
    const char *type;    /* "instance.create" */
    const char *subject; /* name of what it works on */
    const char *id;      /* the subject's, which is told by its name in an error; NULL: none */
    const char *lock;    /* NULL: none */
    gboolean composite;  /* only submits other jobs, none of them composite, and waits for them */
    gboolean quiet;      /* a question: no events, not remembered once it has ended */
    SteadJobFunc func;
    gpointer data;
    GDestroyNotify free_data; /* called on the main loop after the job has finished */
} SteadJobOptions;

/* `events` is borrowed for its life. */
SteadJobs *stead_jobs_new(SteadEvents *events);
/* Cancels all jobs and iterates the main loop until they have ended, at most `timeout_ms`; FALSE
 * when some have not. */
gboolean stead_jobs_shutdown(SteadJobs *jobs, guint timeout_ms);
void stead_jobs_free(SteadJobs *jobs);

/* Never starts the body before it has returned. The job is borrowed; ref it to keep it. Fails with
 * EXHAUSTED; free_data was called then. */
SteadJob *stead_jobs_submit(SteadJobs *jobs, const SteadJobOptions *options, GError **error);
/* Unfinished or remembered, borrowed. NOT_FOUND, also for those of an earlier daemon. */
SteadJob *stead_jobs_find(SteadJobs *jobs, const char *id, GError **error);
/* The latest unfinished job with this lock, or this type and subject; NULL when there is none. */
SteadJob *stead_jobs_find_active(SteadJobs *jobs, const char *type, const char *subject);
SteadJob *stead_jobs_active_with_lock(SteadJobs *jobs, const char *lock);
/* Cancels all unfinished jobs with this lock. */
void stead_jobs_cancel_with_lock(SteadJobs *jobs, const char *lock);
/* Newest first. */
void stead_jobs_each(SteadJobs *jobs, gboolean active_only, void (*func)(SteadJob *, gpointer),
                     gpointer data);

SteadJob *stead_job_ref(SteadJob *job);
void stead_job_unref(SteadJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadJob, stead_job_unref)

/* 8 hexadecimal digits by chance: an id of an earlier daemon's job is not met again. */
const char *stead_job_id(const SteadJob *job);
SteadJobState stead_job_state(const SteadJob *job);
gboolean stead_job_is_quiet(const SteadJob *job);
/* The error of a failed or cancelled job; NULL else. */
const GError *stead_job_error(const SteadJob *job);
/* With its result, which events never carry: it may be large, or meant for one reader. */
JsonNode *stead_job_to_json(SteadJob *job);
/* Calls func once when the job has ended, from the main loop, while its result is still there. */
typedef void (*SteadJobNotify)(SteadJob *job, gpointer data);
void stead_job_notify(SteadJob *job, SteadJobNotify func, gpointer data);
/* Calls func with every job that has ended, when its lock is free again; one listener. */
void stead_jobs_watch(SteadJobs *jobs, SteadJobNotify func, gpointer data);
/* The lock of a job; NULL: none. */
const char *stead_job_lock(const SteadJob *job);
/* The result, borrowed; NULL when there is none. For ended jobs. */
JsonNode *stead_job_result(SteadJob *job);
/* Asks the body to end; a queued job ends at once. */
void stead_job_cancel(SteadJob *job);

/* (body) Triggered by stead_job_cancel(). */
GCancellable *stead_job_cancellable(SteadJob *job);
/* (body) How far it is; a SteadProgressFunc with the job as its data. Told at most ten times a
 * second. */
void stead_job_progress(const char *stage, double fraction, gpointer data);
/* (any thread) Has func(data) called on the main loop, soon, and never in this thread. */
void stead_call_on_main(GSourceFunc func, gpointer data);
/* (body) Runs func(data) on the main loop and returns what it returned. */
typedef gboolean (*SteadSyncFunc)(gpointer data, GError **error);
gboolean stead_job_sync(SteadJob *job, SteadSyncFunc func, gpointer data, GError **error);
/* (body) Waits until `other` (of which the caller holds a reference) has ended; FALSE with its
 * error when it failed. When the waiting job is cancelled and `own` is TRUE, `other` is cancelled,
 * too. */
gboolean stead_job_wait(SteadJob *job, SteadJob *other, gboolean own, GError **error);
/* (body) What the job's JSON shows as its result; taken over. */
void stead_job_set_result(SteadJob *job, JsonNode *result);
