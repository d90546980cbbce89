/* SPDX-License-Identifier: Apache-2.0 */
/* stead wait: until an instance has come as far as a script needs it. */
#include "cli/commands.h"

#include <string.h>

#include "base/error.h"
#include "base/near.h"
#include "cli/watch.h"

#define CONSOLE_PREFIX "console:"
#define DEFAULT_TIMEOUT_MS (5 * 60 * 1000)

typedef struct {
    const char *name;
    SteadUntil until;
} Condition;

static const Condition conditions[] = {
    {"ready", STEAD_UNTIL_READY},
    {"ip", STEAD_UNTIL_ADDRESS},
    {"running", STEAD_UNTIL_RUNNING},
    {"stopped", STEAD_UNTIL_STOPPED},
};

static gboolean find_condition(const char *name, SteadUntil *until, GError **error)
{
    const char *words[G_N_ELEMENTS(conditions)];
    for (gsize i = 0; i < G_N_ELEMENTS(conditions); i++) {
        words[i] = conditions[i].name;
        if (strcmp(name, words[i]) == 0) {
            *until = conditions[i].until;
            return TRUE;
        }
    }
    const char *near = stead_near(name, words, G_N_ELEMENTS(words));
    g_autofree char *hint = near ? g_strdup_printf("Did you mean '%s'?", near) : NULL;
    stead_set_error(error, STEAD_ERROR_INVALID, hint,
                    "--for: '%s' is not one of ready, ip, running, stopped, console:REGEX", name);
    return FALSE;
}

static gboolean set_condition(SteadCall *call, SteadWatch *watch, SteadUntil *until, GError **error)
{
    const char *name = stead_call_text(call, "for");
    *until = STEAD_UNTIL_READY;
    if (name == NULL)
        return TRUE;
    if (!g_str_has_prefix(name, CONSOLE_PREFIX))
        return find_condition(name, until, error);
    if (stead_call_n_arguments(call) > 1) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Wait for one after the other.",
                        "--for console:REGEX takes one instance");
        return FALSE;
    }
    *until = STEAD_UNTIL_RUNNING;
    return stead_watch_console(watch, name + strlen(CONSOLE_PREFIX), error);
}

static int run(SteadCall *call, GError **error)
{
    SteadUntil until;
    g_autoptr(SteadWatch) watch = stead_watch_new(call, stead_call_json(call), error);
    if (watch == NULL || !set_condition(call, watch, &until, error))
        return 1;
    for (const char *const *name = stead_call_arguments(call, 0); *name != NULL; name++)
        stead_watch_add(watch, *name);
    stead_watch_require(watch);
    return stead_watch_run(watch, until, stead_call_number(call, "timeout", DEFAULT_TIMEOUT_MS),
                           error);
}

static const SteadArgument arguments[] = {
    {.name = "NAME",
     .doc = "the instance, by its name",
     .many = TRUE,
     .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "for",
     .type = STEAD_OPTION_TEXT,
     .metavar = "WHAT",
     .doc = "ready, ip, running, stopped, or console:REGEX: a line of its console matches",
     .fallback = "ready"},
    {.name = "timeout",
     .letter = 't',
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "fail after this long; 0 waits for ever",
     .fallback = "5m"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample examples[] = {
    {"stead wait web", "Until its readiness rule holds:"},
    {"stead wait web --for ip && ssh debian@web", "Until it has an address:"},
    {"stead wait web --for 'console:login: $' --timeout 5m", "Until its console asks for a name:"},
    {NULL},
};

static const SteadExit exits[] = {
    {3, "there is no such instance"},
    {5, "it is stopped, so that it cannot happen"},
    {13, "the instance failed"},
    {14, "it did not happen in time"},
    {0, NULL},
};

const SteadCommand stead_cmd_wait = {
    .name = "wait",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Wait until instances are ready, have an address, or have stopped",
    .description = "What the console printed before, since the instance was started, counts.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
