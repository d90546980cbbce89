/* SPDX-License-Identifier: Apache-2.0 */
/* stead volume and pool: disks that outlive instances, and where they lie. */
#include "cli/commands.h"

#include "base/error.h"
#include "cli/json.h"
#include "cli/table.h"
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

static int run_pool_ls(SteadCall *call, GError **error)
{
    return stead_table_list(call, "/v1/pools", pool_columns, NULL,
                            stead_call_flag(call, "quiet") ? "name" : NULL, error);
}

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
    const char *name = stead_call_argument(call, 0);
    if (!need_size(call, error))
        return 2;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "name", name);
    json_builder_set_member_name(builder, "spec");
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "size", stead_call_text(call, "size"));
    stead_json_add_text(builder, "pool", stead_call_text(call, "pool"));
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", "/v1/volumes", body, name, NULL, error);
}

static int run_ls(SteadCall *call, GError **error)
{
    return stead_table_list(call, "/v1/volumes", volume_columns,
                            "No volume yet. Make one: stead volume create data --size 10G",
                            stead_call_flag(call, "quiet") ? "name" : NULL, error);
}

static int run_show(SteadCall *call, GError **error)
{
    g_autofree char *path = stead_client_path("volumes", stead_call_argument(call, 0), NULL);
    return stead_table_show(call, path, volume_fields, error);
}

static int run_attach(SteadCall *call, GError **error)
{
    const char *instance = stead_call_argument(call, 0), *volume = stead_call_argument(call, 1);
    g_autofree char *path = stead_client_path("instances", instance, "volumes", NULL);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "volume", volume);
    json_builder_set_member_name(builder, "read-only");
    json_builder_add_boolean_value(builder, stead_call_flag(call, "read-only"));
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", path, body, volume, NULL, error);
}

static int run_detach(SteadCall *call, GError **error)
{
    const char *instance = stead_call_argument(call, 0), *volume = stead_call_argument(call, 1);
    g_autofree char *path = stead_client_path("instances", instance, "volumes", volume, NULL);
    return stead_watch_request(call, "DELETE", path, NULL, volume, NULL, error);
}

static int run_resize(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autofree char *path = stead_client_path("volumes", name, "resize", NULL);
    if (!need_size(call, error))
        return 2;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "size", stead_call_text(call, "size"));
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", path, body, name, NULL, error);
}

static int run_rm(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autofree char *path = stead_client_path("volumes", name, NULL);
    return stead_watch_request(call, "DELETE", path, NULL, name, NULL, error);
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

static const SteadOption ls_options[] = {
    {.name = "quiet", .letter = 'q', .doc = "names only, one a line"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption plain_options[] = {STEAD_FORMAT_OPTION, {NULL}};

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
    .options = ls_options,
    .run = run_pool_ls,
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
    .run = run_create,
};

const SteadCommand stead_cmd_volume_ls = {
    .name = "volume ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List volumes",
    .options = ls_options,
    .run = run_ls,
};

const SteadCommand stead_cmd_volume_show = {
    .name = "volume show",
    .section = STEAD_SECTION_STORE,
    .summary = "Show all that is known of a volume",
    .arguments = volume_argument,
    .options = plain_options,
    .run = run_show,
};

const SteadCommand stead_cmd_volume_attach = {
    .name = "volume attach",
    .section = STEAD_SECTION_STORE,
    .summary = "Give a volume to an instance, running or not",
    .arguments = both_arguments,
    .options = attach_options,
    .run = run_attach,
};

const SteadCommand stead_cmd_volume_detach = {
    .name = "volume detach",
    .section = STEAD_SECTION_STORE,
    .summary = "Take a volume from an instance",
    .description = "Unmount it in the guest first.",
    .arguments = both_arguments,
    .options = plain_options,
    .run = run_detach,
};

const SteadCommand stead_cmd_volume_resize = {
    .name = "volume resize",
    .section = STEAD_SECTION_STORE,
    .summary = "Grow a volume",
    .arguments = volume_argument,
    .options = resize_options,
    .run = run_resize,
};

const SteadCommand stead_cmd_volume_rm = {
    .name = "volume rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove a volume and its data",
    .arguments = volume_argument,
    .options = plain_options,
    .run = run_rm,
};
