/* SPDX-License-Identifier: Apache-2.0 */
/* What is done over an engine's connection while it lies, floods, is mute or hangs up. */
#include <string.h>

#include "base/error.h"
#include "unit/runtime/engine-fixture.h"

#define STOP "{\"event\":\"STOP\"}\r\n"
#define RESUME "{\"event\":\"RESUME\"}\r\n"
#define FLOOD 300
#define PATIENCE_MS (ENGINE_PATIENCE_S * 1000)

static void await_state(Engine *engine, SteadState state)
{
    for (guint turn = 0; engine->state != state && turn < ENGINE_PATIENCE_S * 100; turn++)
        engine_serve(engine, 10);
    g_assert_cmpint(engine->state, ==, state);
}

/* Told a few times, and at last as it is. */
static void test_a_flood_is_told_in_turns(Engine *engine, gconstpointer unused)
{
    gint64 began = g_get_monotonic_time();
    for (int i = 0; i < FLOOD; i++) {
        engine_say(engine, STOP);
        engine_say(engine, RESUME);
        engine_serve(engine, 1);
    }
    engine_say(engine, STOP);
    await_state(engine, STEAD_STATE_PAUSED);
    gint64 turns = (g_get_monotonic_time() - began) / (100 * G_TIME_SPAN_MILLISECOND);
    g_assert_cmpuint(engine->news, <=, (guint)turns + 2);
    g_assert_cmpuint(engine->news, <, FLOOD);
}

/* It is measured as far as the host sees it. */
static void test_stats_of_one_that_is_mute(Engine *engine, gconstpointer unused)
{
    SteadStats stats;
    g_autoptr(GError) error = NULL;
    engine->mute = "query-blockstats";
    gint64 began = g_get_monotonic_time();
    g_assert_true(stead_runtime_stats(engine->runtime, ENGINE_ID, &stats, &error));
    g_assert_cmpint(g_get_monotonic_time() - began, <, 5 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(stats.memory_resident, >, 0);
    g_assert_cmpuint(stats.disk_read, ==, 0);
}

static gpointer hang_up_when_asked(gpointer engine)
{
    engine_await_commands(engine, "query-blockstats ");
    engine_hang_up(engine, FALSE);
    return NULL;
}

static void test_stats_of_one_that_hangs_up(Engine *engine, gconstpointer unused)
{
    SteadStats stats;
    g_autoptr(GError) error = NULL;
    engine->mute = "query-blockstats";
    GThread *thread = g_thread_new("hanging-up", hang_up_when_asked, engine);
    g_assert_false(stead_runtime_stats(engine->runtime, ENGINE_ID, &stats, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    g_thread_join(thread);
}

/* ---- halting ---- */

typedef struct {
    Engine *engine;
    GCancellable *cancellable;
    GError *error;
    gboolean done;
} Taking;

static gpointer take_snapshot(gpointer data)
{
    Taking *taking = data;
    g_autoptr(SteadMachine) machine = stead_machine_new();
    machine->id = g_strdup(ENGINE_ID);
    machine->name = g_strdup("it");
    machine->dir = g_strdup(taking->engine->root);
    g_autoptr(JsonNode) layers =
        stead_runtime_snapshot(taking->engine->runtime, machine, "snapshot", FALSE, NULL, NULL,
                               taking->cancellable, &taking->error);
    taking->done = layers != NULL;
    return NULL;
}

static void test_it_goes_on_after_a_snapshot(Engine *engine, gconstpointer unused)
{
    Taking taking = {.engine = engine};
    take_snapshot(&taking);
    g_assert_no_error(taking.error);
    engine_await_commands(engine, "stop cont ");
}

/* It has not said that it halts, and will yet, perhaps: then it has to go on. */
static void test_it_goes_on_when_it_did_not_halt(Engine *engine, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Taking taking = {.engine = engine, .cancellable = cancellable};
    engine->mute = "stop";
    GThread *thread = g_thread_new("taking", take_snapshot, &taking);
    engine_await_commands(engine, "stop ");
    g_cancellable_cancel(cancellable);
    g_thread_join(thread);
    g_assert_false(taking.done);
    g_assert_error(taking.error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
    g_clear_error(&taking.error);
    engine_await_commands(engine, "stop cont ");
}

/* It hung up instead, and may halt all the same. */
static void test_it_goes_on_over_another_connection(Engine *engine, gconstpointer unused)
{
    Taking taking = {.engine = engine};
    engine->mute = "stop";
    GThread *thread = g_thread_new("taking", take_snapshot, &taking);
    engine_await_commands(engine, "stop ");
    engine_hang_up(engine, FALSE);
    g_thread_join(thread);
    g_assert_false(taking.done);
    g_clear_error(&taking.error);
    engine_await_commands(engine, "stop qmp_capabilities query-status cont ");
}

/* What its user halted stays so. */
static void test_one_that_stood_still_stays(Engine *engine, gconstpointer unused)
{
    Taking taking = {.engine = engine};
    engine_say(engine, STOP);
    await_state(engine, STEAD_STATE_PAUSED);
    take_snapshot(&taking);
    g_assert_no_error(taking.error);
    engine_await_commands(engine, "stop ");
    g_mutex_lock(&engine->lock);
    g_assert_null(strstr(engine->commands->str, "cont"));
    g_mutex_unlock(&engine->lock);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, func)                                                                           \
    g_test_add("/runtime/engine-connection/" name, Engine, NULL, engine_set_up, func,              \
               engine_tear_down)
    TEST("flood-is-told-in-turns", test_a_flood_is_told_in_turns);
    TEST("stats-of-one-that-is-mute", test_stats_of_one_that_is_mute);
    TEST("stats-of-one-that-hangs-up", test_stats_of_one_that_hangs_up);
    TEST("goes-on-after-a-snapshot", test_it_goes_on_after_a_snapshot);
    TEST("goes-on-when-it-did-not-halt", test_it_goes_on_when_it_did_not_halt);
    TEST("goes-on-over-another-connection", test_it_goes_on_over_another_connection);
    TEST("stays-if-it-stood-still", test_one_that_stood_still_stays);
    return g_test_run();
}
