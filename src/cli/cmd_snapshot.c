/* SPDX-License-Identifier: Apache-2.0 */
/* stead snapshot: points in an instance's life to return to. */
#include "cli/commands.h"

#include "cli/json.h"
#include "cli/table.h"
#include "cli/watch.h"

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},  {"MEMORY", "memory", STEAD_CELL_FLAG},
    {"SIZE", "size", STEAD_CELL_SIZE},  {"AFTER", "parent", STEAD_CELL_TEXT},
    {"AGE", "created", STEAD_CELL_AGE}, {NULL},
};

static char *path_to(SteadCall *call, const char *name, const char *action)
{
    return stead_client_path("instances", stead_call_argument(call, 0), "snapshots", name, action,
                             NULL);
}

static int run_create(SteadCall *call, GError **error)
{
    g_autofree char *path = path_to(call, NULL, NULL);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "name", stead_call_argument(call, 1));
    if (stead_call_flag(call, "no-memory")) {
        json_builder_set_member_name(builder, "memory");
        json_builder_add_boolean_value(builder, FALSE);
    }
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", path, body, stead_call_argument(call, 1), NULL, error);
}

static int run_ls(SteadCall *call, GError **error)
{
    g_autofree char *path = path_to(call, NULL, NULL);
    return stead_table_list(call, path, columns,
                            "No snapshot yet. Take one: stead snapshot create NAME SNAPSHOT",
                            stead_call_flag(call, "quiet") ? "name" : NULL, error);
}

static int run_restore(SteadCall *call, GError **error)
{
    g_autofree char *path = path_to(call, stead_call_argument(call, 1), "restore");
    return stead_watch_request(call, "POST", path, NULL, stead_call_argument(call, 0), NULL, error);
}

static int run_rm(SteadCall *call, GError **error)
{
    g_autofree char *path = path_to(call, stead_call_argument(call, 1), NULL);
    return stead_watch_request(call, "DELETE", path, NULL, stead_call_argument(call, 1), NULL,
                               error);
}

static const SteadArgument instance_only[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

static const SteadArgument with_new[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {.name = "SNAPSHOT", .doc = "a name for the snapshot"},
    {NULL},
};

static const SteadArgument with_snapshot[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {.name = "SNAPSHOT", .doc = "the snapshot", .complete = STEAD_COMPLETE_SNAPSHOT},
    {NULL},
};

static const SteadOption create_options[] = {
    {.name = "no-memory", .doc = "disks only, also when it runs"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption ls_options[] = {
    {.name = "quiet", .letter = 'q', .doc = "names only, one a line"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption plain_options[] = {STEAD_FORMAT_OPTION, {NULL}};

static const SteadExample create_examples[] = {
    {"stead snapshot create web before-upgrade", "Before something risky:"},
    {NULL},
};

const SteadCommand stead_cmd_snapshot = {
    .name = "snapshot",
    .section = STEAD_SECTION_STORE,
    .summary = "Take, list, restore and remove snapshots",
};

const SteadCommand stead_cmd_snapshot_create = {
    .name = "snapshot create",
    .section = STEAD_SECTION_STORE,
    .summary = "Take a snapshot of an instance",
    .description = "Of a running instance it holds the memory as well, and the guest goes on.",
    .arguments = with_new,
    .options = create_options,
    .examples = create_examples,
    .run = run_create,
};

const SteadCommand stead_cmd_snapshot_ls = {
    .name = "snapshot ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List the snapshots of an instance",
    .arguments = instance_only,
    .options = ls_options,
    .run = run_ls,
};

const SteadCommand stead_cmd_snapshot_restore = {
    .name = "snapshot restore",
    .section = STEAD_SECTION_STORE,
    .summary = "Return an instance to a snapshot",
    .description = "To the very point where it holds memory: the guest runs on from there. Else "
                   "the instance is stopped, with its disks as they were. What happened since is "
                   "lost, unless a later snapshot holds it.",
    .arguments = with_snapshot,
    .options = plain_options,
    .run = run_restore,
};

const SteadCommand stead_cmd_snapshot_rm = {
    .name = "snapshot rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove a snapshot; others stay usable",
    .arguments = with_snapshot,
    .options = plain_options,
    .run = run_rm,
};
