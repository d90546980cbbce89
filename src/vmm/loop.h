/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of the I/O thread: descriptors and timers. It holds the VM's lock while a
 * callback runs and while it changes its own lists, and no lock while it waits.
 *
 * Everything here but vmm_loop_new(), _free() and _run() is called with the VM's lock held, from
 * any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

typedef struct VmmLoop VmmLoop;
typedef struct VmmSource VmmSource;

/* `events` are epoll's; EPOLLHUP and EPOLLERR come unasked. 0 for a timer. The callback may add and
 * remove any source, its own too. */
typedef void (*VmmLoopCallback)(void *data, uint32_t events);

/* `lock` may be NULL: there is only one thread. Returns 0 or a negative errno. */
int vmm_loop_new(VmmLoop **loop, pthread_mutex_t *lock);
/* Frees sources that were not removed, too. NULL is fine. */
void vmm_loop_free(VmmLoop *loop);

/* Level-triggered. The descriptor stays the caller's and must be open until the source is removed.
 * On success *source is set, when it is not NULL. */
int vmm_loop_add(VmmLoop *loop, int fd, uint32_t events, VmmLoopCallback callback, void *data,
                 VmmSource **source);

/* Waits for other events; 0 pauses the source. Of no effect on timers. */
int vmm_source_set_events(VmmSource *source, uint32_t events);

/* A timer, not yet armed. */
int vmm_loop_add_timer(VmmLoop *loop, VmmLoopCallback callback, void *data, VmmSource **source);

/* Once, after that many nanoseconds from now; 0 disarms it. Only for timers. */
int vmm_source_arm(VmmSource *source, uint64_t nanoseconds);

/* After this its callback is not called again. NULL is fine. */
void vmm_source_remove(VmmSource *source);

/* Dispatches until vmm_loop_quit(). Returns 0, or a negative errno of the wait. */
int vmm_loop_run(VmmLoop *loop);
/* One wait of at most that many milliseconds (-1: no limit) and what it brings. */
int vmm_loop_iterate(VmmLoop *loop, int timeout_ms);
/* From any thread; also wakes a loop that waits. */
void vmm_loop_quit(VmmLoop *loop);
