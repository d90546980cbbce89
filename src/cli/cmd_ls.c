/* SPDX-License-Identifier: Apache-2.0 */
/* stead ls: the instances on record. */
#include "cli/commands.h"

#include "cli/json.h"
#include "cli/table.h"

/* "ready" says more than "running"; a pending restart is worth a star. */
static char *state_cell(JsonNode *item)
{
    const char *state = stead_json_text(item, "state");
    gboolean running = g_strcmp0(state, "running") == 0;
    const char *word = running && stead_json_flag(item, "ready") ? "ready" : state;
    return g_strconcat(word ? word : "-", stead_json_flag(item, "restart-needed") ? "*" : "", NULL);
}

/* Why it failed, else the stage that it has reached on its way to ready. */
static char *note_cell(JsonNode *item)
{
    const char *error = stead_json_text(item, "error");
    const char *stage = stead_json_flag(item, "ready") ? NULL : stead_json_text(item, "stage");
    return g_strdup(error ? error : stage);
}

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"STATE", NULL, STEAD_CELL_FUNCTION, state_cell},
    {"KIND", "kind", STEAD_CELL_TEXT},
    {"IMAGE", "image", STEAD_CELL_TEXT},
    {"CPUS", "cpus", STEAD_CELL_TEXT},
    {"MEMORY", "memory", STEAD_CELL_SIZE},
    {"ADDRESS", "addresses", STEAD_CELL_LIST},
    {"PROJECT", "project", STEAD_CELL_TEXT},
    {"UP", "started", STEAD_CELL_AGE},
    {"NOTE", NULL, STEAD_CELL_FUNCTION, note_cell},
    {NULL},
};

static int run(SteadCall *call, GError **error)
{
    const char *project = stead_call_text(call, "project");
    g_autofree char *escaped = project ? g_uri_escape_string(project, NULL, FALSE) : NULL;
    g_autofree char *path = g_strconcat("/v1/instances", project ? "?project=" : "", escaped, NULL);
    return stead_table_list(call, path, columns,
                            "No instance yet. Make one: stead run --name web debian:12",
                            stead_call_flag(call, "quiet") ? "name" : NULL, error);
}

static const SteadOption options[] = {
    {.name = "project",
     .letter = 'p',
     .type = STEAD_OPTION_TEXT,
     .metavar = "PROJECT",
     .doc = "only the instances of this spec",
     .complete = STEAD_COMPLETE_PROJECT},
    {.name = "quiet", .letter = 'q', .doc = "names only, one a line"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample examples[] = {
    {"stead ls", "Every instance:"},
    {"stead rm --force $(stead ls -q --project lab)", "Remove those of one spec by hand:"},
    {NULL},
};

const SteadCommand stead_cmd_ls = {
    .name = "ls",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "List instances",
    .description = "A star after the state says that a change of the spec waits for a restart.",
    .options = options,
    .examples = examples,
    .run = run,
};
