/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are collected until their end (LF, CR LF, or CR), then taken by their field name; an empty
 * line ends the event. Comments (heartbeats) begin with a colon and are dropped.
 */
#include "cli/sse.h"

#include <string.h>

#include "base/error.h"

struct _SteadSse {
    SteadSseFunc func;
    gpointer user_data;
    GString *line;
    GString *event;
    GString *data;
    guint64 id;
    gboolean has_data;
    gboolean after_cr; /* the LF of a CR LF is yet to come */
};

SteadSse *stead_sse_new(SteadSseFunc func, gpointer user_data)
{
    SteadSse *sse = g_new0(SteadSse, 1);
    sse->func = func;
    sse->user_data = user_data;
    sse->line = g_string_new(NULL);
    sse->event = g_string_new(NULL);
    sse->data = g_string_new(NULL);
    return sse;
}

void stead_sse_free(SteadSse *sse)
{
    if (sse == NULL)
        return;
    g_string_free(sse->line, TRUE);
    g_string_free(sse->event, TRUE);
    g_string_free(sse->data, TRUE);
    g_free(sse);
}

static void dispatch(SteadSse *sse)
{
    if (sse->has_data)
        sse->func(sse->id, sse->event->str, sse->data->str, sse->user_data);
    g_string_truncate(sse->event, 0);
    g_string_truncate(sse->data, 0);
    sse->has_data = FALSE;
}

static void take_field(SteadSse *sse, const char *name, gsize length, const char *value)
{
    if (length == 4 && strncmp(name, "data", 4) == 0) {
        if (sse->has_data)
            g_string_append_c(sse->data, '\n');
        g_string_append(sse->data, value);
        sse->has_data = TRUE;
    } else if (length == 5 && strncmp(name, "event", 5) == 0) {
        g_string_assign(sse->event, value);
    } else if (length == 2 && strncmp(name, "id", 2) == 0) {
        g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT64, &sse->id, NULL);
    }
}

static void end_line(SteadSse *sse)
{
    const char *line = sse->line->str;
    const char *colon = strchr(line, ':');
    if (*line == '\0') {
        dispatch(sse);
    } else if (colon == NULL) {
        take_field(sse, line, strlen(line), "");
    } else if (colon != line) {
        const char *value = colon + 1 + (colon[1] == ' ');
        take_field(sse, line, (gsize)(colon - line), value);
    }
    g_string_truncate(sse->line, 0);
}

gboolean stead_sse_feed(SteadSse *sse, const char *bytes, gsize length, GError **error)
{
    for (gsize i = 0; i < length; i++) {
        gboolean second = sse->after_cr && bytes[i] == '\n';
        sse->after_cr = bytes[i] == '\r';
        if (second)
            continue;
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            end_line(sse);
            continue;
        }
        if (sse->line->len + sse->data->len >= STEAD_SSE_MAX_EVENT) {
            stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL,
                            "an event of the daemon is longer than %d bytes", STEAD_SSE_MAX_EVENT);
            return FALSE;
        }
        if (bytes[i] != '\0')
            g_string_append_c(sse->line, bytes[i]);
    }
    return TRUE;
}
