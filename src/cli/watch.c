/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main loop with few sources: the event stream, a ticker that redraws the live lines, SIGINT,
 * the time-out, and for console rules the log. Each changes the view or the watch's own state, and
 * then settle() decides whether the waiting is over.
 *
 * Truth comes from two sides: events tell what changes, and sync() reads the present state of the
 * instances at the begin, when the job has ended, and after a lost connection was made anew. An
 * event may be older than the last sync; the events that follow it set that right.
 */
#include "cli/watch.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/console_rule.h"
#include "cli/events.h"
#include "cli/json.h"
#include "cli/last_words.h"
#include "cli/screen.h"

#define TICK_MS 200

typedef struct {
    char *id;
    gboolean runs;
    SteadViewItem *item; /* NULL: it has no line */
} Job;

struct _SteadWatch {
    SteadClient *client; /* the call's */
    gboolean json;
    gboolean live;           /* lines are redrawn in place */
    gboolean keeps_to_rules; /* to the instances' own time-outs */
    gboolean requires;       /* an instance without a record is an error */
    SteadView *view;
    guint drawn;  /* lines of the live view that are on the terminal */
    gint64 begun; /* wall clock: what happened before is of no interest */

    GPtrArray *jobs; /* Job */
    guint running;   /* jobs that have not ended */
    gboolean job_failed;

    SteadConsoleRule *rule; /* NULL: none */
    gboolean rule_reads;
    gboolean rule_holds;

    SteadEventStream *events;
    GMainLoop *loop;
    SteadUntil until;
    gboolean over;
    gboolean interrupted;
    GError *error;
};

/* --- showing --- */

static void draw(SteadWatch *watch)
{
    guint columns, rows, lines;
    stead_screen_size(&columns, &rows);
    g_autofree char *text = stead_view_render(watch->view, g_get_monotonic_time(), columns, rows,
                                              stead_screen_has_colour(), &lines);
    if (watch->drawn > 0)
        printf("\033[%uA\r\033[J", watch->drawn);
    fputs(text, stdout);
    fflush(stdout);
    watch->drawn = lines;
}

/* Elsewhere: a line when there is something new to say. */
static void show(SteadWatch *watch, SteadViewItem *item)
{
    if (watch->json || watch->live)
        return;
    g_autofree char *line = stead_view_plain(watch->view, item, g_get_monotonic_time());
    if (line == NULL)
        return;
    puts(line);
    fflush(stdout);
}

static void changed(SteadWatch *watch, SteadViewItem *item)
{
    if (!item->is_job)
        stead_story_clock(item, watch->until, g_get_monotonic_time());
    show(watch, item);
}

/* --- ending --- */

static void end(SteadWatch *watch)
{
    watch->over = TRUE;
    g_main_loop_quit(watch->loop);
}

/* Takes `error` over; the first one counts. */
static void keep_error(SteadWatch *watch, GError *error)
{
    if (watch->error == NULL)
        watch->error = error;
    else
        g_error_free(error);
}

static void give_up(SteadWatch *watch, GError *error)
{
    keep_error(watch, error);
    end(watch);
}

/* A daemon that is gone may come back: then on_again() catches up. Takes `error` over. */
static void give_up_or_renew(SteadWatch *watch, GError *error)
{
    if (stead_error_code(error) != STEAD_ERROR_UNAVAILABLE) {
        give_up(watch, error);
        return;
    }
    g_error_free(error);
    stead_event_stream_renew(watch->events);
}

static GError *loss_of(const SteadViewItem *item)
{
    g_autofree char *look = g_strdup_printf("'stead logs %s' shows its console.", item->name);
    g_autofree char *start = g_strdup_printf("Start it with 'stead start %s'.", item->name);
    if (stead_story_is(item, STEAD_STATE_FAILED))
        return stead_error_new(STEAD_ERROR_GUEST, look, "%s failed: %s", item->name,
                               item->error ? item->error : "no reason is on record");
    if (stead_story_is(item, STEAD_STATE_STOPPED))
        return stead_error_new(STEAD_ERROR_STATE, start, "%s is stopped", item->name);
    if (stead_story_is(item, STEAD_STATE_RUNNING))
        return stead_error_new(STEAD_ERROR_TIMEOUT, look,
                               "%s runs, but was not ready within the time of its readiness rule",
                               item->name);
    return stead_error_new(STEAD_ERROR_NOT_FOUND, NULL, "%s was removed", item->name);
}

