/* SPDX-License-Identifier: Apache-2.0 */
/* How the end of an engine is told: once, when its process is gone, and with what it said last. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "unit/runtime/engine-fixture.h"

#define QUIET_MS 300
#define PATIENCE_MS (ENGINE_PATIENCE_S * 1000)
#define EVENT(name, data) "{\"event\":\"" name "\",\"data\":" data "}\r\n"
#define RESET EVENT("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-reset\"}")
#define SHUTDOWN EVENT("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}")
#define PANIC EVENT("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-panic\"}")

static void assert_told(Engine *engine, gboolean failed, gboolean rebooting)
{
    engine_serve(engine, PATIENCE_MS);
    g_assert_nonnull(engine->stopped);
    g_assert_true(engine->stopped->failed == failed);
    g_assert_true(engine->stopped->rebooting == rebooting);
}

/* Whoever starts the next engine upon the news would find the old one still there. */
static void test_the_process_is_waited_for(Engine *engine, gconstpointer unused)
{
    engine_say(engine, RESET);
    engine_hang_up(engine, TRUE);
    engine_serve(engine, QUIET_MS);
    g_assert_null(engine->stopped);
    engine_end_process(engine);
    assert_told(engine, FALSE, TRUE);
}

static void test_a_silent_end_is_a_failure(Engine *engine, gconstpointer unused)
{
    engine_end_process(engine);
    engine_hang_up(engine, TRUE);
    assert_told(engine, TRUE, FALSE);
}

static void test_a_panic_is_a_failure(Engine *engine, gconstpointer unused)
{
    engine_say(engine, PANIC);
    engine_hang_up(engine, TRUE);
    engine_end_process(engine);
    assert_told(engine, TRUE, FALSE);
}

/* The process may be gone before its last words are read. */
static void test_last_words_are_heard(Engine *engine, gconstpointer unused)
{
    for (int i = 0; i < 500; i++)
        engine_say(engine, EVENT("BALLOON_CHANGE", "{\"actual\":1}"));
    engine_say(engine, SHUTDOWN);
    engine_end_process(engine);
    assert_told(engine, FALSE, FALSE);
}

/* The engine hung up, and is about to go: it does not run. One that stays does not answer. */
static void test_one_that_is_going_does_not_run(Engine *engine, gconstpointer unused)
{
    SteadStats stats;
    g_autoptr(GError) error = NULL;
    engine_hang_up(engine, TRUE);
    g_assert_false(stead_runtime_stats(engine->runtime, ENGINE_ID, &stats, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    g_clear_error(&error);
    engine_end_process(engine);
    g_assert_false(stead_runtime_stats(engine->runtime, ENGINE_ID, &stats, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_STATE);
}

/* Whatever a peer writes as a reason: it is none that is known. */
static void test_senseless_events(Engine *engine, gconstpointer unused)
{
    static const char *const values[] = {"5", "5.5", "true", "null", "[1]", "{}", "\"\""};
    static const char *const names[] = {"SHUTDOWN", "STOP",      "RESUME",  "VSERPORT_CHANGE",
                                        "RESET",    "MIGRATION", "UNKNOWN", "GUEST_PANICKED"};
    for (gsize i = 0; i < G_N_ELEMENTS(names) - 1; i++)
        for (gsize k = 0; k < G_N_ELEMENTS(values); k++) {
            g_autofree char *members = g_strdup_printf(
                "{\"event\":\"%s\",\"data\":{\"reason\":%s,\"open\":%s,\"status\":%s}}\r\n",
                names[i], values[k], values[k], values[k]);
            g_autofree char *data =
                g_strdup_printf("{\"event\":\"%s\",\"data\":%s}\r\n", names[i], values[k]);
            engine_say(engine, members);
            engine_say(engine, data);
        }
    engine_hang_up(engine, TRUE);
    engine_end_process(engine);
    assert_told(engine, FALSE, FALSE);
}

/* Nobody who cannot look may say that it does not run: another would be started beside it. */
static void test_a_list_is_whole_or_none(Engine *engine, gconstpointer unused)
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
        g_autoptr(GPtrArray) list = stead_runtime_list(engine->runtime, &error);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &former), ==, 0);
        listed = list != NULL;
        g_assert_true(listed == (error == NULL));
        g_assert_true(list == NULL || list->len == 1);
        g_assert_cmpuint(failures, <, 16);
    }
    g_assert_cmpuint(failures, >=, 2); /* the folder, and what is in it */
}

