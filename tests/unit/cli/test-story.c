/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/story.h"

#include "base/error.h"

typedef struct {
    SteadView *view;
    SteadViewItem *item;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->view = stead_view_new(0);
    f->item = stead_view_item(f->view, "web");
}

static void tear_down(Fixture *f, gconstpointer data)
{
    stead_view_free(f->view);
}

static void tell(Fixture *f, const char *type, const char *json)
{
    g_autoptr(JsonNode) data = json_from_string(json, NULL);
    g_assert_true(stead_story_event(f->item, type, data));
}

static void record(Fixture *f, const char *json)
{
    g_autoptr(JsonNode) data = json_from_string(json, NULL);
    stead_story_record(f->item, data);
}

static void test_a_boot_is_told(Fixture *f, gconstpointer data)
{
    tell(f, "instance.state", "{'from':'stopped','to':'starting'}");
    tell(f, "instance.state", "{'from':'starting','to':'running'}");
    tell(f, "instance.stage", "{'stage':'kernel','line':'Linux version 6'}");
    g_assert_cmpstr(f->item->stage, ==, "kernel");
    g_assert_false(stead_story_holds(f->item, STEAD_UNTIL_ADDRESS));
    tell(f, "instance.address", "{'addresses':['10.0.0.1','10.0.0.2']}");
    g_assert_cmpstr(f->item->addresses, ==, "10.0.0.1, 10.0.0.2");
    g_assert_true(stead_story_holds(f->item, STEAD_UNTIL_ADDRESS));
    g_assert_false(stead_story_holds(f->item, STEAD_UNTIL_READY));
    tell(f, "instance.ready", "{'elapsed-ms':5}");
    g_assert_true(stead_story_holds(f->item, STEAD_UNTIL_READY));
}

static void test_a_stopped_one_is_not_ready(Fixture *f, gconstpointer data)
{
    record(f, "{'state':'running','ready':true,'addresses':['10.0.0.1']}");
    tell(f, "instance.state", "{'to':'stopped'}");
    g_assert_false(f->item->ready);
    g_assert_true(stead_story_holds(f->item, STEAD_UNTIL_STOPPED));
    g_assert_true(stead_story_is_lost(f->item, STEAD_UNTIL_READY));
    g_assert_false(stead_story_is_lost(f->item, STEAD_UNTIL_STOPPED));
}

static void test_failure_and_removal_end_every_hope(Fixture *f, gconstpointer data)
{
    tell(f, "instance.state", "{'to':'failed','error':'it burns'}");
    g_assert_cmpstr(f->item->error, ==, "it burns");
    g_assert_true(stead_story_is_lost(f->item, STEAD_UNTIL_STOPPED));
    g_assert_false(stead_story_is_lost(f->item, STEAD_UNTIL_DONE));
    tell(f, "instance.removed", "{}");
    g_assert_null(f->item->error);
    g_assert_true(stead_story_is_lost(f->item, STEAD_UNTIL_READY));
}

static void test_a_jobs_stage_ends_with_it(Fixture *f, gconstpointer data)
{
    tell(f, "job.progress", "{'stage':'downloading','progress':0.5}");
    g_assert_cmpstr(f->item->stage, ==, "downloading");
    g_assert_cmpfloat(f->item->progress, ==, 0.5);
    tell(f, "job.finished", "{'state':'done'}");
    g_assert_null(f->item->stage);
    g_assert_cmpfloat(f->item->progress, <, 0);
    tell(f, "instance.stage", "{'stage':'kernel'}");
    tell(f, "job.finished", "{'state':'done'}");
    g_assert_cmpstr(f->item->stage, ==, "kernel");
}

static void test_events_may_lack_their_data(Fixture *f, gconstpointer data)
{
    static const char *const types[] = {"instance.state",   "instance.stage",   "instance.ready",
                                        "instance.address", "instance.removed", "job.progress",
                                        "job.finished"};
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        stead_story_event(f->item, types[i], NULL);
        tell(f, types[i], "[]");
        tell(f, types[i], "{'to':[],'stage':{},'addresses':7,'progress':'x'}");
    }
    g_assert_false(stead_story_event(f->item, "image.added", NULL));
}

static void test_the_clock_stops_at_the_end(Fixture *f, gconstpointer data)
{
    record(f, "{'state':'running','ready':true}");
    stead_story_clock(f->item, STEAD_UNTIL_READY, 5);
    stead_story_clock(f->item, STEAD_UNTIL_READY, 9);
    g_assert_cmpint(f->item->ended, ==, 5);
    record(f, "{'state':'starting'}");
    stead_story_clock(f->item, STEAD_UNTIL_READY, 11);
    g_assert_cmpint(f->item->ended, ==, 0);
}

static void assert_job(const char *json, gboolean ended, int code)
{
    g_autoptr(JsonNode) job = json_from_string(json, NULL);
    g_assert_cmpint(stead_story_job_has_ended(job), ==, ended);
    g_autoptr(GError) error = ended ? stead_story_job_error(job) : NULL;
    g_assert_cmpint(error ? error->code : -1, ==, code);
}

static void test_jobs_end_in_three_ways(Fixture *f, gconstpointer data)
{
    assert_job("{'state':'running'}", FALSE, -1);
    assert_job("{}", FALSE, -1);
    assert_job("{'state':'done'}", TRUE, -1);
    assert_job("{'state':'cancelled'}", TRUE, STEAD_ERROR_CANCELLED);
    assert_job("{'state':'failed','error':{'code':'busy','message':'m'}}", TRUE, STEAD_ERROR_BUSY);
}

#define ADD(name, func) g_test_add("/story/" name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("a-boot-is-told", test_a_boot_is_told);
    ADD("a-stopped-one-is-not-ready", test_a_stopped_one_is_not_ready);
    ADD("failure-and-removal-end-every-hope", test_failure_and_removal_end_every_hope);
    ADD("a-jobs-stage-ends-with-it", test_a_jobs_stage_ends_with_it);
    ADD("events-may-lack-their-data", test_events_may_lack_their_data);
    ADD("jobs-end-in-three-ways", test_jobs_end_in_three_ways);
    ADD("the-clock-stops-at-the-end", test_the_clock_stops_at_the_end);
    return g_test_run();
}
