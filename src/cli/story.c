/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function an event type, in a table. Members that are absent change nothing.
 *
 * A line shows a stage from one of two sources: the guest's boot, or the job that works on it. The
 * job's ends with the job; else "downloading" would stand beside a machine that has long booted.
 */
#include "cli/story.h"

#include <string.h>

#include "base/error.h"
#include "cli/client.h"
#include "cli/json.h"

#define STATE_REMOVED "removed" /* a state of the line only: the record is gone */

gboolean stead_story_is(const SteadViewItem *item, SteadState state)
{
    return g_strcmp0(item->state, stead_name_of(&stead_state_names, (int)state)) == 0;
}

static void set_state(SteadViewItem *item, const char *state)
{
    if (state == NULL)
        return;
    stead_view_set(&item->state, state);
    if (!stead_story_is(item, STEAD_STATE_RUNNING) && !stead_story_is(item, STEAD_STATE_PAUSED))
        item->ready = item->late = FALSE;
    if (!stead_story_is(item, STEAD_STATE_FAILED))
        stead_view_set(&item->error, NULL);
}

static void set_addresses(SteadViewItem *item, JsonNode *node)
{
    g_autofree char *joined = stead_json_join(node, "addresses");
    stead_view_set(&item->addresses, *joined != '\0' ? joined : NULL);
}

static void set_progress(SteadViewItem *item, JsonNode *job)
{
    const char *stage = stead_json_text(job, "stage");
    if (stage != NULL) {
        stead_view_set(&item->stage, stage);
        item->stage_of_job = TRUE;
    }
    item->progress = stead_json_number(job, "progress", -1);
}

/* --- events --- */

static void end_job_stage(SteadViewItem *item)
{
    if (item->stage_of_job)
        stead_view_set(&item->stage, NULL);
    item->stage_of_job = FALSE;
    item->progress = -1;
}

static void on_state(SteadViewItem *item, JsonNode *data)
{
    set_state(item, stead_json_text(data, "to"));
    if (stead_json_text(data, "error") != NULL)
        stead_view_set(&item->error, stead_json_text(data, "error"));
    if (stead_story_is(item, STEAD_STATE_STARTING)) {
        stead_view_set(&item->stage, NULL);
        stead_view_set(&item->line, NULL);
        stead_view_set(&item->addresses, NULL);
    }
    end_job_stage(item);
}

static void on_stage(SteadViewItem *item, JsonNode *data)
{
    item->stage_of_job = FALSE;
    stead_view_set(&item->stage, stead_json_text(data, "stage"));
    stead_view_set(&item->line, stead_json_text(data, "line"));
}

static void on_ready(SteadViewItem *item, JsonNode *data)
{
    set_state(item, stead_name_of(&stead_state_names, STEAD_STATE_RUNNING));
    item->ready = TRUE;
}

static void on_late(SteadViewItem *item, JsonNode *data)
{
    item->late = TRUE;
}

static void on_address(SteadViewItem *item, JsonNode *data)
{
    set_addresses(item, data);
}

static void on_removed(SteadViewItem *item, JsonNode *data)
{
    set_state(item, STATE_REMOVED);
}

static void on_job_finished(SteadViewItem *item, JsonNode *data)
{
    end_job_stage(item);
}

typedef struct {
    const char *type;
    void (*apply)(SteadViewItem *item, JsonNode *data);
} Handler;

static const Handler handlers[] = {
    {"instance.state", on_state},   {"instance.stage", on_stage},
    {"instance.ready", on_ready},   {"instance.address", on_address},
    {"instance.late", on_late},     {"instance.removed", on_removed},
    {"job.progress", set_progress}, {"job.finished", on_job_finished},
};

gboolean stead_story_event(SteadViewItem *item, const char *type, JsonNode *data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(handlers); i++)
        if (strcmp(handlers[i].type, type) == 0) {
            handlers[i].apply(item, data);
            return TRUE;
        }
    return FALSE;
}

/* --- records and jobs --- */

void stead_story_record(SteadViewItem *item, JsonNode *instance)
{
    set_state(item, stead_json_text(instance, "state"));
    stead_view_set(&item->stage, stead_json_text(instance, "stage"));
    item->stage_of_job = FALSE;
    stead_view_set(&item->error, stead_json_text(instance, "error"));
    set_addresses(item, instance);
    item->ready = stead_json_flag(instance, "ready");
    item->late = stead_json_flag(instance, "late");
}

void stead_story_job(SteadViewItem *item, JsonNode *job)
{
    set_state(item, stead_json_text(job, "state"));
    set_progress(item, job);
    if (g_strcmp0(item->state, "done") == 0)
        end_job_stage(item);
    const char *error = stead_json_text(job, "error.message");
    if (error != NULL)
        stead_view_set(&item->error, error);
}

gboolean stead_story_job_has_ended(JsonNode *job)
{
    const char *state = stead_json_text(job, "state");
    return state != NULL && strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
}

GError *stead_story_job_error(JsonNode *job)
{
    JsonNode *error = stead_json_member(job, "error");
    const char *state = stead_json_text(job, "state");
    if (error != NULL && JSON_NODE_HOLDS_OBJECT(error)) {
        g_autofree char *text = json_to_string(error, FALSE);
        return stead_client_error_from_reply(500, text, strlen(text));
    }
    if (g_strcmp0(state, "done") == 0)
        return NULL;
    return stead_error_new(STEAD_ERROR_CANCELLED, NULL, "the job was %s",
                           state ? state : "ended in a way unknown");
}

/* --- what is waited for --- */

gboolean stead_story_holds(const SteadViewItem *item, SteadUntil until)
{
    switch (until) {
    case STEAD_UNTIL_READY:
        return item->ready && stead_story_is(item, STEAD_STATE_RUNNING);
    case STEAD_UNTIL_ADDRESS:
        return item->addresses != NULL && stead_story_is(item, STEAD_STATE_RUNNING);
    case STEAD_UNTIL_RUNNING:
        return stead_story_is(item, STEAD_STATE_RUNNING);
    case STEAD_UNTIL_STOPPED:
        return stead_story_is(item, STEAD_STATE_STOPPED);
    default:
        return TRUE;
    }
}

gboolean stead_story_is_lost(const SteadViewItem *item, SteadUntil until)
{
    if (until == STEAD_UNTIL_DONE)
        return FALSE;
    if (g_strcmp0(item->state, STATE_REMOVED) == 0 || stead_story_is(item, STEAD_STATE_FAILED))
        return TRUE;
    return until != STEAD_UNTIL_STOPPED && stead_story_is(item, STEAD_STATE_STOPPED);
}

void stead_story_clock(SteadViewItem *item, SteadUntil until, gint64 now)
{
    gboolean ended = stead_story_is_lost(item, until) ||
                     (until != STEAD_UNTIL_DONE && stead_story_holds(item, until));
    if (!ended)
        item->ended = 0;
    else if (item->ended == 0)
        item->ended = now;
}