/* ---- more than one connection, or process ---- */

/* It is made again, and what the engine says over the second one counts. */
static void test_a_lost_connection_is_no_end(Engine *engine, gconstpointer unused)
{
    engine_hang_up(engine, FALSE);
    engine_await_clients(engine, 2);
    g_assert_null(engine->stopped);
    engine_await_commands(engine, "query-status qmp_capabilities query-status ");
    engine_say(engine, SHUTDOWN);
    engine_hang_up(engine, TRUE);
    engine_end_process(engine);
    assert_told(engine, FALSE, FALSE);
}

static guint count_files(void)
{
    guint n = 0;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(dir))
        n++;
    return n;
}

static void lose_connection(Engine *engine, guint clients)
{
    g_autoptr(SteadActual) actual = NULL;
    engine_hang_up(engine, FALSE);
    do {
        g_clear_pointer(&actual, stead_actual_free);
        actual = engine_list(engine);
    } while (engine->clients < clients || actual->silent);
    engine_serve(engine, 20);
}

/* However often it hangs up: nothing is kept of it, and its end is told as it is, once. */
static void test_lost_connections_leave_nothing(Engine *engine, gconstpointer unused)
{
    lose_connection(engine, 2);
    guint files = count_files();
    for (guint i = 3; i < 12; i++)
        lose_connection(engine, i);
    g_assert_cmpuint(count_files(), <=, files + 1);
    engine_say(engine, RESET);
    engine_hang_up(engine, TRUE);
    engine_end_process(engine);
    assert_told(engine, FALSE, TRUE);
    engine_clear_told(engine);
    engine_serve(engine, QUIET_MS);
    g_assert_null(engine->stopped);
}

/* Its instance has another by then, of which it says nothing; nor does its connection, which nobody
 * has closed yet. */
static void test_the_end_of_a_former_engine_is_no_news(Engine *engine, gconstpointer unused)
{
    static const char *const argv[] = {"/bin/sleep", "61", NULL};
    const SteadDetachedOptions options = {.record = engine->record, .argv = argv};
    g_autoptr(GError) error = NULL;
    engine_end_process(engine);
    g_assert_true(stead_detached_start(&options, &error));
    g_autoptr(SteadActual) actual = engine_list(engine);
    g_assert_cmpint(actual->state, ==, STEAD_STATE_RUNNING);
    engine_serve(engine, QUIET_MS);
    g_assert_null(engine->stopped);
    engine_end_process(engine);
    engine_hang_up(engine, TRUE);
    assert_told(engine, TRUE, FALSE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, func)                                                                           \
    g_test_add("/runtime/engine-end/" name, Engine, NULL, engine_set_up, func, engine_tear_down)
    TEST("process-is-waited-for", test_the_process_is_waited_for);
    TEST("silent-end-is-a-failure", test_a_silent_end_is_a_failure);
    TEST("panic-is-a-failure", test_a_panic_is_a_failure);
    TEST("last-words-are-heard", test_last_words_are_heard);
    TEST("going-does-not-run", test_one_that_is_going_does_not_run);
    TEST("senseless-events", test_senseless_events);
    TEST("list-is-whole-or-none", test_a_list_is_whole_or_none);
    TEST("lost-connection-is-no-end", test_a_lost_connection_is_no_end);
    TEST("lost-connections-leave-nothing", test_lost_connections_leave_nothing);
    TEST("former-engine-is-no-news", test_the_end_of_a_former_engine_is_no_news);
    return g_test_run();
}
