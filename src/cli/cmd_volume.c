/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead volume and pool: disks that outlive instances, and where they lie. Attaching is a matter of
 * the instance's, whose jobs it has to wait for; so its path begins with the instance.
 */
#include "cli/commands.h"

#include "base/error.h"
#include "cli/collection.h"
#include "cli/json.h"
#include "cli/watch.h"

/* Specs leave out what is the default. */
static char *pool_cell(JsonNode *item)
{
    const char *pool = stead_json_text(item, "spec.pool");
    return g_strdup(pool ? pool : "default");
}

static const SteadColumn volume_columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"SIZE", "spec.size", STEAD_CELL_TEXT},
    {"POOL", NULL, STEAD_CELL_FUNCTION, pool_cell},
    {"ATTACHED TO", "attached-to", STEAD_CELL_TEXT},
    {"PROJECT", "project", STEAD_CELL_TEXT},
    {"AGE", "created", STEAD_CELL_AGE},
    {NULL},
};

static const SteadColumn volume_fields[] = {
    {"Name", "name", STEAD_CELL_TEXT},
    {"Size", "spec.size", STEAD_CELL_TEXT},
    {"Pool", NULL, STEAD_CELL_FUNCTION, pool_cell},
    {"Attached to", "attached-to", STEAD_CELL_TEXT},
    {"Path", "path", STEAD_CELL_TEXT},
    {"Project", "project", STEAD_CELL_TEXT},
    {"Created", "created", STEAD_CELL_TIME},
    {NULL},
};

static const SteadColumn pool_columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},           {"TYPE", "type", STEAD_CELL_TEXT},
    {"STATE", "state", STEAD_CELL_STATE},        {"CAPACITY", "capacity", STEAD_CELL_SIZE},
    {"AVAILABLE", "available", STEAD_CELL_SIZE}, {"DEFAULT", "default", STEAD_CELL_FLAG},
    {"PATH", "path", STEAD_CELL_TEXT},           {NULL},
};

static const SteadCollection volumes = {
    .path = "volumes",
    .columns = volume_columns,
    .empty = "No volume yet. Make one: stead volume create data --size 10G",
    .fields = volume_fields,
};

static const SteadCollection pools = {.path = "pools", .columns = pool_columns};

/* An instance's own view of them: what is attached to it. */
static const SteadCollection attached = {.path = "volumes", .of_instance = TRUE};

static gboolean need_size(SteadCall *call, GError **error)
{
    if (stead_call_has(call, "size"))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, "Say --size SIZE, as in --size 10G.",
                    "'stead %s' needs a size", stead_call_command(call)->name);
    return FALSE;
}

static int run_create(SteadCall *call, GError **error)
{
    if (!need_size(call, error))
        return 2;
    JsonNode *spec = stead_json_texts("size", stead_call_text(call, "size"), "pool",
                                      stead_call_text(call, "pool"), NULL);
    return stead_collection_create(call, spec, error);
}

static int run_attach(SteadCall *call, GError **error)
{
    const char *volume = stead_call_argument(call, 1);
    g_autofree char *path = stead_collection_path(call, NULL, NULL);
    g_autoptr(JsonNode) body = stead_json_texts("volume", volume, NULL);
    json_object_set_boolean_member(json_node_get_object(body), "read-only",
                                   stead_call_flag(call, "read-only"));
    return stead_watch_request(call, "POST", path, body, volume, NULL, error);
}

static int run_resize(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    if (!need_size(call, error))
        return 2;
    g_autofree char *path = stead_collection_path(call, name, "resize");
    g_autoptr(JsonNode) body = stead_json_texts("size", stead_call_text(call, "size"), NULL);
    return stead_watch_request(call, "POST", path, body, name, NULL, error);
}

static const SteadArgument new_argument[] = {
    {.name = "NAME", .doc = "a name for the volume"},
    {NULL},
};

static const SteadArgument volume_argument[] = {
    {.name = "NAME", .doc = "the volume", .complete = STEAD_COMPLETE_VOLUME},
    {NULL},
};

static const SteadArgument both_arguments[] = {
    {.name = "INSTANCE", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {.name = "VOLUME", .doc = "the volume", .complete = STEAD_COMPLETE_VOLUME},
    {NULL},
};

static const SteadOption create_options[] = {
    {.name = "size",
     .letter = 's',
     .type = STEAD_OPTION_SIZE,
     .metavar = "SIZE",
     .doc = "how much it holds; takes no room until it is used"},
    {.name = "pool",
     .type = STEAD_OPTION_TEXT,
     .metavar = "POOL",
     .doc = "where it lies",
     .fallback = "the default pool"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption resize_options[] = {
    {.name = "size",
     .letter = 's',
     .type = STEAD_OPTION_SIZE,
     .metavar = "SIZE",
     .doc = "the new size; volumes only grow"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption attach_options[] = {
    {.name = "read-only", .doc = "the guest may not write to it"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample create_examples[] = {
    {"stead volume create data --size 10G && stead volume attach web data",
     "A disk for data, in a running instance:"},
    {NULL},
};

const SteadCommand stead_cmd_pool = {
    .name = "pool",
    .section = STEAD_SECTION_STORE,
    .summary = "List storage pools",
};

const SteadCommand stead_cmd_pool_ls = {
    .name = "pool ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List the storage pools that disks can lie in",
    .options = stead_list_options,
    .collection = &pools,
    .run = stead_collection_list,
};

const SteadCommand stead_cmd_volume = {
    .name = "volume",
    .section = STEAD_SECTION_STORE,
    .summary = "Create, attach, grow and remove volumes",
};

const SteadCommand stead_cmd_volume_create = {
    .name = "volume create",
    .section = STEAD_SECTION_STORE,
    .summary = "Create an empty volume",
    .arguments = new_argument,
    .options = create_options,
    .examples = create_examples,
    .collection = &volumes,
    .run = run_create,
};

const SteadCommand stead_cmd_volume_ls = {
    .name = "volume ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List volumes",
    .options = stead_list_options,
    .collection = &volumes,
    .run = stead_collection_list,
};

const SteadCommand stead_cmd_volume_show = {
    .name = "volume show",
    .section = STEAD_SECTION_STORE,
    .summary = "Show all that is known of a volume",
    .arguments = volume_argument,
    .options = stead_format_options,
    .collection = &volumes,
    .run = stead_collection_show,
};

const SteadCommand stead_cmd_volume_attach = {
    .name = "volume attach",
    .section = STEAD_SECTION_STORE,
    .summary = "Give a volume to an instance, running or not",
    .arguments = both_arguments,
    .options = attach_options,
    .collection = &attached,
    .run = run_attach,
};

const SteadCommand stead_cmd_volume_detach = {
    .name = "volume detach",
    .section = STEAD_SECTION_STORE,
    .summary = "Take a volume from an instance",
    .description = "Unmount it in the guest first.",
    .arguments = both_arguments,
    .options = stead_format_options,
    .collection = &attached,
    .run = stead_collection_remove,
};

const SteadCommand stead_cmd_volume_resize = {
    .name = "volume resize",
    .section = STEAD_SECTION_STORE,
    .summary = "Grow a volume",
    .arguments = volume_argument,
    .options = resize_options,
    .collection = &volumes,
    .run = run_resize,
};

const SteadCommand stead_cmd_volume_rm = {
    .name = "volume rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove a volume and its data",
    .arguments = volume_argument,
    .options = stead_format_options,
    .collection = &volumes,
    .run = stead_collection_remove,
};
