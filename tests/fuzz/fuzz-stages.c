/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a console's output, cut by their first byte: the rules keep to their promises, and
 * what they show is text. What stands before the first NUL is also tried as a user's pattern.
 */
#include <string.h>

#include <glib.h>

#include "console/clean.h"
#include "console/lines.h"
#include "console/match.h"
#include "console/stages.h"
#include "fuzz.h"

#define MAX_BYTES (64 * 1024)

static void check_text(const char *text, gsize length, gboolean colours)
{
    g_assert_true(g_utf8_validate(text, (gssize)length, NULL));
    for (gsize i = 0; i < length; i++)
        g_assert_true((guint8)text[i] >= 0x20 || text[i] == '\t' || text[i] == '\n' ||
                      (colours && text[i] == '\x1b'));
}

static void on_event(const SteadStageEvent *event, gpointer data)
{
    SteadStage *last = data;
    check_text(event->line, strlen(event->line), FALSE);
    g_assert_cmpuint(strlen(event->line), <=, STEAD_LINE_MAX);
    g_assert_cmpint(event->stage, <, STEAD_N_STAGES);
    if (event->trouble)
        g_assert_cmpint(event->stage, ==, *last);
    else if (!event->reboot)
        g_assert_cmpint(event->stage, >, *last);
    *last = event->stage;
}

static void try_stages(const uint8_t *data, size_t size, size_t step)
{
    g_autoptr(SteadStages) stages = stead_stages_new();
    SteadStage last = STEAD_STAGE_NONE;
    for (size_t at = 0; at < size; at += step)
        stead_stages_feed(stages, data + at, MIN(step, size - at), on_event, &last);
    g_assert_cmpint(stead_stages_current(stages), ==, last);
}

static void try_clean(const uint8_t *data, size_t size, size_t step, SteadCleanMode mode)
{
    g_autoptr(GString) whole = g_string_new(NULL);
    g_autoptr(GString) cut = g_string_new(NULL);
    SteadClean clean;
    stead_clean_init(&clean, mode);
    stead_clean_feed(&clean, data, size, whole);
    stead_clean_init(&clean, mode);
    for (size_t at = 0; at < size; at += step)
        stead_clean_feed(&clean, data + at, MIN(step, size - at), cut);
    g_assert_true(g_string_equal(whole, cut));
    g_assert_cmpuint(whole->len, <=, 3 * size + STEAD_CLEAN_ESCAPE_MAX);
    check_text(whole->str, whole->len, mode == STEAD_CLEAN_COLOURS);
}

static void try_match(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\0', size);
    if (end == NULL)
        return;
    g_autoptr(SteadMatch) match = stead_match_new((const char *)data, NULL);
    if (match)
        stead_match_feed(match, end, size - (size_t)(end - data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > MAX_BYTES)
        return 0;
    size_t step = (size_t)data[0] + 1;
    try_stages(data, size, step);
    try_clean(data, size, step, STEAD_CLEAN_TEXT);
    try_clean(data, size, step, STEAD_CLEAN_COLOURS);
    try_match(data, size);
    return 0;
}
