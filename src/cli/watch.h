/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the daemon to do something, and showing how far it is: live lines on a terminal,
 * plain lines elsewhere, the API's events as JSON lines with --format json.
 *
 * Ctrl-C ends the waiting, never what was begun: the user is told how to go on.
 */
#pragma once

#include "cli/command.h"
#include "cli/story.h"

/* The exit code after Ctrl-C. */
#define STEAD_EXIT_INTERRUPTED 130

typedef struct _SteadWatch SteadWatch;

/*
 * Subscribes to the events, so that nothing that follows is missed. `json`: print them. The call
 * must outlive the watch.
 */
SteadWatch *stead_watch_new(SteadCall *call, gboolean json, GError **error);
void stead_watch_free(SteadWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadWatch, stead_watch_free)

/* An instance that gets a line. */
void stead_watch_add(SteadWatch *watch, const char *instance);

/* A job to follow, as the API shows it. `label` (may be NULL) gives it a line of its own. */
void stead_watch_job(SteadWatch *watch, JsonNode *node, const char *label);

/* A regular expression that a line of the console of the (one) instance must match as well;
 * matches what its present run has printed so far, too. INVALID when it is none. */
gboolean stead_watch_console(SteadWatch *watch, const char *regex, GError **error);

/* An instance that is not ready in the time of its readiness rule fails with TIMEOUT. */
void stead_watch_keep_to_rules(SteadWatch *watch);

/* Instances of which there is no record fail with NOT_FOUND instead of being waited for. */
void stead_watch_require(SteadWatch *watch);

/*
 * Waits. 0 when all of it holds; 1 with an error when it cannot come true any more, or TIMEOUT
 * after `timeout_ms` (0: never); STEAD_EXIT_INTERRUPTED after Ctrl-C, with advice printed.
 */
int stead_watch_run(SteadWatch *watch, SteadUntil until, guint64 timeout_ms, GError **error);

/*
 * One request that begins a job, and the job followed to its end. `label` as above; `result` (may
 * be NULL) gets the job's result, owned by the caller. With --format json, when the command has
 * it, events are printed.
 */
int stead_watch_request(SteadCall *call, const char *method, const char *path, JsonNode *body,
                        const char *label, JsonNode **result, GError **error);
