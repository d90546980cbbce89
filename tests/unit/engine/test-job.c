/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/job.h"

#include <string.h>

#include "base/error.h"
#include "base/paths.h"

typedef struct {
    char *dir;
    SteadStore *store;
    SteadEvents *events;
    SteadJobs *jobs;
    GString *log; /* main loop only */
    GMutex mutex;
    GCond cond;
    gboolean open; /* a gate that bodies may wait for */
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-job-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(f->dir, "db", NULL);
    f->store = stead_store_open(path, NULL);
    f->events = stead_events_new(f->store);
    f->jobs = stead_jobs_new(f->events);
    f->log = g_string_new(NULL);
}

static void open_gate(Fixture *f)
{
    g_mutex_lock(&f->mutex);
    f->open = TRUE;
    g_cond_broadcast(&f->cond);
    g_mutex_unlock(&f->mutex);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    open_gate(f);
    g_assert_true(stead_jobs_shutdown(f->jobs, 5000));
    stead_jobs_free(f->jobs);
    stead_events_free(f->events);
    stead_store_free(f->store);
    stead_remove_tree(f->dir, NULL);
    g_string_free(f->log, TRUE);
    g_free(f->dir);
}

static SteadJob *submit(Fixture *f, const char *subject, const char *lock, SteadJobFunc func)
{
    SteadJobOptions options = {
        .type = "test", .subject = subject, .lock = lock, .func = func, .data = f};
    SteadJob *job = stead_jobs_submit(f->jobs, &options, NULL);
    g_assert_nonnull(job);
    return stead_job_ref(job);
}

static void run_until_ended(SteadJob *job)
{
    while (stead_job_state(job) < STEAD_JOB_DONE)
        g_main_context_iteration(NULL, TRUE);
}

typedef struct {
    Fixture *f;
    const char *text;
} Note;

static gboolean append(gpointer data, GError **error)
{
    Note *note = data;
    g_string_append(note->f->log, note->text);
    return TRUE;
}

static gboolean noting_body(SteadJob *job, gpointer data, GError **error)
{
    Note begin = {data, "<"}, end = {data, ">"};
    return stead_job_sync(job, append, &begin, error) && stead_job_sync(job, append, &end, error);
}

static gboolean failing_body(SteadJob *job, gpointer data, GError **error)
{
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Free some.", "no space");
    return FALSE;
}

static gboolean gate_body(SteadJob *job, gpointer data, GError **error)
{
    Fixture *f = data;
    g_mutex_lock(&f->mutex);
    while (!f->open)
        g_cond_wait(&f->cond, &f->mutex);
    g_mutex_unlock(&f->mutex);
    return !g_cancellable_set_error_if_cancelled(stead_job_cancellable(job), error);
}

static void test_same_lock_is_one_after_the_other(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) a = submit(f, "a", "lock", noting_body);
    g_autoptr(SteadJob) b = submit(f, "b", "lock", noting_body);
    g_autoptr(SteadJob) c = submit(f, "c", "lock", noting_body);
    run_until_ended(c);
    g_assert_cmpint((int)stead_job_state(a), ==, STEAD_JOB_DONE);
    g_assert_cmpint((int)stead_job_state(b), ==, STEAD_JOB_DONE);
    g_assert_cmpstr(f->log->str, ==, "<><><>");
}

static void test_failure_is_kept(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) job = submit(f, "a", NULL, failing_body);
    run_until_ended(job);
    g_assert_cmpint((int)stead_job_state(job), ==, STEAD_JOB_FAILED);
    g_autoptr(JsonNode) json = stead_job_to_json(job);
    JsonObject *error = json_object_get_object_member(json_node_get_object(json), "error");
    g_assert_cmpstr(json_object_get_string_member(error, "code"), ==, "exhausted");
    g_assert_cmpstr(json_object_get_string_member(error, "hint"), ==, "Free some.");
    g_assert_true(stead_jobs_find(f->jobs, stead_job_id(job), NULL) == job);
}

static void test_a_queued_job_is_cancelled_at_once(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) first = submit(f, "a", "lock", gate_body);
    g_autoptr(SteadJob) second = submit(f, "b", "lock", gate_body);
    while (stead_job_state(first) == STEAD_JOB_QUEUED)
        g_main_context_iteration(NULL, TRUE);
    stead_job_cancel(second);
    g_assert_cmpint((int)stead_job_state(second), ==, STEAD_JOB_CANCELLED);
    g_assert_cmpint((int)stead_job_state(first), ==, STEAD_JOB_RUNNING);
}

static void test_a_running_job_is_asked_to_end(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) job = submit(f, "a", NULL, gate_body);
    while (stead_job_state(job) == STEAD_JOB_QUEUED)
        g_main_context_iteration(NULL, TRUE);
    stead_job_cancel(job);
    open_gate(f);
    run_until_ended(job);
    g_assert_cmpint((int)stead_job_state(job), ==, STEAD_JOB_CANCELLED);
}

