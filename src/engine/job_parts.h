/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of jobs, shared by job.c (one of them) and jobs.c (the queue), and by nobody else. */
#pragma once

#include "engine/job.h"

struct _SteadJob {
    gatomicrefcount refs;
    SteadJobs *jobs;
    SteadEvents *events;
    char *id, *type, *subject, *subject_id, *lock;
    gboolean composite, quiet;
    SteadJobFunc func;
    gpointer data;
    GDestroyNotify free_data;
    GCancellable *cancellable;
    SteadJobState state;
    GError *error;
    gint64 created, finished;
    guint progress_source;
    SteadJobNotify notify;
    gpointer notify_data;

    GMutex mutex;
    GCond cond;
    char *stage;
    double fraction;
    gboolean progress_due;
    gboolean ended;
    JsonNode *result;
};

/* ---- job.c; main loop ---- */

SteadJob *stead_job_new(SteadJobs *jobs, SteadEvents *events, const SteadJobOptions *options);
/* Emits an event about it, without its result; of a quiet one none. */
void stead_job_tell(SteadJob *job, const char *type, gboolean lasting);
void stead_job_drop_result(SteadJob *job);

/* ---- jobs.c; (body) ---- */

/* Lets another job work while this one waits; FALSE when it counts for none of the slots. */
gboolean stead_jobs_lend_slot(SteadJob *job);
void stead_jobs_take_slot_back(SteadJob *job);
