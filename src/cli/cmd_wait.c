/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead wait: until an instance has come as far as a script needs it. A name of a project stands
 * for the instances that it has when the waiting begins.
 */
#include "cli/commands.h"

#include <string.h>

#include "base/error.h"
#include "base/near.h"
#include "cli/json.h"
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

/* The instances of the project of that name; an instance of the name comes first, and so does a
 * name that nobody has, so that it is told. Owned by the caller, the names by the list. */
static GPtrArray *instances_of(JsonNode *list, const char *name)
{
    GPtrArray *found = g_ptr_array_new();
    for (guint i = 0; i < stead_json_length(list); i++) {
        JsonNode *node = stead_json_element(list, i);
        const char *instance = stead_json_text(node, "name");
        if (g_strcmp0(instance, name) == 0) {
            g_ptr_array_set_size(found, 0);
            break;
        }
        if (instance != NULL && g_strcmp0(stead_json_text(node, "project"), name) == 0)
            g_ptr_array_add(found, (gpointer)(gsize)instance);
    }
    if (found->len == 0)
        g_ptr_array_add(found, (gpointer)(gsize)name);
    return found;
}

/* Returns how many instances are waited for; 0 with an error. */
static guint add_instances(SteadCall *call, SteadWatch *watch, GError **error)
{
    g_autoptr(JsonNode) list = stead_call_request(call, "GET", "/v1/instances", NULL, error);
    guint n = 0;
    if (list == NULL)
        return 0;
    for (const char *const *name = stead_call_arguments(call, 0); *name != NULL; name++) {
        g_autoptr(GPtrArray) instances = instances_of(list, *name);
        n += instances->len;
        for (guint i = 0; i < instances->len; i++)
            stead_watch_add(watch, g_ptr_array_index(instances, i));
    }
    return n;
}

static gboolean set_condition(SteadCall *call, SteadWatch *watch, guint n_instances,
                              SteadUntil *until, GError **error)
{
    const char *name = stead_call_text(call, "for");
    *until = STEAD_UNTIL_READY;
    if (name == NULL)
        return TRUE;
    if (!g_str_has_prefix(name, CONSOLE_PREFIX))
        return find_condition(name, until, error);
    if (n_instances > 1) {
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
    guint n_instances = watch ? add_instances(call, watch, error) : 0;
    if (n_instances == 0 || !set_condition(call, watch, n_instances, &until, error))
        return 1;
    stead_watch_require(watch);
    return stead_watch_run(watch, until, stead_call_number(call, "timeout", DEFAULT_TIMEOUT_MS),
                           error);
}

static const SteadArgument arguments[] = {
    {.name = "NAME",
     .doc = "an instance by its name, or a project: all of its instances",
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
    {"stead wait lab", "Until each instance of a spec is ready:"},
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
