/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns come from specs and lines from guests, and both may be hostile: `(a+)+$` against a long
 * line of a's would hold the main loop for years. So the pattern is prefixed by PCRE's own limits
 * (a pattern can lower them further, never raise them), is interpreted rather than compiled to
 * machine code, where the limits count otherwise, and is given up after a few lines that hit them.
 */
#include "console/match.h"

#include <string.h>

#include "base/error.h"
#include "console/lines.h"

#define DEPTH_MAX 2000

struct _SteadMatch {
    GRegex *regex;
    SteadLines lines;
    char *line;
    guint failures;
};

static const char hint[] =
    "Use a Perl-compatible regular expression of at most 1024 bytes, as in 'login: $'.";

SteadMatch *stead_match_new(const char *pattern, GError **error)
{
    if (strlen(pattern) > STEAD_MATCH_PATTERN_MAX || !g_utf8_validate(pattern, -1, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, hint,
                        "the console pattern is longer than %d bytes, or no UTF-8",
                        STEAD_MATCH_PATTERN_MAX);
        return NULL;
    }
    /* First alone, so that places in the message are those of the user's pattern. */
    g_autoptr(GError) problem = NULL;
    g_autoptr(GRegex) plain = g_regex_new(pattern, 0, 0, &problem);
    g_autofree char *limited = g_strdup_printf("(*LIMIT_MATCH=%d)(*LIMIT_RECURSION=%d)%s",
                                               STEAD_MATCH_STEPS_MAX, DEPTH_MAX, pattern);
    g_autoptr(GRegex) regex = plain ? g_regex_new(limited, 0, 0, &problem) : NULL;
    if (regex == NULL) {
        stead_set_error(error, STEAD_ERROR_INVALID, hint, "the console pattern: %s",
                        problem->message);
        return NULL;
    }
    SteadMatch *match = g_new0(SteadMatch, 1);
    match->regex = g_steal_pointer(&regex);
    stead_lines_init(&match->lines);
    return match;
}

void stead_match_free(SteadMatch *match)
{
    if (match == NULL)
        return;
    g_regex_unref(match->regex);
    stead_lines_clear(&match->lines);
    g_free(match->line);
    g_free(match);
}

static void look_at_line(const char *line, gboolean whole, gpointer data)
{
    SteadMatch *match = data;
    if (match->line || stead_match_is_given_up(match))
        return;
    g_autoptr(GError) problem = NULL;
    if (g_regex_match_full(match->regex, line, -1, 0, 0, NULL, &problem))
        match->line = g_strdup(line);
    else if (problem)
        match->failures++;
}

gboolean stead_match_feed(SteadMatch *match, const void *bytes, gsize n)
{
    if (match->line == NULL && !stead_match_is_given_up(match))
        stead_lines_feed(&match->lines, bytes, n, look_at_line, match);
    return match->line != NULL;
}

const char *stead_match_line(const SteadMatch *match)
{
    return match->line;
}

gboolean stead_match_is_given_up(const SteadMatch *match)
{
    return match->failures >= STEAD_MATCH_FAILURES_MAX;
}
