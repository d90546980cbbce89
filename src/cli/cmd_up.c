/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead up and down: a whole spec. The plan is asked for and shown first, so that nobody is
 * surprised; what would lose data is confirmed.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/local_file.h"
#include "cli/screen.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "model/check.h"

#define DEFAULT_FILE "stead.yaml"

static JsonNode *spec_body(SteadSpec *spec)
{
    JsonObject *object = json_object_new();
    json_object_set_member(object, "spec", stead_spec_to_json(spec));
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

/* --- the plan --- */

/* Marks as in a diff. */
static const struct {
    const char *action, *mark;
    SteadColour colour;
} marks[] = {
    {"create", "+", STEAD_COLOUR_GOOD}, {"change", "~", STEAD_COLOUR_BUSY},
    {"start", ">", STEAD_COLOUR_GOOD},  {"restart-needed", "!", STEAD_COLOUR_BUSY},
    {"remove", "-", STEAD_COLOUR_BAD},  {"recreate", "!", STEAD_COLOUR_BAD},
};

static void print_action(JsonNode *action)
{
    const char *name = stead_json_text(action, "action");
    gboolean colour = stead_screen_has_colour();
    const char *mark = " ";
    SteadColour shade = STEAD_COLOUR_NONE;
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++)
        if (g_strcmp0(name, marks[i].action) == 0) {
            mark = marks[i].mark;
            shade = marks[i].colour;
        }
    g_autofree char *what = stead_clean(stead_json_text(action, "what"));
    g_autofree char *subject = stead_clean(stead_json_text(action, "name"));
    g_autofree char *detail = stead_clean(stead_json_text(action, "detail"));
    printf("%s%s %-14s %s %s%s%s%s\n", stead_colour_on(shade, colour), mark, name ? name : "", what,
           subject, *detail ? ": " : "", detail, stead_colour_off(shade, colour));
}

static gboolean is_action(JsonNode *action, const char *name)
{
    return g_strcmp0(stead_json_text(action, "action"), name) == 0;
}

/* Prints what would be done; returns how many things that is. */
static guint print_plan(JsonNode *plan, const char *project)
{
    JsonNode *actions = stead_json_member(plan, "actions");
    guint n = 0;
    for (guint i = 0; i < stead_json_length(actions); i++) {
        JsonNode *action = stead_json_element(actions, i);
        if (is_action(action, "none"))
            continue;
        print_action(action);
        n++;
    }
    if (n == 0)
        printf("%s: nothing to change\n", project);
    return n;
}

/* TRUE when nothing is removed, or the user agrees to it. */
static gboolean may_remove(SteadCall *call, JsonNode *plan, gboolean *yes, GError **error)
{
    JsonNode *actions = stead_json_member(plan, "actions");
    guint removed = 0;
    *yes = TRUE;
    for (guint i = 0; i < stead_json_length(actions); i++)
        removed += is_action(stead_json_element(actions, i), "remove");
    if (removed == 0 || stead_call_flag(call, "yes"))
        return TRUE;
    g_autofree char *question =
        g_strdup_printf("%u thing%s that the spec no longer names would be removed. Go on?",
                        removed, removed == 1 ? "" : "s");
    return stead_screen_confirm(question, yes, error);
}

/* --- up --- */

/* The instances that will be there, with the numbers that a count gives them. */
static void add_instances(SteadWatch *watch, const SteadSpec *spec)
{
    for (guint i = 0; i < spec->instances->len; i++) {
        const SteadInstanceSpec *instance = g_ptr_array_index(spec->instances, i);
        const char *name = g_ptr_array_index(spec->instance_names, i);
        if (instance->count <= 1) {
            stead_watch_add(watch, name);
            continue;
        }
        for (guint n = 1; n <= instance->count; n++) {
            g_autofree char *numbered = g_strdup_printf("%s-%u", name, n);
            stead_watch_add(watch, numbered);
        }
    }
}

static int carry_out(SteadCall *call, const SteadSpec *spec, JsonNode *body, GError **error)
{
    gboolean json = stead_call_json(call);
    g_autoptr(SteadWatch) watch = stead_watch_new(call, json, error);
    g_autoptr(JsonNode) job =
        watch ? stead_call_request(call, "POST", "/v1/up", body, error) : NULL;
    if (job == NULL)
        return 1;
    if (stead_call_flag(call, "no-wait")) {
        if (json)
            stead_json_print(job);
        else
            stead_screen_remark("It goes on by itself: stead ls --project %s", spec->name);
        return 0;
    }
    add_instances(watch, spec);
    stead_watch_job(watch, job, NULL);
    if (!stead_call_has(call, "timeout"))
        stead_watch_keep_to_rules(watch);
    int code =
        stead_watch_run(watch, STEAD_UNTIL_READY, stead_call_number(call, "timeout", 0), error);
    if (code == 0 && !json)
        stead_screen_remark("%s is up. See it: stead ls    End it: stead down %s", spec->name,
                            spec->name);
    return code;
}

