/* SPDX-License-Identifier: Apache-2.0 */
/* What standard output and standard error are, and how messages are printed. */
#pragma once

#include <glib.h>

/* Whether a person reads it: standard output is a terminal that can move its cursor. */
gboolean stead_screen_is_live(void);

/* Whether standard output is a terminal of any sort. */
gboolean stead_screen_is_terminal(void);

/* Whether colours are wanted: a terminal, and no NO_COLOR (https://no-color.org). */
gboolean stead_screen_has_colour(void);

/* The terminal's size; 80 x 24 where it is unknown. */
void stead_screen_size(guint *columns, guint *rows);

/* Colours, as names for escape sequences; "" where `colour` is FALSE. */
typedef enum {
    STEAD_COLOUR_NONE,
    STEAD_COLOUR_GOOD,
    STEAD_COLOUR_BAD,
    STEAD_COLOUR_BUSY,
    STEAD_COLOUR_DIM,
    STEAD_COLOUR_BOLD,
    STEAD_N_COLOURS
} SteadColour;

/* What begins and ends a colour. Static; "" for NONE too. */
const char *stead_colour_on(SteadColour colour, gboolean wanted);
const char *stead_colour_off(SteadColour colour, gboolean wanted);
/* What a state, check status or job state looks like. */
SteadColour stead_colour_of(const char *state);

/* "stead: MESSAGE" and, when there is one, "hint: HINT" to standard error, made harmless. Messages
 * of several lines keep them. */
void stead_screen_error(const GError *error);

/* A remark to standard error: on a terminal only, since scripts have no use for it. */
void stead_screen_remark(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Asks on the terminal; FALSE with INVALID where there is none, naming --yes. */
gboolean stead_screen_confirm(const char *question, gboolean *yes, GError **error);
