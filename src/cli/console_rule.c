/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are matched when they end, and also as far as they have come whenever the guest pauses: a
 * prompt ("login: ") has no line end. Escape sequences are taken out first.
 */
#include "cli/console_rule.h"

#include <string.h>

#include "base/error.h"
#include "cli/text.h"

#define READ_SIZE (32 * 1024)

struct _SteadConsoleRule {
    GRegex *regex;
    SteadRuleFunc func;
    gpointer data;
    SteadCleaner cleaner;
    GString *line;
    GInputStream *input;
    GCancellable *cancellable;
    gboolean closed;
    gboolean matched;
    char buffer[READ_SIZE];
};

static void release(gpointer data)
{
    SteadConsoleRule *rule = data;
    g_clear_pointer(&rule->regex, g_regex_unref);
    g_clear_object(&rule->input);
    g_clear_object(&rule->cancellable);
    g_string_free(rule->line, TRUE);
}

SteadConsoleRule *stead_console_rule_new(const char *regex, SteadRuleFunc func, gpointer data,
                                         GError **error)
{
    g_autoptr(GError) cause = NULL;
    GRegex *compiled = g_regex_new(regex, G_REGEX_OPTIMIZE, 0, &cause);
    if (compiled == NULL) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%s' is not a regular expression: %s",
                        regex, cause->message);
        return NULL;
    }
    SteadConsoleRule *rule = g_rc_box_new0(SteadConsoleRule);
    rule->regex = compiled;
    rule->func = func;
    rule->data = data;
    rule->line = g_string_new(NULL);
    rule->cancellable = g_cancellable_new();
    return rule;
}

void stead_console_rule_free(SteadConsoleRule *rule)
{
    if (rule == NULL)
        return;
    rule->closed = TRUE;
    g_cancellable_cancel(rule->cancellable);
    g_rc_box_release_full(rule, release);
}

static void try_line(SteadConsoleRule *rule)
{
    if (rule->matched || rule->closed || !g_regex_match(rule->regex, rule->line->str, 0, NULL))
        return;
    rule->matched = TRUE;
    rule->func(rule->line->str, rule->data);
}

void stead_console_rule_feed(SteadConsoleRule *rule, const char *bytes, gsize length)
{
    g_autoptr(GString) text = g_string_new(NULL);
    stead_cleaner_feed(&rule->cleaner, bytes, length, text);
    const char *p = text->str;
    while (*p != '\0' && !rule->matched) {
        gsize n = strcspn(p, "\n");
        gsize room = STEAD_RULE_MAX_LINE - MIN(rule->line->len, STEAD_RULE_MAX_LINE);
        g_string_append_len(rule->line, p, (gssize)MIN(n, room));
        p += n;
        if (*p == '\0')
            break;
        try_line(rule);
        g_string_truncate(rule->line, 0);
        p++;
    }
    if (rule->line->len > 0)
        try_line(rule);
}

static void read_more(SteadConsoleRule *rule);

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    SteadConsoleRule *rule = data;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result, NULL);
    if (!rule->closed) {
        if (n > 0)
            stead_console_rule_feed(rule, rule->buffer, (gsize)n);
        else
            rule->func(NULL, rule->data);
    }
    if (!rule->closed && !rule->matched && n > 0)
        read_more(rule);
    g_rc_box_release_full(rule, release);
}

static void read_more(SteadConsoleRule *rule)
{
    g_input_stream_read_async(rule->input, rule->buffer, sizeof rule->buffer, G_PRIORITY_DEFAULT,
                              rule->cancellable, on_read, g_rc_box_acquire(rule));
}

gboolean stead_console_rule_start(SteadConsoleRule *rule, SteadClient *client, const char *instance,
                                  GError **error)
{
    g_autofree char *base = stead_client_path("instances", instance, "logs", NULL);
    g_autofree char *path = g_strconcat(base, "?follow=1&boot=1", NULL);
    g_clear_object(&rule->input);
    g_string_truncate(rule->line, 0);
    rule->input = stead_client_stream_async(client, path, 0, error);
    if (rule->input == NULL)
        return FALSE;
    read_more(rule);
    return TRUE;
}
