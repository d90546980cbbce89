/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/events.h"

#include "base/paths.h"

typedef struct {
    char *dir;
    SteadStore *store;
    SteadEvents *events;
    GString *seen;
    guint subscription;
} Fixture;

static void open_all(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->dir, "db", NULL);
    f->store = stead_store_open(path, NULL);
    f->events = stead_events_new(f->store);
}

static void close_all(Fixture *f)
{
    stead_events_free(f->events);
    stead_store_free(f->store);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-events-XXXXXX", NULL);
    f->seen = g_string_new(NULL);
    open_all(f);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    close_all(f);
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_string_free(f->seen, TRUE);
}

static void note(const SteadEvent *event, gpointer data)
{
    Fixture *f = data;
    g_string_append_printf(f->seen, "%s/%s ", event->type, event->subject);
}

static void note_once(const SteadEvent *event, gpointer data)
{
    Fixture *f = data;
    note(event, f);
    stead_events_unsubscribe(f->events, f->subscription);
}

static void test_subscribers_hear_in_order(Fixture *f, gconstpointer unused)
{
    guint id = stead_events_subscribe(f->events, note, f);
    stead_events_emit(f->events, "a", "x", NULL);
    stead_events_emit_passing(f->events, "b", "y", stead_event_data("k", "v", "none", NULL, NULL));
    stead_events_unsubscribe(f->events, id);
    stead_events_emit(f->events, "c", "z", NULL);
    g_assert_cmpstr(f->seen->str, ==, "a/x b/y ");
}

static void test_leaving_while_being_told(Fixture *f, gconstpointer unused)
{
    f->subscription = stead_events_subscribe(f->events, note_once, f);
    stead_events_subscribe(f->events, note, f);
    stead_events_emit(f->events, "a", "x", NULL);
    stead_events_emit(f->events, "b", "x", NULL);
    g_assert_cmpstr(f->seen->str, ==, "a/x a/x b/x ");
}

static void test_lasting_events_survive(Fixture *f, gconstpointer unused)
{
    stead_events_emit(f->events, "a", "x", NULL);
    stead_events_emit_passing(f->events, "b", "x", NULL);
    stead_events_emit(f->events, "c", "x", NULL);
    guint64 last = stead_events_last(f->events);
    close_all(f);
    open_all(f);
    g_assert_true(stead_events_replay(f->events, 0, note, f, NULL));
    g_assert_cmpstr(f->seen->str, ==, "a/x c/x ");
    g_assert_cmpuint(stead_events_last(f->events), >, last);
}

static void test_replay_holds_what_is_not_written_yet(Fixture *f, gconstpointer unused)
{
    stead_events_emit(f->events, "a", "x", NULL);
    guint64 first = stead_events_last(f->events);
    stead_events_emit(f->events, "b", "x", NULL);
    g_assert_true(stead_events_replay(f->events, first, note, f, NULL));
    g_assert_cmpstr(f->seen->str, ==, "b/x ");
}

#define ADD(path, func) g_test_add("/events/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("subscribers-hear-in-order", test_subscribers_hear_in_order);
    ADD("leaving-while-being-told", test_leaving_while_being_told);
    ADD("lasting-events-survive", test_lasting_events_survive);
    ADD("replay-holds-what-is-not-written-yet", test_replay_holds_what_is_not_written_yet);
    return g_test_run();
}
