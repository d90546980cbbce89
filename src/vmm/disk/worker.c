/* SPDX-License-Identifier: Apache-2.0 */
/* Two lists under one mutex: jobs to run, and jobs whose end the loop has to be told, which an
 * eventfd wakes it for. */
#include "vmm/disk/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (256U << 10)

typedef struct {
    VmmJob *first;
    VmmJob **last;
} JobList;

struct VmmWorker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    pthread_cond_t has_ended; /* a job has, or the preparation */
    JobList waiting;
    JobList ended;
    unsigned n_open; /* jobs whose end has not been told */
    int (*prepare)(void);
    int unprepared; /* what it returned */
    bool is_prepared;
    bool quit;
    bool is_running;
    int event;
    VmmSource *source;
};

static void list_init(JobList *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_add(JobList *list, VmmJob *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
}

static VmmJob *list_take(JobList *list)
{
    VmmJob *job = list->first;
    list->first = job->next;
    if (!list->first)
        list->last = &list->first;
    return job;
}

static void wake_loop(VmmWorker *worker)
{
    uint64_t one = 1;
    if (write(worker->event, &one, sizeof one) < 0)
        return; /* only when the counter is full: the loop will look */
}

static void *work(void *data)
{
    VmmWorker *worker = data;
    int failed = worker->prepare ? worker->prepare() : 0;
    pthread_mutex_lock(&worker->mutex);
    worker->unprepared = failed;
    worker->is_prepared = true;
    pthread_cond_signal(&worker->has_ended);
    while (!worker->quit || worker->waiting.first) {
        if (!worker->waiting.first) {
            pthread_cond_wait(&worker->has_work, &worker->mutex);
            continue;
        }
        VmmJob *job = list_take(&worker->waiting);
        pthread_mutex_unlock(&worker->mutex);
        job->run(job);
        pthread_mutex_lock(&worker->mutex);
        list_add(&worker->ended, job);
        pthread_cond_signal(&worker->has_ended);
        wake_loop(worker);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* Tells the ends there are. */
static void tell(VmmWorker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    while (worker->ended.first) {
        VmmJob *job = list_take(&worker->ended);
        worker->n_open--;
        pthread_mutex_unlock(&worker->mutex);
        job->done(job);
        pthread_mutex_lock(&worker->mutex);
    }
    pthread_mutex_unlock(&worker->mutex);
}

static void on_event(void *data, uint32_t events)
{
    VmmWorker *worker = data;
    uint64_t count;
    if (read(worker->event, &count, sizeof count) < 0)
        return;
    tell(worker);
}

/* All signals stay with the thread that was there first. */
static int start_thread(VmmWorker *worker)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, &attributes, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    worker->is_running = failed == 0;
    return -failed;
}

static int wait_for_preparation(VmmWorker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    while (!worker->is_prepared)
        pthread_cond_wait(&worker->has_ended, &worker->mutex);
    pthread_mutex_unlock(&worker->mutex);
    return worker->unprepared;
}

int vmm_worker_new(VmmWorker **worker, VmmLoop *loop, int (*prepare)(void))
{
    VmmWorker *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->has_work, NULL);
    pthread_cond_init(&made->has_ended, NULL);
    made->prepare = prepare;
    list_init(&made->waiting);
    list_init(&made->ended);
    made->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = made->event < 0 ? -errno : 0;
    if (!failed)
        failed = vmm_loop_add(loop, made->event, EPOLLIN, on_event, made, &made->source);
    if (!failed)
        failed = start_thread(made);
    if (!failed)
        failed = wait_for_preparation(made);
    if (failed)
        vmm_worker_free(made);
    else
        *worker = made;
    return failed;
}

void vmm_worker_free(VmmWorker *worker)
{
    if (!worker)
        return;
    vmm_worker_drain(worker);
    pthread_mutex_lock(&worker->mutex);
    worker->quit = true;
    pthread_cond_signal(&worker->has_work);
    pthread_mutex_unlock(&worker->mutex);
    if (worker->is_running)
        pthread_join(worker->thread, NULL);
    vmm_source_remove(worker->source);
    if (worker->event >= 0)
        close(worker->event);
    pthread_cond_destroy(&worker->has_ended);
    pthread_cond_destroy(&worker->has_work);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}

void vmm_worker_add(VmmWorker *worker, VmmJob *job)
{
    pthread_mutex_lock(&worker->mutex);
    worker->n_open++;
    list_add(&worker->waiting, job);
    pthread_cond_signal(&worker->has_work);
    pthread_mutex_unlock(&worker->mutex);
}

/* Waits for an end; false when there is nothing to wait for. */
static bool wait_for_end(VmmWorker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    bool is_open = worker->n_open > 0;
    while (is_open && !worker->ended.first)
        pthread_cond_wait(&worker->has_ended, &worker->mutex);
    pthread_mutex_unlock(&worker->mutex);
    return is_open;
}

void vmm_worker_drain(VmmWorker *worker)
{
    while (wait_for_end(worker))
        tell(worker);
}
