/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the end of an engine is told. The engine is a process that sleeps, and a thread that plays
 * its QMP; either may end first.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "runtime/microvm/microvm.h"

#define ID "12345678-1234-4234-8234-123456789abc"
#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"
#define QUIET_MS 300
#define PATIENCE_S 10

typedef struct {
    char *root, *dir, *record;
    SteadPaths *paths;
    SteadRuntime *runtime;
    int qmp, agent;
    GThread *thread;
    gint hang_up; /* atomic */
    const char *last_words;
    SteadActual *told; /* that it is stopped */
} Fixture;

static void say(int fd, const char *text)
{
    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

/* Every command is answered alike: what is asked for is how it is. */
static void answer(int fd, const char *line)
{
    const char *id = strstr(line, "\"id\":");
    g_autofree char *reply = g_strdup_printf(
        "{\"return\": {\"status\": \"running\"}, \"id\": %d}\r\n", id ? atoi(id + 5) : 0);
    say(fd, reply);
}

static gpointer play(gpointer data)
{
    Fixture *f = data;
    char line[512];
    gsize used = 0;
    stead_autofd fd = accept4(f->qmp, NULL, NULL, SOCK_CLOEXEC);
    say(fd, GREETING);
    while (!g_atomic_int_get(&f->hang_up)) {
        ssize_t n = recv(fd, line + used, 1, MSG_DONTWAIT);
        if (n <= 0) {
            g_usleep(1000);
            continue;
        }
        line[used + 1] = '\0';
        used = line[used] == '\n' ? 0 : used + 1;
        if (used == 0)
            answer(fd, line);
    }
    if (f->last_words)
        say(fd, f->last_words);
    return NULL;
}

static void on_actual(const SteadActual *actual, gpointer data)
{
    Fixture *f = data;
    if (actual->state != STEAD_STATE_STOPPED)
        return;
    g_assert_null(f->told);
    f->told = g_new0(SteadActual, 1);
    f->told->state = actual->state;
    f->told->failed = actual->failed;
    f->told->rebooting = actual->rebooting;
}

static int listen_in(const Fixture *f, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = g_build_filename(f->dir, name, NULL);
    g_assert_cmpuint(g_strlcpy(address.sun_path, path, sizeof address.sun_path), <,
                     sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static void set_up(Fixture *f, gconstpointer unused)
{
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    g_autoptr(GError) error = NULL;
    f->root = g_dir_make_tmp("stead-end-XXXXXX", NULL);
    f->paths = stead_paths_new_for_root(f->root, &error);
    g_assert_no_error(error);
    f->dir = g_build_filename(f->paths->run, "instances", ID, NULL);
    f->record = g_build_filename(f->dir, "engine.pid", NULL);
    g_assert_true(stead_make_dir(f->dir, 0700, &error));
    const SteadDetachedOptions options = {.record = f->record, .argv = argv};
    g_assert_true(stead_detached_start(&options, &error));
    f->qmp = listen_in(f, "qmp.sock");
    f->agent = listen_in(f, "agent.sock");
    f->thread = g_thread_new("engine", play, f);
    f->runtime = stead_microvm_runtime_new(f->paths, NULL);
    stead_runtime_watch(f->runtime, on_actual, f);
    g_autoptr(GPtrArray) list = stead_runtime_list(f->runtime, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(list->len, ==, 1);
    g_assert_cmpint(((SteadActual *)list->pdata[0])->state, ==, STEAD_STATE_RUNNING);
}

static void hang_up(Fixture *f, const char *last_words)
{
    f->last_words = last_words;
    g_atomic_int_set(&f->hang_up, TRUE);
    g_thread_join(g_steal_pointer(&f->thread));
    stead_clear_fd(&f->qmp);
}

static void end_process(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_detached_end(f->record, TRUE, &error));
}

static gboolean is_late(gpointer late)
{
    *(gboolean *)late = TRUE;
    return G_SOURCE_REMOVE;
}

static void serve(Fixture *f, guint ms)
{
    gboolean late = FALSE;
    guint timer = g_timeout_add(ms, is_late, &late);
    while (!late && f->told == NULL)
        g_main_context_iteration(NULL, TRUE);
    if (!late)
        g_source_remove(timer);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    if (f->thread)
        hang_up(f, NULL);
    end_process(f);
    stead_runtime_free(f->runtime);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    stead_clear_fd(&f->qmp);
    stead_clear_fd(&f->agent);
    stead_remove_tree(f->root, NULL);
    g_clear_pointer(&f->told, stead_actual_free);
    stead_paths_free(f->paths);
    g_free(f->record);
    g_free(f->dir);
    g_free(f->root);
}

/* ---- the tests ---- */

/* Whoever starts the next engine upon the news would find the old one still there. */
static void test_the_process_is_waited_for(Fixture *f, gconstpointer unused)
{
    hang_up(f, "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-reset\"}}\r\n");
    serve(f, QUIET_MS);
    g_assert_null(f->told);
    end_process(f);
    serve(f, PATIENCE_S * 1000);
    g_assert_nonnull(f->told);
    g_assert_true(f->told->rebooting);
    g_assert_false(f->told->failed);
}

static void test_a_silent_end_is_a_failure(Fixture *f, gconstpointer unused)
{
    end_process(f);
    hang_up(f, NULL);
    serve(f, PATIENCE_S * 1000);
    g_assert_nonnull(f->told);
    g_assert_true(f->told->failed);
    g_assert_false(f->told->rebooting);
}

/* The engine hung up, and is about to go: it does not run. One that stays does not answer. */
static void test_one_that_is_going_does_not_run(Fixture *f, gconstpointer unused)
{
    SteadStats stats;
    g_autoptr(GError) error = NULL;
    hang_up(f, NULL);
    g_assert_false(stead_runtime_stats(f->runtime, ID, &stats, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    g_clear_error(&error);
    end_process(f);
    g_assert_false(stead_runtime_stats(f->runtime, ID, &stats, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_STATE);
}

/* Nobody who cannot look may say that it does not run: another would be started beside it. */
static void test_a_list_is_whole_or_none(Fixture *f, gconstpointer unused)
{
    stead_autofd next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit former, limit;
    guint failures = 0;
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &former), ==, 0);
    limit = former;
    for (gboolean listed = FALSE; !listed; failures += !listed) {
        g_autoptr(GError) error = NULL;
        limit.rlim_cur = (rlim_t)next + failures;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        g_autoptr(GPtrArray) list = stead_runtime_list(f->runtime, &error);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &former), ==, 0);
        listed = list != NULL;
        g_assert_true(listed == (error == NULL));
        g_assert_true(list == NULL || list->len == 1);
        g_assert_cmpuint(failures, <, 16);
    }
    g_assert_cmpuint(failures, >=, 2); /* the folder, and what is in it */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, func)                                                                           \
    g_test_add("/runtime/engine-end/" name, Fixture, NULL, set_up, func, tear_down)
    TEST("process-is-waited-for", test_the_process_is_waited_for);
    TEST("silent-end-is-a-failure", test_a_silent_end_is_a_failure);
    TEST("going-does-not-run", test_one_that_is_going_does_not_run);
    TEST("list-is-whole-or-none", test_a_list_is_whole_or_none);
    return g_test_run();
}
