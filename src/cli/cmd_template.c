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
    {"Warm", "warm-ready", STEAD_CELL_TEXT},
    {"Memory of these", "warm-memory", STEAD_CELL_SIZE},
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
    if (stead_call_has(call, "warm"))
        json_object_set_int_member(json_node_get_object(body), "warm",
                                   (gint64)stead_call_number(call, "warm", 0));
    return stead_watch_request(call, "POST", "/v1/templates", body, name, NULL, error);
}

static int run_warm(SteadCall *call, GError **error)
{
    guint64 count;
    const char *given = stead_call_argument(call, 1);
    g_autofree char *path =
        stead_client_path("templates", stead_call_argument(call, 0), "warm", NULL);
    if (!g_ascii_string_to_unsigned(given, 10, 0, G_MAXINT32, &count, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.40s' is not a number", given);
        return 2;
    }
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "count");
    json_builder_add_int_value(builder, (gint64)count);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonNode) answer = stead_call_request(call, "POST", path, body, &why);
    if (why)
        g_propagate_error(error, g_steal_pointer(&why));
    return answer == NULL && error && *error ? 1 : 0;
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
    {.name = "warm",
     .type = STEAD_OPTION_NUMBER,
     .metavar = "N",
     .doc = "keep N engines for the next clones started ahead; each takes memory",
     .fallback = "1 under emulation, else 0"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadArgument one_and_count[] = {
    {.name = "TEMPLATE", .doc = "the template", .complete = STEAD_COMPLETE_TEMPLATE},
    {.name = "N", .doc = "how many; 0 for none"},
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
    .description =
        "The instance stands still for a moment and goes on. One that has just booted is "
        "given time to settle before that: until its first boot is done, and at least 8 "
        "seconds. Clones (stead run template:NAME) continue where it stood, each with a "
        "name, addresses, machine id, SSH host keys, random seed and clock of its own, "
        "and with disks that hold only what differs. Of the host keys a clone has those "
        "of the types ed25519 and ecdsa; an RSA key, which takes a second to make, it "
        "has only where the instance has no other.",
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

const SteadCommand stead_cmd_template_warm = {
    .name = "template warm",
    .section = STEAD_SECTION_STORE,
    .summary = "Keep engines for the next clones started ahead",
    .description = "A clone that takes one of them is there in some 40 milliseconds. Each is a "
                   "process with memory of its own; 'stead template show' tells how many are "
                   "ready.",
    .arguments = one_and_count,
    .collection = &templates,
    .run = run_warm,
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
