/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll with sources as its user data. A source that is removed while others of the same batch are
 * still to be dispatched may be among them: it is marked dead and freed when the batch is through.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BATCH 32
#define NANOSECONDS 1000000000ULL

struct VmmSource {
    VmmLoop *loop;
    VmmSource *next;
    VmmLoopCallback callback;
    void *data;
    int fd;
    bool is_timer; /* then fd is ours */
    bool is_dead;
};

struct VmmLoop {
    pthread_mutex_t *lock;
    VmmSource *sources;
    int epoll;
    int wake; /* an eventfd, which ends a wait */
    bool quit;
    bool has_dead;
};

static void lock(VmmLoop *loop)
{
    if (loop->lock)
        pthread_mutex_lock(loop->lock);
}

static void unlock(VmmLoop *loop)
{
    if (loop->lock)
        pthread_mutex_unlock(loop->lock);
}

static int watch(VmmLoop *loop, int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};
    return epoll_ctl(loop->epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int vmm_loop_new(VmmLoop **loop, pthread_mutex_t *mutex)
{
    VmmLoop *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->lock = mutex;
    made->wake = -1;
    made->epoll = epoll_create1(EPOLL_CLOEXEC);
    int failed = made->epoll < 0 ? -errno : 0;
    if (!failed) {
        made->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        failed = made->wake < 0 ? -errno : watch(made, EPOLL_CTL_ADD, made->wake, EPOLLIN, NULL);
    }
    if (failed) {
        vmm_loop_free(made);
        return failed;
    }
    *loop = made;
    return 0;
}

static void free_source(VmmSource *source)
{
    if (source->is_timer)
        close(source->fd);
    free(source);
}

void vmm_loop_free(VmmLoop *loop)
{
    if (loop == NULL)
        return;
    while (loop->sources) {
        VmmSource *source = loop->sources;
        loop->sources = source->next;
        free_source(source);
    }
    if (loop->wake >= 0)
        close(loop->wake);
    if (loop->epoll >= 0)
        close(loop->epoll);
    free(loop);
}

static int add(VmmLoop *loop, const VmmSource *template, uint32_t events, VmmSource **source)
{
    VmmSource *made = malloc(sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    *made = *template;
    made->loop = loop;
    int failed = watch(loop, EPOLL_CTL_ADD, made->fd, events, made);
    if (failed) {
        free(made);
        return failed;
    }
    made->next = loop->sources;
    loop->sources = made;
    if (source)
        *source = made;
    return 0;
}

int vmm_loop_add(VmmLoop *loop, int fd, uint32_t events, VmmLoopCallback callback, void *data,
                 VmmSource **source)
{
    VmmSource template = {.callback = callback, .data = data, .fd = fd};
    return add(loop, &template, events, source);
}

int vmm_source_set_events(VmmSource *source, uint32_t events)
{
    if (source->is_timer)
        return 0;
    return watch(source->loop, EPOLL_CTL_MOD, source->fd, events, source);
}

int vmm_loop_add_timer(VmmLoop *loop, VmmLoopCallback callback, void *data, VmmSource **source)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    VmmSource template = {.callback = callback, .data = data, .fd = fd, .is_timer = true};
    int failed = add(loop, &template, EPOLLIN, source);
    if (failed)
        close(fd);
    return failed;
}

int vmm_source_arm(VmmSource *source, uint64_t nanoseconds)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(nanoseconds / NANOSECONDS),
                     .tv_nsec = (long)(nanoseconds % NANOSECONDS)},
    };
    return timerfd_settime(source->fd, 0, &when, NULL) < 0 ? -errno : 0;
}

void vmm_source_remove(VmmSource *source)
{
    if (source == NULL || source->is_dead)
        return;
    watch(source->loop, EPOLL_CTL_DEL, source->fd, 0, NULL);
    source->is_dead = true;
    source->loop->has_dead = true;
}

static void bury(VmmLoop *loop)
{
    VmmSource **link = &loop->sources;
    while (loop->has_dead && *link) {
        VmmSource *source = *link;
        if (source->is_dead) {
            *link = source->next;
            free_source(source);
        } else {
            link = &source->next;
        }
    }
    loop->has_dead = false;
}

/* True when the counter of an eventfd or timerfd was set, which is now taken back. */
static bool drain(int fd)
{
    uint64_t count;
    return read(fd, &count, sizeof count) == sizeof count;
}

static void dispatch(VmmLoop *loop, const struct epoll_event *event)
{
    VmmSource *source = event->data.ptr;
    if (source == NULL)
        drain(loop->wake);
    else if (source->is_dead || (source->is_timer && !drain(source->fd)))
        return; /* a timer that was armed anew since */
    else
        source->callback(source->data, source->is_timer ? 0 : event->events);
}

int vmm_loop_iterate(VmmLoop *loop, int timeout_ms)
{
    struct epoll_event events[BATCH];
    /* Every C library makes the same call of this one. */
    int n = epoll_pwait(loop->epoll, events, BATCH, timeout_ms, NULL);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    lock(loop);
    for (int i = 0; i < n; i++)
        dispatch(loop, &events[i]);
    bury(loop);
    unlock(loop);
    return 0;
}

/* Takes the end back, so that the loop can be run again. */
static bool is_over(VmmLoop *loop)
{
    lock(loop);
    bool over = loop->quit;
    loop->quit = false;
    unlock(loop);
    return over;
}

int vmm_loop_run(VmmLoop *loop)
{
    int failed = 0;
    while (!failed && !is_over(loop))
        failed = vmm_loop_iterate(loop, -1);
    return failed;
}

void vmm_loop_quit(VmmLoop *loop)
{
    uint64_t one = 1;
    loop->quit = true;
    if (write(loop->wake, &one, sizeof one) < 0)
        return; /* only when the counter is full: the loop is awake */
}
