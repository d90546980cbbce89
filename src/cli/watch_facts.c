/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truth comes from two sides: events tell what changes, and sync reads the present state of the
 * jobs and instances at the begin, when the job has ended, and after a lost connection was made
 * anew. An event may be older than the last sync; the events that follow it set that right.
 *
 * Each fact changes the view or the watch's own state, and then settle() decides whether the
 * waiting is over: when all that is waited for holds, or cannot hold any more.
 */
#include "cli/watch_facts.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/json.h"

/* --- showing --- */

/* Where lines are not redrawn in place: one when there is something new to say. */
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

void stead_watch_end(SteadWatch *watch)
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

void stead_watch_give_up(SteadWatch *watch, GError *error)
{
    keep_error(watch, error);
    stead_watch_end(watch);
}

/* A daemon that is gone may come back: then on_again() catches up. Takes `error` over. */
static void give_up_or_renew(SteadWatch *watch, GError *error)
{
    if (stead_error_code(error) != STEAD_ERROR_UNAVAILABLE) {
        stead_watch_give_up(watch, error);
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
        stead_watch_end(watch);
        return;
    }
    gboolean rule = watch->rule == NULL || watch->rule_holds || watch->error != NULL;
    if (all_settled(watch) && (rule || watch->error != NULL))
        stead_watch_end(watch);
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
static void job_ended(SteadWatch *watch, SteadWatchJob *job, JsonNode *node)
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

static void take_job(SteadWatch *watch, SteadWatchJob *job, JsonNode *node)
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
        SteadWatchJob *job = g_ptr_array_index(watch->jobs, i);
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

gboolean stead_watch_sync(SteadWatch *watch, GError **error)
{
    return sync_jobs(watch, error) && sync_instances(watch, error);
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
        stead_watch_give_up(watch, error);
}

void stead_watch_on_rule(const char *line, gpointer data)
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

void stead_watch_consider(SteadWatch *watch)
{
    start_rule(watch);
    settle(watch);
}

/* --- events --- */

/* The running job of ours that the event is about; NULL when there is none. */
static SteadWatchJob *own_job(const SteadWatch *watch, const char *type, JsonNode *data)
{
    const char *id = g_str_has_prefix(type, "job.") ? stead_json_text(data, "id") : NULL;
    for (guint i = 0; id != NULL && i < watch->jobs->len; i++) {
        SteadWatchJob *job = g_ptr_array_index(watch->jobs, i);
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
    SteadWatchJob *own = own_job(watch, type, details);
    SteadViewItem *item = subject ? stead_view_find(watch->view, subject) : NULL;
    if (own == NULL && item == NULL)
        return;
    if (watch->json)
        stead_json_print_line(event);
    if (item != NULL && !item->is_job)
        take_item_event(watch, item, type, details);
    if (own != NULL)
        take_job(watch, own, details);
    stead_watch_consider(watch);
}

static void on_again(gpointer data)
{
    SteadWatch *watch = data;
    GError *error = NULL;
    if (stead_watch_sync(watch, &error))
        settle(watch);
    else
        give_up_or_renew(watch, error);
}

static void on_lost(GError *error, gpointer data)
{
    stead_watch_give_up(data, error);
}

const SteadEventHandlers stead_watch_handlers = {on_event, on_again, on_lost};
