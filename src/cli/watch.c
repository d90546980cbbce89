/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main loop with few sources: the event stream, a ticker that redraws the live lines, SIGINT,
 * the time-out, and for console rules the log. What they bring is taken in by watch_facts.c, which
 * also says when the loop ends.
 */
#include "cli/watch.h"

#include <glib-unix.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/last_words.h"
#include "cli/screen.h"
#include "cli/watch_facts.h"

#define TICK_MS 200

/* --- the loop --- */

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

static gboolean on_tick(gpointer data)
{
    draw(data);
    return G_SOURCE_CONTINUE;
}

static gboolean on_interrupt(gpointer data)
{
    SteadWatch *watch = data;
    watch->interrupted = TRUE;
    stead_watch_end(watch);
    return G_SOURCE_CONTINUE;
}

static gboolean on_timeout(gpointer data)
{
    stead_watch_give_up(
        data, stead_error_new(STEAD_ERROR_TIMEOUT,
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
        const SteadWatchJob *job = g_ptr_array_index(watch->jobs, i);
        if (job->runs)
            g_ptr_array_add(running, job->id);
    }
    g_ptr_array_add(running, NULL);
    stead_last_words_advice(watch->view, (const char *const *)running->pdata);
}

/* --- the interface --- */

static void job_free(gpointer data)
{
    SteadWatchJob *job = data;
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
    watch->events =
        stead_event_stream_open(watch->client, NULL, &stead_watch_handlers, watch, error);
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
    SteadWatchJob *job = g_new0(SteadWatchJob, 1);
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
    watch->rule = stead_console_rule_new(regex, stead_watch_on_rule, watch, error);
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
    if (!stead_watch_sync(watch, &watch->error))
        watch->over = TRUE;
    if (!watch->over)
        stead_watch_consider(watch);
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