static gboolean submit_child(gpointer data, GError **error)
{
    Note *note = data;
    SteadJob **child = (SteadJob **)(gsize)note->text;
    *child = submit(note->f, "child", NULL, failing_body);
    return TRUE;
}

static gboolean parent_body(SteadJob *job, gpointer data, GError **error)
{
    g_autoptr(SteadJob) child = NULL;
    Note note = {data, (const char *)&child};
    return stead_job_sync(job, submit_child, &note, error) &&
           stead_job_wait(job, child, TRUE, error);
}

static void test_a_parent_gets_its_childs_error(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) job = submit(f, "a", NULL, parent_body);
    run_until_ended(job);
    g_assert_error(stead_job_error(job), STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
}

static void test_no_more_than_the_slots_run(Fixture *f, gconstpointer unused)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)stead_job_unref);
    for (guint i = 0; i < STEAD_JOBS_MAX_RUNNING + 3; i++)
        g_ptr_array_add(all, submit(f, "many", NULL, gate_body));
    while (stead_job_state(all->pdata[STEAD_JOBS_MAX_RUNNING - 1]) == STEAD_JOB_QUEUED)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpint((int)stead_job_state(all->pdata[STEAD_JOBS_MAX_RUNNING]), ==, STEAD_JOB_QUEUED);
    open_gate(f);
    run_until_ended(all->pdata[all->len - 1]);
}

static gboolean submit_sibling(gpointer data, GError **error)
{
    Note *note = data;
    SteadJob **sibling = (SteadJob **)(gsize)note->text;
    *sibling = submit(note->f, "sibling", NULL, noting_body);
    return TRUE;
}

static gboolean waiting_body(SteadJob *job, gpointer data, GError **error)
{
    g_autoptr(SteadJob) sibling = NULL;
    Note note = {data, (const char *)&sibling};
    return stead_job_sync(job, submit_sibling, &note, error) &&
           stead_job_wait(job, sibling, FALSE, error);
}

static void test_a_waiting_body_gives_its_slot_back(Fixture *f, gconstpointer unused)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)stead_job_unref);
    for (guint i = 0; i < 2 * STEAD_JOBS_MAX_RUNNING; i++)
        g_ptr_array_add(all, submit(f, "waiter", NULL, waiting_body));
    for (guint i = 0; i < all->len; i++) {
        run_until_ended(all->pdata[i]);
        g_assert_cmpint((int)stead_job_state(all->pdata[i]), ==, STEAD_JOB_DONE);
    }
}

static void count_running(SteadJob *job, gpointer data)
{
    *(guint *)data += stead_job_state(job) == STEAD_JOB_RUNNING;
}

static void test_questions_are_limited(Fixture *f, gconstpointer unused)
{
    SteadJobOptions options = {.type = "question", .quiet = TRUE, .func = gate_body, .data = f};
    for (guint i = 0; i < STEAD_JOBS_MAX_QUESTIONS + 5; i++)
        g_assert_nonnull(stead_jobs_submit(f->jobs, &options, NULL));
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    guint running = 0;
    stead_jobs_each(f->jobs, TRUE, count_running, &running);
    g_assert_cmpuint(running, ==, STEAD_JOBS_MAX_QUESTIONS);
    options.lock = "host"; /* is not kept waiting by them */
    SteadJob *locked = stead_jobs_submit(f->jobs, &options, NULL);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_assert_cmpint((int)stead_job_state(locked), ==, STEAD_JOB_RUNNING);
}

