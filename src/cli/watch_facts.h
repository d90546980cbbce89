/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a watch knows, shared by watch.c, which runs the loop, and watch_facts.c, which takes in
 * what is learned and decides when the waiting is over. Private to them.
 */
#pragma once

#include "cli/console_rule.h"
#include "cli/events.h"
#include "cli/watch.h"

typedef struct {
    char *id;
    gboolean runs;
    SteadViewItem *item; /* NULL: it has no line */
} SteadWatchJob;

struct _SteadWatch {
    SteadClient *client; /* the call's */
    gboolean json;
    gboolean live;           /* lines are redrawn in place */
    gboolean keeps_to_rules; /* to the instances' own time-outs */
    gboolean requires;       /* an instance without a record is an error */
    SteadView *view;
    guint drawn;  /* lines of the live view that are on the terminal */
    gint64 begun; /* wall clock: what happened before is of no interest */

    GPtrArray *jobs; /* SteadWatchJob */
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

/* Its `data` is the watch. */
extern const SteadEventHandlers stead_watch_handlers;

/* For stead_console_rule_new(): the line that matched, NULL at the end of a run. */
void stead_watch_on_rule(const char *line, gpointer watch);

/* Reads the jobs and instances as they are now. */
gboolean stead_watch_sync(SteadWatch *watch, GError **error);

/* Looks at the console where a rule wants it, and ends the waiting when nothing is left to wait
 * for. To be called after whatever the watch has learned. */
void stead_watch_consider(SteadWatch *watch);

/* Ends the waiting; give_up() with an error, which it takes over (the first one counts). */
void stead_watch_end(SteadWatch *watch);
void stead_watch_give_up(SteadWatch *watch, GError *error);
