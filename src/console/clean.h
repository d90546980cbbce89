/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text out of a terminal's byte stream. A guest writes whatever it likes on its console; what
 * comes out here is valid UTF-8 without control characters other than tab and line feed, so that
 * it neither drives the terminal it is shown on nor breaks the patterns that look at it.
 */
#pragma once

#include <glib.h>

/* The longest escape sequence that is understood; a longer one is dropped as it comes. */
#define STEAD_CLEAN_ESCAPE_MAX 48

typedef enum {
    STEAD_CLEAN_TEXT,    /* no escape sequence at all */
    STEAD_CLEAN_COLOURS, /* keeps SGR sequences: colours and weights */
} SteadCleanMode;

/* Plain data; all zero is the start of a stream in mode TEXT. */
typedef struct {
    SteadCleanMode mode;
    guint8 state;
    guint8 kept; /* bytes in `held` */
    gboolean carriage_return;
    gboolean in_line; /* something was put out since the last line end */
    char held[STEAD_CLEAN_ESCAPE_MAX];
} SteadClean;

/* Forgets what was fed so far. */
void stead_clean_init(SteadClean *clean, SteadCleanMode mode);

/*
 * Appends the text of n bytes to `out`. Sequences may be split at any byte over calls. Line ends
 * (CR LF, LF, a CR that overwrites a line, and a jump of the cursor) all become one LF. Appends at
 * most 3 * n + STEAD_CLEAN_ESCAPE_MAX bytes.
 */
void stead_clean_feed(SteadClean *clean, const void *bytes, gsize n, GString *out);