static void test_too_many_jobs_are_refused(Fixture *f, gconstpointer unused)
{
    for (guint i = 0; i < STEAD_JOBS_MAX_QUEUED; i++)
        stead_job_unref(submit(f, "many", NULL, gate_body));
    g_autoptr(GError) error = NULL;
    SteadJobOptions options = {.type = "test", .func = gate_body, .data = f};
    g_assert_null(stead_jobs_submit(f->jobs, &options, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
}

static void test_all_jobs_of_a_lock_are_cancelled(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) running = submit(f, "a", "lock", gate_body);
    g_autoptr(SteadJob) queued = submit(f, "b", "lock", gate_body);
    g_autoptr(SteadJob) other = submit(f, "c", "another", gate_body);
    while (stead_job_state(running) == STEAD_JOB_QUEUED)
        g_main_context_iteration(NULL, TRUE);
    stead_jobs_cancel_with_lock(f->jobs, "lock");
    open_gate(f);
    run_until_ended(running);
    run_until_ended(other);
    g_assert_cmpint((int)stead_job_state(running), ==, STEAD_JOB_CANCELLED);
    g_assert_cmpint((int)stead_job_state(queued), ==, STEAD_JOB_CANCELLED);
    g_assert_cmpint((int)stead_job_state(other), ==, STEAD_JOB_DONE);
}

static gboolean note_thread(gpointer data, GError **error)
{
    *(GThread **)data = g_thread_self();
    return TRUE;
}

static gboolean thread_body(SteadJob *job, gpointer data, GError **error)
{
    return stead_job_sync(job, note_thread, data, error);
}

/* Nobody runs the main loop when the body hops: it has to wait, not to go on by itself. */
static void test_a_hop_never_stays_in_its_thread(Fixture *f, gconstpointer unused)
{
    GThread *thread = NULL;
    SteadJobOptions options = {.type = "test", .func = thread_body, .data = &thread};
    g_autoptr(SteadJob) job = stead_job_ref(stead_jobs_submit(f->jobs, &options, NULL));
    while (stead_job_state(job) == STEAD_JOB_QUEUED)
        g_main_context_iteration(NULL, FALSE);
    while (!g_main_context_pending(NULL))
        g_thread_yield();
    g_assert_null(thread);
    run_until_ended(job);
    g_assert_true(thread == g_thread_self());
}

static gboolean answer_body(SteadJob *job, gpointer data, GError **error);

static void test_old_results_are_forgotten(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) first = submit(f, "a", NULL, answer_body);
    run_until_ended(first);
    g_assert_nonnull(stead_job_result(first));
    for (guint i = 0; i < STEAD_JOBS_MAX_RESULTS; i++) {
        g_autoptr(SteadJob) later = submit(f, "b", NULL, answer_body);
        run_until_ended(later);
    }
    g_assert_null(stead_job_result(first));
    g_assert_true(stead_jobs_find(f->jobs, stead_job_id(first), NULL) == first);
}

static void test_no_job_begins_while_closing(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadJob) queued = submit(f, "a", NULL, gate_body);
    open_gate(f);
    g_assert_true(stead_jobs_shutdown(f->jobs, 5000));
    g_assert_cmpint((int)stead_job_state(queued), ==, STEAD_JOB_CANCELLED);
    g_autoptr(GError) error = NULL;
    SteadJobOptions options = {.type = "test", .func = gate_body, .data = f};
    g_assert_null(stead_jobs_submit(f->jobs, &options, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
}

static gboolean answer_body(SteadJob *job, gpointer data, GError **error)
{
    stead_job_set_result(job, json_from_string("{\"secret\":1}", NULL));
    return TRUE;
}

static void check_no_secret(const SteadEvent *event, gpointer data)
{
    g_assert_null(strstr(event->json, "secret"));
}

static void take_answer(SteadJob *job, gpointer data)
{
    g_assert_nonnull(stead_job_result(job));
    *(gboolean *)data = TRUE;
}

static void test_results_are_not_told_in_events(Fixture *f, gconstpointer unused)
{
    gboolean answered = FALSE;
    stead_events_subscribe(f->events, check_no_secret, NULL);
    g_autoptr(SteadJob) loud = submit(f, "a", NULL, answer_body);
    run_until_ended(loud);
    SteadJobOptions options = {.type = "test", .quiet = TRUE, .func = answer_body};
    SteadJob *quiet = stead_jobs_submit(f->jobs, &options, NULL);
    g_autofree char *id = g_strdup(stead_job_id(quiet));
    stead_job_notify(quiet, take_answer, &answered);
    while (!answered)
        g_main_context_iteration(NULL, TRUE);
    g_assert_null(stead_jobs_find(f->jobs, id, NULL));
}

#define ADD(path, func) g_test_add("/job/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("same-lock-is-one-after-the-other", test_same_lock_is_one_after_the_other);
    ADD("failure-is-kept", test_failure_is_kept);
    ADD("a-queued-job-is-cancelled-at-once", test_a_queued_job_is_cancelled_at_once);
    ADD("a-running-job-is-asked-to-end", test_a_running_job_is_asked_to_end);
    ADD("a-parent-gets-its-childs-error", test_a_parent_gets_its_childs_error);
    ADD("no-more-than-the-slots-run", test_no_more_than_the_slots_run);
    ADD("results-are-not-told-in-events", test_results_are_not_told_in_events);
    ADD("a-waiting-body-gives-its-slot-back", test_a_waiting_body_gives_its_slot_back);
    ADD("questions-are-limited", test_questions_are_limited);
    ADD("too-many-jobs-are-refused", test_too_many_jobs_are_refused);
    ADD("all-jobs-of-a-lock-are-cancelled", test_all_jobs_of_a_lock_are_cancelled);
    ADD("a-hop-never-stays-in-its-thread", test_a_hop_never_stays_in_its_thread);
    ADD("old-results-are-forgotten", test_old_results_are_forgotten);
    ADD("no-job-begins-while-closing", test_no_job_begins_while_closing);
    return g_test_run();
}
