/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/runtime/engine-fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/detached.h"

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"
#define TURN_MS 5

/* ---- the engine's thread ---- */

/* FALSE: the client has hung up. */
static gboolean say(int fd, const char *text)
{
    for (gsize left = strlen(text); left > 0;) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return FALSE;
        text += n;
        left -= (gsize)n;
    }
    return TRUE;
}

/* Every command is answered alike: what is asked for is how it is. */
static void answer(Engine *engine, int fd, const char *line)
{
    const char *id = strstr(line, "\"id\":");
    const char *name = strstr(line, "\"execute\":\"");
    g_autofree char *command = name ? g_strndup(name + 11, strcspn(name + 11, "\"")) : NULL;
    g_autofree char *reply = g_strdup_printf(
        "{\"return\": {\"status\": \"running\"}, \"id\": %d}\r\n", id ? atoi(id + 5) : 0);
    g_mutex_lock(&engine->lock);
    gboolean mute = g_strcmp0(command, engine->mute) == 0;
    g_string_append_printf(engine->commands, "%s ", command);
    g_cond_broadcast(&engine->changed);
    g_mutex_unlock(&engine->lock);
    if (!mute)
        say(fd, reply);
}

static gboolean is_ready(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, TURN_MS) > 0;
}

/* FALSE when there is no such client any more. */
static gboolean serve_client(Engine *engine, GString *line)
{
    char byte;
    g_mutex_lock(&engine->lock);
    int fd = engine->client;
    ssize_t n = fd < 0 ? 0 : recv(fd, &byte, 1, MSG_DONTWAIT);
    g_mutex_unlock(&engine->lock);
    if (fd < 0 || n == 0)
        return FALSE;
    if (n < 0) {
        is_ready(fd);
        return TRUE;
    }
    g_string_append_c(line, byte);
    if (byte == '\n') {
        answer(engine, fd, line->str);
        g_string_truncate(line, 0);
    }
    return TRUE;
}

static gboolean is_over(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    gboolean over = engine->over;
    g_mutex_unlock(&engine->lock);
    return over;
}