/* Whether nothing is left to wait for; who is lost leaves an error behind. */
static gboolean all_settled(SteadWatch *watch)
{
    gboolean all = TRUE;
    for (guint i = 0; i < watch->view->items->len; i++) {
        const SteadViewItem *item = g_ptr_array_index(watch->view->items, i);
        if (item->is_job)
            continue;
        gboolean late = item->late && watch->keeps_to_rules && watch->until == STEAD_UNTIL_READY;
        if (stead_story_is_lost(item, watch->until) || (late && !item->ready))
            keep_error(watch, loss_of(item));
        else if (!stead_story_holds(item, watch->until))
            all = FALSE;
    }
    return all;
}

/* The others are still waited for when one is lost: they may become ready yet. */
static void settle(SteadWatch *watch)
{
    if (watch->running > 0)
        return;
    if (watch->job_failed) {
        end(watch);
        return;
    }
    gboolean rule = watch->rule == NULL || watch->rule_holds || watch->error != NULL;
    if (all_settled(watch) && (rule || watch->error != NULL))
        end(watch);
}

/* --- the present state --- */

static JsonNode *find_instance(JsonNode *list, const char *name)
{
    for (guint i = 0; i < stead_json_length(list); i++) {
        JsonNode *node = stead_json_element(list, i);
        if (g_strcmp0(stead_json_text(node, "name"), name) == 0)
            return node;
    }
    return NULL;
}

