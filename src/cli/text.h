/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for a terminal: what came from a guest or the daemon is made harmless before it is shown,
 * and measured in columns. Pure.
 */
#pragma once

#include <glib.h>

/* The longest parameters of an SGR sequence that is kept; a longer one is dropped. */
#define STEAD_CLEANER_SGR_MAX 48

/*
 * Takes out of a byte stream what could steer a terminal: C0 and C1 control characters except tab
 * and line feed, and whole escape sequences (also when they are cut by the end of a piece).
 * Invalid UTF-8 becomes U+FFFD. Plain data; {0} is the start.
 *
 * With `colours` it keeps SGR sequences, which set colours and weights and nothing else. A line
 * that leaves one set ends with a reset, so that none reaches what is printed next.
 */
typedef struct {
    gboolean colours; /* set it before the first piece */
    int state;        /* where within an escape sequence */
    char partial[4];  /* the beginning of a character that the next piece goes on with */
    guint n_partial;
    char parameters[STEAD_CLEANER_SGR_MAX]; /* of the CSI sequence under way */
    guint n_parameters;
    gboolean coloured; /* a colour is set */
} SteadCleaner;

/* Appends what is left of the piece to `out`. */
void stead_cleaner_feed(SteadCleaner *cleaner, const char *bytes, gsize length, GString *out);

/* After the last piece: ends the colours of a line that has no end. */
void stead_cleaner_finish(SteadCleaner *cleaner, GString *out);

/* One line of harmless text: as above, and line feeds and tabs become spaces. NULL gives "".
 * Owned by the caller. */
char *stead_clean(const char *text);

/* Likewise, but keeps line feeds: for messages of several lines. Owned by the caller. */
char *stead_clean_lines(const char *text);

/* Columns that valid UTF-8 takes on a terminal. */
guint stead_text_width(const char *text);

/* The text, or as much of it as fits with a closing "…". Owned by the caller. */
char *stead_text_fit(const char *text, guint columns);

/* Appends text and spaces up to `columns`. */
void stead_text_pad(GString *out, const char *text, guint columns);

/* Appends paragraphs (separated by empty lines) wrapped at `columns`, each line after `indent`
 * spaces. A line that begins with a space is kept as it is. */
void stead_text_wrap(GString *out, const char *text, guint indent, guint columns);

/* "3m05s" since `time` (microseconds since the epoch), "-" when 0. Owned by the caller. */
char *stead_text_age(gint64 time, gint64 now);
