/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a line of an instance's console: the log of its present run, followed until a line
 * matches a regular expression.
 */
#pragma once

#include "cli/client.h"

/* A line is looked at up to this length. */
#define STEAD_RULE_MAX_LINE (16 * 1024)

typedef struct _SteadConsoleRule SteadConsoleRule;

/* `line` is the one that matched, valid during the call; NULL when the log has ended before. */
typedef void (*SteadRuleFunc)(const char *line, gpointer data);

/* INVALID when `regex` (PCRE) is none. Nothing is read before stead_console_rule_start(). */
SteadConsoleRule *stead_console_rule_new(const char *regex, SteadRuleFunc func, gpointer data,
                                         GError **error);
/* No callback comes after it. */
void stead_console_rule_free(SteadConsoleRule *rule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadConsoleRule, stead_console_rule_free)

/* Begins to read; may be called again after the log has ended. `client` must outlive the rule. */
gboolean stead_console_rule_start(SteadConsoleRule *rule, SteadClient *client, const char *instance,
                                  GError **error);

/* Looks at bytes of the log as they come; for start() and for tests. */
void stead_console_rule_feed(SteadConsoleRule *rule, const char *bytes, gsize length);
