/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead template: frozen, booted instances to clone from. A clone is an instance like any other,
 * made by `stead run template:NAME`.
 */
#include "base/error.h"
#include "cli/collection.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/watch.h"

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"IMAGE", "image", STEAD_CELL_TEXT},
    {"MEMORY", "memory", STEAD_CELL_SIZE},
    {"SIZE", "size", STEAD_CELL_SIZE},
    {"LOADED", "resident", STEAD_CELL_SIZE},
    {"CLONES", "clones", STEAD_CELL_TEXT},
    {"COMPLETE", "complete", STEAD_CELL_FLAG},
    {"AGE", "created", STEAD_CELL_AGE},
    {NULL},
};

static const SteadColumn fields[] = {
    {"Name", "name", STEAD_CELL_TEXT},
    {"Made from", "from", STEAD_CELL_TEXT},
    {"Image", "image", STEAD_CELL_TEXT},
    {"Kind", "kind", STEAD_CELL_TEXT},
    {"Engine", "engine", STEAD_CELL_TEXT},
    {"Runs on", "accel", STEAD_CELL_TEXT},
    {"CPUs", "cpus", STEAD_CELL_TEXT},
    {"Memory", "memory", STEAD_CELL_SIZE},
    {"Size on disk", "size", STEAD_CELL_SIZE},
    {"Loaded", "resident", STEAD_CELL_SIZE},
    {"Used by", "users", STEAD_CELL_LIST},
    {"Created", "created", STEAD_CELL_TIME},
    {"Id", "id", STEAD_CELL_TEXT},
    {NULL},
};

static const SteadCollection templates = {
    .path = "templates",
    .columns = columns,
    .empty = "No template yet. Freeze a microvm: stead template create NAME --from INSTANCE",
    .fields = fields,
};

static int run_create(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    const char *from = stead_call_text(call, "from");
    if (from == NULL) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Say --from INSTANCE.",
                        "'stead template create' needs an instance");
        return 2;
    }
    g_autoptr(JsonNode) body = stead_json_texts("name", name, "from", from, NULL);
    return stead_watch_request(call, "POST", "/v1/templates", body, name, NULL, error);
}

static const SteadArgument new_one[] = {
    {.name = "TEMPLATE", .doc = "a name for the template"},
    {NULL},
};

static const SteadArgument one[] = {
    {.name = "TEMPLATE", .doc = "the template", .complete = STEAD_COMPLETE_TEMPLATE},
    {NULL},
};

static const SteadArgument some[] = {
    {.name = "TEMPLATE", .doc = "the template", .many = TRUE, .complete = STEAD_COMPLETE_TEMPLATE},
    {NULL},
};

static const SteadOption create_options[] = {
    {.name = "from",
     .type = STEAD_OPTION_TEXT,
     .metavar = "INSTANCE",
     .doc = "a microvm that runs and is ready",
     .complete = STEAD_COMPLETE_INSTANCE},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample create_examples[] = {
    {"stead template create base --from web", "Freeze a machine as it is now; it goes on:"},
    {"stead run template:base --name n --count 50", "Fifty that have booted already:"},
    {NULL},
};

const SteadCommand stead_cmd_template = {
    .name = "template",
    .section = STEAD_SECTION_STORE,
    .summary = "Freeze booted microVMs, to run clones of them",
};

const SteadCommand stead_cmd_template_create = {
    .name = "template create",
    .section = STEAD_SECTION_STORE,
    .summary = "Freeze a running microVM with its memory, devices and disks",
    .description = "The instance stands still for a moment and goes on. Clones (stead run "
                   "template:NAME) continue where it stood, each with a name, addresses, machine "
                   "id, SSH host keys, random seed and clock of its own, and with disks that hold "
                   "only what differs.",
    .arguments = new_one,
    .options = create_options,
    .examples = create_examples,
    .collection = &templates,
    .run = run_create,
};

const SteadCommand stead_cmd_template_ls = {
    .name = "template ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List templates",
    .options = stead_list_options,
    .collection = &templates,
    .run = stead_collection_list,
};

const SteadCommand stead_cmd_template_show = {
    .name = "template show",
    .section = STEAD_SECTION_STORE,
    .summary = "Show a template",
    .arguments = one,
    .options = stead_format_options,
    .collection = &templates,
    .run = stead_collection_show,
};

const SteadCommand stead_cmd_template_rm = {
    .name = "template rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove templates that nothing stands on",
    .arguments = some,
    .options = stead_format_options,
    .collection = &templates,
    .run = stead_collection_remove,
};
