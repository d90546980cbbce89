/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: bytes are cleaned in small portions, so that the memory needed does not depend on how much
 * comes at once, and the buffer of a line is let go when it is empty, so that a silent console
 * holds none.
 */
#include "console/lines.h"

#include <string.h>

#define PORTION 1024

void stead_lines_init(SteadLines *lines)
{
    stead_clean_init(&lines->clean, STEAD_CLEAN_TEXT);
    lines->line = NULL;
}

void stead_lines_clear(SteadLines *lines)
{
    if (lines->line)
        g_string_free(lines->line, TRUE);
    lines->line = NULL;
}

/* Appends what fits, whole characters only. */
static void append(GString *line, const char *text, gsize n)
{
    gsize room = STEAD_LINE_MAX - MIN(line->len, STEAD_LINE_MAX);
    if (n > room) {
        n = room;
        while (n > 0 && ((guint8)text[n] & 0xc0) == 0x80)
            n--;
    }
    g_string_append_len(line, text, (gssize)n);
}

static void split(SteadLines *lines, const GString *text, SteadConsoleLineFunc func, gpointer data)
{
    const char *at = text->str, *end = text->str + text->len;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (gsize)(end - at));
        append(lines->line, at, (gsize)((line_end ? line_end : end) - at));
        if (line_end == NULL)
            return;
        func(lines->line->str, TRUE, data);
        g_string_truncate(lines->line, 0);
        at = line_end + 1;
    }
}

void stead_lines_feed(SteadLines *lines, const void *bytes, gsize n, SteadConsoleLineFunc func,
                      gpointer data)
{
    g_autoptr(GString) text = g_string_sized_new(PORTION);
    if (lines->line == NULL)
        lines->line = g_string_new(NULL);
    for (const char *at = bytes; n > 0;) {
        gsize portion = MIN(n, PORTION);
        stead_clean_feed(&lines->clean, at, portion, text);
        split(lines, text, func, data);
        g_string_truncate(text, 0);
        at += portion;
        n -= portion;
    }
    if (lines->line->len > 0)
        func(lines->line->str, FALSE, data);
    else
        stead_lines_clear(lines);
}
