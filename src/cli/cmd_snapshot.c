/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead snapshot: points in an instance's life to return to. Whether memory is kept is the daemon's
 * to decide unless --no-memory is said: it alone knows whether the instance runs at that moment.
 */
#include "cli/commands.h"

#include "cli/collection.h"
#include "cli/json.h"
#include "cli/watch.h"

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},  {"MEMORY", "memory", STEAD_CELL_FLAG},
    {"SIZE", "size", STEAD_CELL_SIZE},  {"AFTER", "parent", STEAD_CELL_TEXT},
    {"AGE", "created", STEAD_CELL_AGE}, {NULL},
};

static const SteadCollection snapshots = {
    .path = "snapshots",
    .of_instance = TRUE,
    .columns = columns,
    .empty = "No snapshot yet. Take one: stead snapshot create NAME SNAPSHOT",
};

static int run_create(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 1);
    g_autofree char *path = stead_collection_path(call, NULL, NULL);
    g_autoptr(JsonNode) body = stead_json_texts("name", name, NULL);
    if (stead_call_flag(call, "no-memory"))
        json_object_set_boolean_member(json_node_get_object(body), "memory", FALSE);
    return stead_watch_request(call, "POST", path, body, name, NULL, error);
}

static int run_restore(SteadCall *call, GError **error)
{
    g_autofree char *path = stead_collection_path(call, stead_call_argument(call, 1), "restore");
    return stead_watch_request(call, "POST", path, NULL, stead_call_argument(call, 0), NULL, error);
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
    .collection = &snapshots,
    .run = run_create,
};

const SteadCommand stead_cmd_snapshot_ls = {
    .name = "snapshot ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List the snapshots of an instance",
    .arguments = instance_only,
    .options = stead_list_options,
    .collection = &snapshots,
    .run = stead_collection_list,
};

const SteadCommand stead_cmd_snapshot_restore = {
    .name = "snapshot restore",
    .section = STEAD_SECTION_STORE,
    .summary = "Return an instance to a snapshot",
    .description = "To the very point where it holds memory: the guest runs on from there. Else "
                   "the instance is stopped, with its disks as they were. What happened since is "
                   "lost, unless a later snapshot holds it.",
    .arguments = with_snapshot,
    .options = stead_format_options,
    .collection = &snapshots,
    .run = run_restore,
};

const SteadCommand stead_cmd_snapshot_rm = {
    .name = "snapshot rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove a snapshot; others stay usable",
    .arguments = with_snapshot,
    .options = stead_format_options,
    .collection = &snapshots,
    .run = stead_collection_remove,
};