static gboolean take_list(SteadWatch *watch, JsonNode *list, GError **error)
{
    for (guint i = 0; i < watch->view->items->len; i++) {
        SteadViewItem *item = g_ptr_array_index(watch->view->items, i);
        JsonNode *node = item->is_job ? NULL : find_instance(list, item->name);
        if (node != NULL) {
            stead_story_record(item, node);
            changed(watch, item);
        } else if (!item->is_job && watch->requires) {
            stead_set_error(error, STEAD_ERROR_NOT_FOUND, "'stead ls' lists the instances.",
                            "there is no instance '%s'", item->name);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean sync_instances(SteadWatch *watch, GError **error)
{
    g_autoptr(JsonNode) list =
        stead_client_call(watch->client, "GET", "/v1/instances", NULL, error);
    return list != NULL && take_list(watch, list, error);
}

/* After the jobs, every instance that is waited for must be there. */
static void job_ended(SteadWatch *watch, Job *job, JsonNode *node)
{
    GError *error = stead_story_job_error(node);
    job->runs = FALSE;
    watch->running--;
    if (error != NULL) {
        watch->job_failed = TRUE;
        keep_error(watch, error);
    } else if (watch->running == 0 && watch->until != STEAD_UNTIL_DONE) {
        watch->requires = TRUE;
        if (!sync_instances(watch, &error))
            give_up_or_renew(watch, error);
    }
}

static void take_job(SteadWatch *watch, Job *job, JsonNode *node)
{
    gboolean ended = stead_story_job_has_ended(node);
    if (job->item != NULL) {
        stead_story_job(job->item, node);
        job->item->ended = ended ? g_get_monotonic_time() : 0;
        show(watch, job->item);
    }
    if (ended && job->runs)
        job_ended(watch, job, node);
}

static gboolean sync_jobs(SteadWatch *watch, GError **error)
{
    for (guint i = 0; i < watch->jobs->len; i++) {
        Job *job = g_ptr_array_index(watch->jobs, i);
        if (!job->runs)
            continue;
        g_autofree char *path = stead_client_path("jobs", job->id, NULL);
        g_autoptr(JsonNode) node = stead_client_call(watch->client, "GET", path, NULL, error);
        if (node == NULL)
            return FALSE;
        take_job(watch, job, node);
    }
    return TRUE;
}

/* --- the console --- */

static void start_rule(SteadWatch *watch)
{
    const SteadViewItem *item = g_ptr_array_index(watch->view->items, 0);
    if (watch->rule == NULL || watch->rule_reads || watch->rule_holds ||
        !stead_story_is(item, STEAD_STATE_RUNNING))
        return;
    GError *error = NULL;
    watch->rule_reads = TRUE;
    if (!stead_console_rule_start(watch->rule, watch->client, item->name, &error))
        give_up(watch, error);
}

static void on_rule(const char *line, gpointer data)
{
    SteadWatch *watch = data;
    SteadViewItem *item = g_ptr_array_index(watch->view->items, 0);
    watch->rule_reads = FALSE;
    if (line == NULL) /* the run has ended; events tell what comes after it */
        return;
    watch->rule_holds = TRUE;
    stead_view_set(&item->line, line);
    settle(watch);
}

/* --- events --- */

/* The running job of ours that the event is about; NULL when there is none. */
static Job *own_job(const SteadWatch *watch, const char *type, JsonNode *data)
{
    const char *id = g_str_has_prefix(type, "job.") ? stead_json_text(data, "id") : NULL;
    for (guint i = 0; id != NULL && i < watch->jobs->len; i++) {
        Job *job = g_ptr_array_index(watch->jobs, i);
        if (job->runs && strcmp(job->id, id) == 0)
            return job;
    }
    return NULL;
}

static void take_item_event(SteadWatch *watch, SteadViewItem *item, const char *type,
                            JsonNode *data)
{
    GError *error = NULL;
    if (!stead_story_event(item, type, data))
        return;
    changed(watch, item);
    /* Why it failed is on its record only. */
    gboolean unexplained = stead_story_is(item, STEAD_STATE_FAILED) && item->error == NULL;
    if (unexplained && !sync_instances(watch, &error))
        give_up_or_renew(watch, error);
}

static void on_event(JsonNode *event, gpointer data)
{
    SteadWatch *watch = data;
    const char *type = stead_json_text(event, "type");
    const char *subject = stead_json_text(event, "subject");
    JsonNode *details = stead_json_member(event, "data");
    if (type == NULL || stead_json_integer(event, "time", G_MAXINT64) < watch->begun)
        return;
    Job *own = own_job(watch, type, details);
    SteadViewItem *item = subject ? stead_view_find(watch->view, subject) : NULL;
    if (own == NULL && item == NULL)
        return;
    if (watch->json)
        stead_json_print_line(event);
    if (item != NULL && !item->is_job)
        take_item_event(watch, item, type, details);
    if (own != NULL)
        take_job(watch, own, details);
    start_rule(watch);
    settle(watch);
}

static void on_again(gpointer data)
{
    SteadWatch *watch = data;
    GError *error = NULL;
    if (sync_jobs(watch, &error) && sync_instances(watch, &error))
        settle(watch);
    else
        give_up_or_renew(watch, error);
}

static void on_lost(GError *error, gpointer data)
{
    give_up(data, error);
}

static const SteadEventHandlers event_handlers = {on_event, on_again, on_lost};

/* --- the other sources --- */

static gboolean on_tick(gpointer data)
{
    draw(data);
    return G_SOURCE_CONTINUE;
}

static gboolean on_interrupt(gpointer data)
{
    SteadWatch *watch = data;
    watch->interrupted = TRUE;
    end(watch);
    return G_SOURCE_CONTINUE;
}

static gboolean on_timeout(gpointer data)
{
    give_up(data, stead_error_new(STEAD_ERROR_TIMEOUT,
                                  "What was begun goes on; wait again with a longer --timeout.",
                                  "it did not happen in the time allowed"));
    return G_SOURCE_CONTINUE;
}

static void run_loop(SteadWatch *watch, guint64 timeout_ms)
{
    guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, watch);
    guint tick = watch->live ? g_timeout_add(TICK_MS, on_tick, watch) : 0;
    guint timeout =
        timeout_ms > 0 ? g_timeout_add((guint)MIN(timeout_ms, G_MAXINT), on_timeout, watch) : 0;
    if (!watch->over)
        g_main_loop_run(watch->loop);
    /* From here on Ctrl-C ends the program at once. */
    g_source_remove(interrupt);
    g_clear_handle_id(&tick, g_source_remove);
    g_clear_handle_id(&timeout, g_source_remove);
}

static void advise(const SteadWatch *watch)
{
    g_autoptr(GPtrArray) running = g_ptr_array_new();
    for (guint i = 0; i < watch->jobs->len; i++) {
        const Job *job = g_ptr_array_index(watch->jobs, i);
        if (job->runs)
            g_ptr_array_add(running, job->id);
    }
    g_ptr_array_add(running, NULL);
    stead_last_words_advice(watch->view, (const char *const *)running->pdata);
}

/* --- the interface --- */

static void job_free(gpointer data)
{
    Job *job = data;
    g_free(job->id);
    g_free(job);
}

SteadWatch *stead_watch_new(SteadCall *call, gboolean json, GError **error)
{
    g_autoptr(SteadWatch) watch = g_new0(SteadWatch, 1);
    watch->view = stead_view_new(g_get_monotonic_time());
    watch->jobs = g_ptr_array_new_with_free_func(job_free);
    watch->loop = g_main_loop_new(NULL, FALSE);
    watch->json = json;
    watch->live = !json && stead_screen_is_live();
    watch->begun = g_get_real_time();
    watch->client = stead_call_client(call, error);
    if (watch->client == NULL)
        return NULL;
    watch->events = stead_event_stream_open(watch->client, NULL, &event_handlers, watch, error);
    return watch->events ? g_steal_pointer(&watch) : NULL;
}

void stead_watch_free(SteadWatch *watch)
{
    if (watch == NULL)
        return;
    stead_event_stream_close(watch->events);
    stead_console_rule_free(watch->rule);
    stead_view_free(watch->view);
    g_main_loop_unref(watch->loop);
    g_clear_error(&watch->error);
    g_ptr_array_unref(watch->jobs);
    g_free(watch);
}

void stead_watch_add(SteadWatch *watch, const char *instance)
{
    stead_view_item(watch->view, instance);
}

void stead_watch_job(SteadWatch *watch, JsonNode *node, const char *label)
{
    const char *id = stead_json_text(node, "id");
    Job *job = g_new0(Job, 1);
    job->id = g_strdup(id ? id : "");
    job->runs = TRUE;
    watch->running++;
    g_ptr_array_add(watch->jobs, job);
    if (label != NULL) {
        job->item = stead_view_item(watch->view, label);
        job->item->is_job = TRUE;
    }
}

gboolean stead_watch_console(SteadWatch *watch, const char *regex, GError **error)
{
    watch->rule = stead_console_rule_new(regex, on_rule, watch, error);
    return watch->rule != NULL;
}

void stead_watch_keep_to_rules(SteadWatch *watch)
{
    watch->keeps_to_rules = TRUE;
}

void stead_watch_require(SteadWatch *watch)
{
    watch->requires = TRUE;
}

int stead_watch_run(SteadWatch *watch, SteadUntil until, guint64 timeout_ms, GError **error)
{
    watch->until = until;
    /* Events that came with the request's reply are still unread; the present state is later. */
    if (!sync_jobs(watch, &watch->error) || !sync_instances(watch, &watch->error))
        watch->over = TRUE;
    if (!watch->over) {
        start_rule(watch);
        settle(watch);
    }
    run_loop(watch, timeout_ms);
    if (watch->live && watch->view->items->len > 0)
        draw(watch);
    if (watch->interrupted) {
        advise(watch);
        return STEAD_EXIT_INTERRUPTED;
    }
    if (watch->error == NULL)
        return 0;
    stead_last_words_failures(watch->view, watch->client);
    g_propagate_error(error, g_steal_pointer(&watch->error));
    return 1;
}

static JsonNode *fetch_result(SteadCall *call, const char *id, GError **error)
{
    g_autofree char *path = stead_client_path("jobs", id, NULL);
    g_autoptr(JsonNode) job = stead_call_request(call, "GET", path, NULL, error);
    if (job == NULL)
        return NULL;
    JsonNode *result = stead_json_member(job, "result");
    return result ? json_node_copy(result) : json_node_new(JSON_NODE_NULL);
}

int stead_watch_request(SteadCall *call, const char *method, const char *path, JsonNode *body,
                        const char *label, JsonNode **result, GError **error)
{
    g_autoptr(SteadWatch) watch = stead_watch_new(call, stead_call_json(call), error);
    g_autoptr(JsonNode) job = watch ? stead_call_request(call, method, path, body, error) : NULL;
    if (job == NULL)
        return 1;
    stead_watch_job(watch, job, label);
    int code = stead_watch_run(watch, STEAD_UNTIL_DONE, 0, error);
    if (code != 0 || result == NULL)
        return code;
    const char *id = stead_json_text(job, "id");
    *result = fetch_result(call, id ? id : "", error);
    return *result ? 0 : 1;
}
