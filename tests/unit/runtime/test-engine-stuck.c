/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines that do not answer: their sockets listen, and nobody accepts. Whoever wants something of
 * one waits for so long, or until told not to; and the others are not concerned.
 */
#include <string.h>

#include "base/error.h"
#include "runtime/microvm/wire.h"
#include "unit/runtime/engine-fixture.h"

#define SOON_MS 1500
#define LIST_MS 4500

static gint64 ms_since(gint64 began)
{
    return (g_get_monotonic_time() - began) / G_TIME_SPAN_MILLISECOND;
}

/* ---- connecting ---- */

static guint ignore(const guint8 *bytes, gsize n, gpointer data)
{
    return 0;
}

static void count_end(gpointer data)
{
    ++*(guint *)data;
}

/* A queue that is full is no reason to wait. */
static void test_connecting_never_waits(Engine *engine, gconstpointer unused)
{
    static const SteadWireFuncs funcs = {
        .bytes = ignore, .closed = count_end, .release = count_end};
    SteadWires *wires = stead_wires_new();
    g_autofree char *path = g_build_filename(engine->dir, "qmp.sock", NULL);
    g_autoptr(GError) error = NULL;
    gint64 began = g_get_monotonic_time();
    guint opened = 0, ends = 0;
    for (SteadWire *wire; (wire = stead_wire_open(wires, path, &funcs, &ends, &error)); opened++) {
        stead_wire_close(wire); /* a closed one keeps its place */
        stead_wire_unref(wire);
        g_assert_cmpuint(opened, <, 8);
    }
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    g_assert_cmpint(ms_since(began), <, SOON_MS);
    stead_wires_free(wires);
    g_assert_cmpuint(ends, ==, 2 * opened);
}

static void test_no_wire_after_the_end(Engine *engine, gconstpointer unused)
{
    static const SteadWireFuncs funcs = {
        .bytes = ignore, .closed = count_end, .release = count_end};
    SteadWires *wires = stead_wires_new();
    g_autofree char *path = g_build_filename(engine->dir, "qmp.sock", NULL);
    g_autoptr(GError) error = NULL;
    guint ends = 0;
    stead_wires_close(wires);
    g_assert_null(stead_wire_open(wires, path, &funcs, &ends, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    g_assert_cmpuint(ends, ==, 0);
    stead_wires_free(wires);
}

/* ---- whoever waits ---- */

/* It runs, and more is not known: the list does not wait for it. When it answers, that is told. */
static void test_a_list_does_not_wait(Engine *engine, gconstpointer unused)
{
    gint64 began = g_get_monotonic_time();
    g_autoptr(SteadActual) actual = engine_list(engine);
    g_assert_cmpint(ms_since(began), <, LIST_MS);
    g_assert_cmpint(actual->state, ==, STEAD_STATE_RUNNING);
    g_assert_true(actual->silent);
    g_assert_cmpuint(engine->news, ==, 0);
    engine_begin(engine);
    for (guint turn = 0; engine->news == 0 && turn < ENGINE_PATIENCE_S * 100; turn++)
        engine_serve(engine, 10);
    g_assert_cmpuint(engine->news, ==, 1);
    g_assert_cmpint(engine->state, ==, STEAD_STATE_RUNNING);
}

typedef struct {
    Engine *engine;
    GCancellable *cancellable;
    GError *error;
} Stopping;

static gpointer stop(gpointer data)
{
    Stopping *stopping = data;
    stead_runtime_stop(stopping->engine->runtime, ENGINE_ID, 60000, stopping->cancellable,
                       &stopping->error);
    return NULL;
}

static void cancel(Stopping *stopping, GThread *thread)
{
    gint64 began = g_get_monotonic_time();
    g_cancellable_cancel(stopping->cancellable);
    g_thread_join(thread);
    g_assert_cmpint(ms_since(began), <, SOON_MS);
    g_assert_error(stopping->error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
    g_clear_error(&stopping->error);
}

/* The first one connects, and the second one waits for that. */
static void test_whoever_waits_can_be_cancelled(Engine *engine, gconstpointer unused)
{
    g_autoptr(GCancellable) one = g_cancellable_new();
    g_autoptr(GCancellable) other = g_cancellable_new();
    Stopping first = {engine, one, NULL}, second = {engine, other, NULL};
    GThread *connecting = g_thread_new("connecting", stop, &first);
    engine_serve(engine, 200);
    GThread *waiting = g_thread_new("waiting", stop, &second);
    engine_serve(engine, 200);
    cancel(&second, waiting);
    cancel(&first, connecting);
}

/* Ending it takes nobody's word but the kernel's. */
static void test_it_can_be_ended(Engine *engine, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    Stopping stopping = {engine, cancellable, NULL};
    GThread *thread = g_thread_new("stopping", stop, &stopping);
    gint64 began = g_get_monotonic_time();
    engine_serve(engine, 100);
    g_assert_true(stead_runtime_kill(engine->runtime, ENGINE_ID, &error));
    g_assert_no_error(error);
    g_assert_cmpint(ms_since(began), <, SOON_MS);
    g_cancellable_cancel(cancellable);
    g_thread_join(thread);
    g_clear_error(&stopping.error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, func)                                                                           \
    g_test_add("/runtime/engine-stuck/" name, Engine, NULL, engine_set_up_stuck, func,             \
               engine_tear_down)
    TEST("connecting-never-waits", test_connecting_never_waits);
    TEST("no-wire-after-the-end", test_no_wire_after_the_end);
    TEST("list-does-not-wait", test_a_list_does_not_wait);
    TEST("whoever-waits-can-be-cancelled", test_whoever_waits_can_be_cancelled);
    TEST("can-be-ended", test_it_can_be_ended);
    return g_test_run();
}
