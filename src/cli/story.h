/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What events, records and jobs mean for the line of an instance, and whether what is waited for
 * holds. Pure.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "cli/view.h"
#include "model/kind.h"

/* What is waited for, of the job (if there is one) and then of each instance. */
typedef enum {
    STEAD_UNTIL_DONE,    /* nothing of the instances */
    STEAD_UNTIL_READY,   /* running, and its readiness rule holds */
    STEAD_UNTIL_ADDRESS, /* running, with an address */
    STEAD_UNTIL_RUNNING,
    STEAD_UNTIL_STOPPED,
    STEAD_N_UNTILS
} SteadUntil;

/* FALSE for any state while none is known. */
gboolean stead_story_is(const SteadViewItem *item, SteadState state);

/* An event of that type about the item. FALSE when it says nothing about a line. */
gboolean stead_story_event(SteadViewItem *item, const char *type, JsonNode *data);

/* The instance as the API shows it. */
void stead_story_record(SteadViewItem *item, JsonNode *instance);

/* The job whose line it is (item->is_job), as the API shows it. */
void stead_story_job(SteadViewItem *item, JsonNode *job);

/* Whether the API's job has ended, and the error that it ended with (NULL: it is done). The error
 * is owned by the caller. */
gboolean stead_story_job_has_ended(JsonNode *job);
GError *stead_story_job_error(JsonNode *job);

/* Whether what is waited for is true of the item now. */
gboolean stead_story_holds(const SteadViewItem *item, SteadUntil until);

/* Whether waiting any longer is hopeless: it has failed, was removed, or has stopped where it
 * should run. */
gboolean stead_story_is_lost(const SteadViewItem *item, SteadUntil until);

/* Stops or resumes the item's clock. */
void stead_story_clock(SteadViewItem *item, SteadUntil until, gint64 now);