static int run_up(SteadCall *call, GError **error)
{
    const char *file = stead_call_argument(call, 0);
    g_autoptr(SteadSpec) spec = stead_local_spec(file ? file : DEFAULT_FILE, error);
    gboolean yes;
    if (spec == NULL)
        return 1;
    g_autoptr(JsonNode) body = spec_body(spec);
    g_autoptr(JsonNode) plan = stead_call_request(call, "POST", "/v1/plan", body, error);
    if (plan == NULL)
        return 1;
    gboolean dry = stead_call_flag(call, "dry-run");
    if (!stead_call_json(call))
        print_plan(plan, spec->name);
    else if (dry)
        stead_json_print(plan);
    if (dry)
        return 0;
    if (!may_remove(call, plan, &yes, error))
        return 1;
    if (!yes) {
        stead_screen_remark("Nothing was changed.");
        return 1;
    }
    return carry_out(call, spec, body, error);
}

/* --- down --- */

static gboolean is_file(const char *argument)
{
    return !stead_name_is_valid(argument) || g_str_has_suffix(argument, ".yaml") ||
           g_str_has_suffix(argument, ".yml") ||
           (strchr(argument, '/') != NULL && g_file_test(argument, G_FILE_TEST_EXISTS));
}

/* Only the name matters, but a file that is wrong is better said than guessed at. */
static char *project_of(const char *argument, GError **error)
{
    if (argument != NULL && !is_file(argument))
        return g_strdup(argument);
    g_autoptr(SteadSpec) spec = stead_local_spec(argument ? argument : DEFAULT_FILE, error);
    return spec ? g_strdup(spec->name) : NULL;
}

static int run_down(SteadCall *call, GError **error)
{
    g_autofree char *project = project_of(stead_call_argument(call, 0), error);
    if (project == NULL)
        return 1;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "project", project);
    json_builder_set_member_name(builder, "volumes");
    json_builder_add_boolean_value(builder, stead_call_flag(call, "volumes"));
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", "/v1/down", body, project, NULL, error);
}

/* --- tables --- */

static const SteadArgument up_arguments[] = {
    {.name = "FILE",
     .doc = "the spec; stead.yaml where left out, - for standard input",
     .optional = TRUE,
     .complete = STEAD_COMPLETE_FILE},
    {NULL},
};

static const SteadOption up_options[] = {
    {.name = "dry-run", .letter = 'n', .doc = "show what would be done, and do nothing"},
    {.name = "no-wait", .doc = "return as soon as the daemon has begun"},
    {.name = "yes", .letter = 'y', .doc = "do not ask before something is removed"},
    {.name = "timeout",
     .letter = 't',
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "fail when not all is ready after this long",
     .fallback = "the readiness rules'"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample up_examples[] = {
    {"stead up examples/edge-node.yaml", "Bring a spec up and watch it:"},
    {"stead up --dry-run lab.yaml", "After an edit, see what would change:"},
    {NULL},
};

static const SteadExit up_exits[] = {
    {2, "the spec is wrong; every mistake was printed with its place"},
    {13, "a guest failed"},
    {14, "not all was ready in time"},
    {0, NULL},
};

const SteadCommand stead_cmd_up = {
    .name = "up",
    .section = STEAD_SECTION_SPEC,
    .summary = "Bring a spec up: make, change and start what differs",
    .description =
        "Shows the plan, carries it out, and waits until every instance is ready. Done again "
        "without a change of the spec, it changes nothing. A change that needs a restart is "
        "named and waits for 'stead restart'.\n\n"
        "Files that the spec names (user-data-file, files of ssh-keys) are read by this "
        "command, relative to the spec. stead.yaml(5) tells what a spec may say.",
    .arguments = up_arguments,
    .options = up_options,
    .examples = up_examples,
    .exits = up_exits,
    .run = run_up,
};

static const SteadArgument down_arguments[] = {
    {.name = "FILE|PROJECT",
     .doc = "the spec or its name; stead.yaml where left out",
     .optional = TRUE,
     .complete = STEAD_COMPLETE_PROJECT},
    {NULL},
};

static const SteadOption down_options[] = {
    {.name = "volumes", .doc = "remove the spec's volumes, too"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample down_examples[] = {
    {"stead down examples/edge-node.yaml", "End all of it; volumes stay:"},
    {"stead down lab --volumes", "By name, data and all:"},
    {NULL},
};

const SteadCommand stead_cmd_down = {
    .name = "down",
    .section = STEAD_SECTION_SPEC,
    .summary = "Stop and remove what a spec brought up",
    .description = "Its instances with their disks and snapshots, and its networks. Volumes stay "
                   "unless --volumes is said.",
    .arguments = down_arguments,
    .options = down_options,
    .examples = down_examples,
    .run = run_down,
};
