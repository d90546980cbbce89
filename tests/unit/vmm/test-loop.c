/* SPDX-License-Identifier: Apache-2.0 */
/* Sources, timers and their end, in one thread and in two. */
#include <glib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/loop.h"

typedef struct {
    VmmLoop *loop;
    VmmSource *remove; /* what the callback removes */
    int fd;            /* what it drains, or -1 */
    unsigned calls;
    bool quit;
} Seen;

static void on_event(void *data, uint32_t events)
{
    Seen *seen = data;
    uint64_t count;
    seen->calls++;
    if (seen->fd >= 0)
        g_assert_cmpint(read(seen->fd, &count, sizeof count), ==, sizeof count);
    if (seen->remove)
        vmm_source_remove(seen->remove);
    if (seen->quit)
        vmm_loop_quit(seen->loop);
}

static int signalled(void)
{
    return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void test_descriptor_is_dispatched_until_quit(void)
{
    VmmLoop *loop;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    Seen seen = {.loop = loop, .fd = signalled(), .quit = true};
    g_assert_cmpint(vmm_loop_add(loop, seen.fd, EPOLLIN, on_event, &seen, NULL), ==, 0);
    g_assert_cmpint(vmm_loop_run(loop), ==, 0);
    g_assert_cmpuint(seen.calls, ==, 1);
    vmm_loop_free(loop);
    close(seen.fd);
}

/* Each of the two removes the other: whichever comes first, only one is called. */
static void test_removed_source_is_not_called_in_the_same_batch(void)
{
    VmmLoop *loop;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    Seen a = {.fd = signalled()}, b = {.fd = signalled()};
    g_assert_cmpint(vmm_loop_add(loop, a.fd, EPOLLIN, on_event, &a, &b.remove), ==, 0);
    g_assert_cmpint(vmm_loop_add(loop, b.fd, EPOLLIN, on_event, &b, &a.remove), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpuint(a.calls + b.calls, ==, 1);
    vmm_loop_free(loop);
    close(a.fd);
    close(b.fd);
}

static void test_source_removes_itself(void)
{
    VmmLoop *loop;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    int fd = signalled();
    Seen seen = {.fd = -1};
    g_assert_cmpint(vmm_loop_add(loop, fd, EPOLLIN, on_event, &seen, &seen.remove), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpuint(seen.calls, ==, 1);
    vmm_loop_free(loop);
    close(fd);
}

static void test_paused_source_is_not_called(void)
{
    VmmLoop *loop;
    VmmSource *source;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    Seen seen = {.fd = signalled()};
    g_assert_cmpint(vmm_loop_add(loop, seen.fd, EPOLLIN, on_event, &seen, &source), ==, 0);
    g_assert_cmpint(vmm_source_set_events(source, 0), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpuint(seen.calls, ==, 0);
    g_assert_cmpint(vmm_source_set_events(source, EPOLLIN), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpuint(seen.calls, ==, 1);
    vmm_loop_free(loop);
    close(seen.fd);
}

static void test_timer_comes_once(void)
{
    VmmLoop *loop;
    VmmSource *timer;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    Seen seen = {.loop = loop, .fd = -1, .quit = true};
    g_assert_cmpint(vmm_loop_add_timer(loop, on_event, &seen, &timer), ==, 0);
    g_assert_cmpint(vmm_source_arm(timer, 1), ==, 0);
    g_assert_cmpint(vmm_loop_run(loop), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 0), ==, 0);
    g_assert_cmpuint(seen.calls, ==, 1);
    vmm_loop_free(loop);
}

static void test_disarmed_timer_does_not_come(void)
{
    VmmLoop *loop;
    VmmSource *timer;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    Seen seen = {.fd = -1};
    g_assert_cmpint(vmm_loop_add_timer(loop, on_event, &seen, &timer), ==, 0);
    g_assert_cmpint(vmm_source_arm(timer, 1), ==, 0);
    g_assert_cmpint(vmm_source_arm(timer, 0), ==, 0);
    g_assert_cmpint(vmm_loop_iterate(loop, 1), ==, 0);
    g_assert_cmpuint(seen.calls, ==, 0);
    vmm_loop_free(loop);
}

typedef struct {
    VmmLoop *loop;
    pthread_mutex_t *lock;
} Other;

static void *quit_from_other_thread(void *data)
{
    Other *other = data;
    pthread_mutex_lock(other->lock);
    vmm_loop_quit(other->loop);
    pthread_mutex_unlock(other->lock);
    return NULL;
}

static void test_other_thread_ends_the_wait(void)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    Other other = {.lock = &lock};
    g_assert_cmpint(vmm_loop_new(&other.loop, &lock), ==, 0);
    g_assert_cmpint(pthread_create(&thread, NULL, quit_from_other_thread, &other), ==, 0);
    g_assert_cmpint(vmm_loop_run(other.loop), ==, 0);
    g_assert_cmpint(pthread_join(thread, NULL), ==, 0);
    vmm_loop_free(other.loop);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/loop/dispatch-and-quit", test_descriptor_is_dispatched_until_quit);
    g_test_add_func("/vmm/loop/removed-in-the-same-batch",
                    test_removed_source_is_not_called_in_the_same_batch);
    g_test_add_func("/vmm/loop/removes-itself", test_source_removes_itself);
    g_test_add_func("/vmm/loop/paused", test_paused_source_is_not_called);
    g_test_add_func("/vmm/loop/timer", test_timer_comes_once);
    g_test_add_func("/vmm/loop/disarmed", test_disarmed_timer_does_not_come);
    g_test_add_func("/vmm/loop/other-thread", test_other_thread_ends_the_wait);
    return g_test_run();
}
