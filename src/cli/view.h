/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sees while waiting: one line an instance (or job). Pure: state and time in, text
 * out; watch.c feeds it with events and puts the text on the terminal.
 */
#pragma once

#include <glib.h>

typedef struct {
    char *name;
    char *state;     /* the model's name of the state; NULL: not known yet */
    char *stage;     /* the step it is in; NULL */
    char *line;      /* the latest line of its console that marked a stage; NULL */
    char *addresses; /* "10.77.0.10"; NULL */
    char *error;     /* why it failed; NULL */
    double progress; /* 0..1; -1: unknown */
    gboolean ready;
    gboolean late;         /* it runs, and is not ready within its rule's time */
    gboolean stage_of_job; /* the stage is a job's, not the guest's: it ends with the job */
    gboolean is_job;       /* a job's own line: not an instance */
    gint64 ended;          /* monotonic; when its time stopped to count; 0: it runs */
    char *printed;         /* the last plain line without its time, so that none is said twice */
} SteadViewItem;

typedef struct {
    GPtrArray *items; /* SteadViewItem, in the order of the lines */
    gint64 begun;     /* monotonic, microseconds */
} SteadView;

/* Empty; times are shown since `now`, of the monotonic clock. Owned by the caller. */
SteadView *stead_view_new(gint64 now);
void stead_view_free(SteadView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadView, stead_view_free)

/* The item of that name, made where there is none. Owned by the view. */
SteadViewItem *stead_view_item(SteadView *view, const char *name);
/* NULL when there is none. */
SteadViewItem *stead_view_find(SteadView *view, const char *name);

/* Replaces a text of an item by a clean copy of `text` (NULL: nothing). */
void stead_view_set(char **slot, const char *text);

/* "ready", "failed", the state, or "waiting". Owned by the item. */
const char *stead_view_word(const SteadViewItem *item);

/*
 * The lines, each shorter than `columns` and ended by a line feed, at most `rows` - 1 of them:
 * where there are more items, those that are under way come first and the last line counts the
 * rest. *n_lines (may be NULL) is how many. Owned by the caller.
 */
char *stead_view_render(const SteadView *view, gint64 now, guint columns, guint rows,
                        gboolean colour, guint *n_lines);

/* For where lines cannot be redrawn: the item's line when it says something new (with the time
 * since the begin), else NULL. Owned by the caller. */
char *stead_view_plain(const SteadView *view, SteadViewItem *item, gint64 now);