/* The agent's clients are let in, and heard by nobody. */
static void let_in_agent(Engine *engine)
{
    int fd = accept4(engine->agent, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    stead_clear_fd(&engine->agent_client);
    engine->agent_client = fd;
}

static void set_client(Engine *engine, int fd)
{
    g_mutex_lock(&engine->lock);
    stead_clear_fd(&engine->client);
    engine->client = fd;
    engine->clients += fd >= 0;
    g_cond_broadcast(&engine->changed);
    g_mutex_unlock(&engine->lock);
}

static gpointer play(gpointer data)
{
    Engine *engine = data;
    while (!is_over(engine)) {
        g_autoptr(GString) line = g_string_new(NULL);
        if (!is_ready(engine->qmp))
            continue;
        int fd = accept4(engine->qmp, NULL, NULL, SOCK_CLOEXEC);
        let_in_agent(engine);
        say(fd, GREETING);
        set_client(engine, fd);
        while (!is_over(engine) && serve_client(engine, line))
            ;
        set_client(engine, -1);
    }
    return NULL;
}

/* ---- the test's hand ---- */

void engine_begin(Engine *engine)
{
    engine->thread = g_thread_new("engine", play, engine);
}

void engine_say(Engine *engine, const char *text)
{
    g_mutex_lock(&engine->lock);
    say(engine->client, text);
    g_mutex_unlock(&engine->lock);
}

void engine_hang_up(Engine *engine, gboolean for_good)
{
    g_mutex_lock(&engine->lock);
    stead_clear_fd(&engine->client);
    engine->over |= for_good;
    g_mutex_unlock(&engine->lock);
    if (!for_good || engine->thread == NULL)
        return;
    g_thread_join(g_steal_pointer(&engine->thread));
    stead_clear_fd(&engine->qmp);
}

void engine_end_process(const Engine *engine)
{
    g_autoptr(GError) error = NULL;
    stead_detached_end(engine->record, TRUE, &error);
    g_assert_no_error(error);
}

SteadActual *engine_list(Engine *engine)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = stead_runtime_list(engine->runtime, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(list->len, ==, 1);
    return g_ptr_array_steal_index(list, 0);
}

static gboolean is_late(gpointer late)
{
    *(gboolean *)late = TRUE;
    return G_SOURCE_REMOVE;
}

void engine_serve(Engine *engine, guint ms)
{
    gboolean late = FALSE;
    guint timer = g_timeout_add(ms, is_late, &late);
    while (!late && engine->stopped == NULL)
        g_main_context_iteration(NULL, TRUE);
    if (!late)
        g_source_remove(timer);
}

void engine_clear_told(Engine *engine)
{
    g_clear_pointer(&engine->stopped, stead_actual_free);
}

void engine_await_clients(Engine *engine, guint n)
{
    for (guint turn = 0; turn < ENGINE_PATIENCE_S * 100; turn++) {
        g_mutex_lock(&engine->lock);
        gboolean done = engine->clients >= n;
        g_mutex_unlock(&engine->lock);
        if (done)
            return;
        engine_serve(engine, 10);
    }
    g_assert_not_reached();
}

void engine_await_commands(Engine *engine, const char *commands)
{
    gint64 deadline = g_get_monotonic_time() + ENGINE_PATIENCE_S * G_TIME_SPAN_SECOND;
    g_mutex_lock(&engine->lock);
    while (strstr(engine->commands->str, commands) == NULL)
        g_assert_true(g_cond_wait_until(&engine->changed, &engine->lock, deadline));
    g_mutex_unlock(&engine->lock);
}

static void on_actual(const SteadActual *actual, gpointer data)
{
    Engine *engine = data;
    engine->news++;
    engine->state = actual->state;
    if (actual->state != STEAD_STATE_STOPPED)
        return;
    g_assert_null(engine->stopped);
    engine->stopped = g_new0(SteadActual, 1);
    engine->stopped->state = actual->state;
    engine->stopped->failed = actual->failed;
    engine->stopped->rebooting = actual->rebooting;
}

/* ---- beginning and end ---- */

static int listen_in(const Engine *engine, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = g_build_filename(engine->dir, name, NULL);
    g_assert_cmpuint(g_strlcpy(address.sun_path, path, sizeof address.sun_path), <,
                     sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

void engine_set_up_stuck(Engine *engine, gconstpointer unused)
{
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    g_autoptr(GError) error = NULL;
    /* That an engine does not answer is worth a warning. */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    engine->root = g_dir_make_tmp("stead-engine-XXXXXX", NULL);
    engine->paths = stead_paths_new_for_root(engine->root, &error);
    g_assert_no_error(error);
    engine->dir = g_build_filename(engine->paths->run, "instances", ENGINE_ID, NULL);
    engine->record = g_build_filename(engine->dir, "engine.pid", NULL);
    g_assert_true(stead_make_dir(engine->dir, 0700, &error));
    const SteadDetachedOptions options = {.record = engine->record, .argv = argv};
    g_assert_true(stead_detached_start(&options, &error));
    g_mutex_init(&engine->lock);
    g_cond_init(&engine->changed);
    engine->commands = g_string_new(NULL);
    engine->client = engine->agent_client = -1;
    engine->qmp = listen_in(engine, "qmp.sock");
    engine->agent = listen_in(engine, "agent.sock");
    engine->runtime = stead_microvm_runtime_new(engine->paths, NULL);
    stead_runtime_watch(engine->runtime, on_actual, engine);
}

void engine_set_up(Engine *engine, gconstpointer unused)
{
    engine_set_up_stuck(engine, NULL);
    engine_begin(engine);
    g_autoptr(SteadActual) actual = engine_list(engine);
    g_assert_cmpint(actual->state, ==, STEAD_STATE_RUNNING);
    g_assert_false(actual->silent);
}

void engine_tear_down(Engine *engine, gconstpointer unused)
{
    engine_hang_up(engine, TRUE);
    engine_end_process(engine);
    stead_runtime_free(engine->runtime);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    stead_clear_fd(&engine->qmp);
    stead_clear_fd(&engine->agent);
    stead_clear_fd(&engine->client);
    stead_clear_fd(&engine->agent_client);
    stead_remove_tree(engine->root, NULL);
    g_clear_pointer(&engine->stopped, stead_actual_free);
    stead_paths_free(engine->paths);
    g_string_free(engine->commands, TRUE);
    g_mutex_clear(&engine->lock);
    g_cond_clear(&engine->changed);
    g_free(engine->record);
    g_free(engine->dir);
    g_free(engine->root);
}
