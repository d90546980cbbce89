/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that does what would block: one job after the other, in the order they came. Jobs are
 * added and their ends told with the VM's lock held; the thread never takes that lock.
 */
#pragma once

#include "vmm/loop.h"

typedef struct VmmWorker VmmWorker;
typedef struct VmmJob VmmJob;

/* Embedded in what the caller works on; its own until `done` is called. */
struct VmmJob {
    void (*run)(VmmJob *job);  /* in the thread */
    void (*done)(VmmJob *job); /* from the loop or from vmm_worker_drain() */
    VmmJob *next;
};

/* Starts the thread, which first calls `prepare` unless that is NULL. 0 or a negative errno, which
 * may be prepare's. */
int vmm_worker_new(VmmWorker **worker, VmmLoop *loop, int (*prepare)(void));
/* Drains and ends the thread. NULL is fine. */
void vmm_worker_free(VmmWorker *worker);

void vmm_worker_add(VmmWorker *worker, VmmJob *job);

/* Waits until no job is left, telling their ends; also of those that they add. */
void vmm_worker_drain(VmmWorker *worker);
