/* SPDX-License-Identifier: Apache-2.0 */
/* A user's regular expression against a console's lines: the readiness rule `console:`. */
#pragma once

#include <glib.h>

#define STEAD_MATCH_PATTERN_MAX 1024
/* Steps that one line may cost, and lines that may exceed it before the pattern is given up. */
#define STEAD_MATCH_STEPS_MAX 100000
#define STEAD_MATCH_FAILURES_MAX 8

typedef struct _SteadMatch SteadMatch;

/* INVALID, with the place and the reason, for a pattern that is none or too long. */
SteadMatch *stead_match_new(const char *pattern, GError **error);
void stead_match_free(SteadMatch *match);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadMatch, stead_match_free)

/* Looks at the next n bytes; TRUE from the first cleaned line on that the pattern is found in. A
 * line without an end counts, so that a prompt can be waited for. */
gboolean stead_match_feed(SteadMatch *match, const void *bytes, gsize n);

/* The line that matched; NULL: none yet. Owned by the match. */
const char *stead_match_line(const SteadMatch *match);

/* Whether the pattern was given up, because matching it takes too long. */
gboolean stead_match_is_given_up(const SteadMatch *match);
