/* SPDX-License-Identifier: Apache-2.0 */
/* stead network: networks that instances are in. */
#include "cli/commands.h"

#include <stdio.h>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "model/kind.h"

/* Specs leave out what is the default. */
static char *mode_cell(JsonNode *item)
{
    const char *mode = stead_json_text(item, "spec.mode");
    return g_strdup(mode ? mode : stead_name_of(&stead_network_mode_names, STEAD_NETWORK_NAT));
}

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"MODE", NULL, STEAD_CELL_FUNCTION, mode_cell},
    {"SUBNET", "spec.subnet", STEAD_CELL_TEXT},
    {"BRIDGE", "bridge", STEAD_CELL_TEXT},
    {"PROJECT", "project", STEAD_CELL_TEXT},
    {"INSTANCES", "instances", STEAD_CELL_LIST},
    {NULL},
};

static const SteadColumn fields[] = {
    {"Name", "name", STEAD_CELL_TEXT},
    {"Mode", NULL, STEAD_CELL_FUNCTION, mode_cell},
    {"Subnet", "spec.subnet", STEAD_CELL_TEXT},
    {"Domain", "spec.domain", STEAD_CELL_TEXT},
    {"Bridge", "bridge", STEAD_CELL_TEXT},
    {"Project", "project", STEAD_CELL_TEXT},
    {"Instances", "instances", STEAD_CELL_LIST},
    {"Created", "created", STEAD_CELL_TIME},
    {NULL},
};

static const SteadColumn lease_columns[] = {
    {"HOST NAME", "hostname", STEAD_CELL_TEXT},
    {"ADDRESS", "address", STEAD_CELL_TEXT},
    {"MAC", "mac", STEAD_CELL_TEXT},
    {NULL},
};

static const char *const spec_options[] = {"mode", "subnet", "bridge", "domain"};

static int run_create(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "name", name);
    json_builder_set_member_name(builder, "spec");
    json_builder_begin_object(builder);
    for (gsize i = 0; i < G_N_ELEMENTS(spec_options); i++)
        stead_json_add_text(builder, spec_options[i], stead_call_text(call, spec_options[i]));
    if (stead_call_has(call, "bridge") && !stead_call_has(call, "mode"))
        stead_json_add_text(builder, "mode", "bridge");
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", "/v1/networks", body, name, NULL, error);
}

static int run_ls(SteadCall *call, GError **error)
{
    return stead_table_list(call, "/v1/networks", columns,
                            "No network yet; 'default' is made when the first instance needs it.",
                            stead_call_flag(call, "quiet") ? "name" : NULL, error);
}

static int run_show(SteadCall *call, GError **error)
{
    g_autofree char *path = stead_client_path("networks", stead_call_argument(call, 0), NULL);
    if (stead_call_json(call))
        return stead_table_show(call, path, fields, error);
    g_autoptr(JsonNode) item = stead_call_request(call, "GET", path, NULL, error);
    if (item == NULL)
        return 1;
    g_autofree char *text = stead_table_format_fields(fields, item, g_get_real_time(), FALSE);
    fputs(text, stdout);
    g_autofree char *unknown = stead_clean(stead_json_text(item, "leases-unknown"));
    if (*unknown)
        printf("\nIts leases are not known: %s\n", unknown);
    JsonNode *leases = stead_json_member(item, "leases");
    if (stead_json_length(leases) == 0)
        return 0;
    g_autofree char *table =
        stead_table_format(lease_columns, leases, g_get_real_time(), G_MAXUINT, FALSE);
    printf("\n%s", table);
    return 0;
}

static int run_rm(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autofree char *path = stead_client_path("networks", name, NULL);
    return stead_watch_request(call, "DELETE", path, NULL, name, NULL, error);
}

static const SteadArgument new_argument[] = {
    {.name = "NAME", .doc = "a name for the network"},
    {NULL},
};

static const SteadArgument network_argument[] = {
    {.name = "NAME", .doc = "the network", .complete = STEAD_COMPLETE_NETWORK},
    {NULL},
};

static const SteadOption create_options[] = {
    {.name = "subnet",
     .type = STEAD_OPTION_TEXT,
     .metavar = "CIDR",
     .doc = "its addresses: 10.77.0.0/24",
     .fallback = "a free subnet"},
    {.name = "mode",
     .type = STEAD_OPTION_CHOICE,
     .choices = "nat|isolated|routed|bridge",
     .doc = "how it reaches the world",
     .fallback = "nat, or bridge with --bridge"},
    {.name = "bridge",
     .type = STEAD_OPTION_TEXT,
     .metavar = "BRIDGE",
     .doc = "an existing bridge of the host"},
    {.name = "domain",
     .type = STEAD_OPTION_TEXT,
     .metavar = "DOMAIN",
     .doc = "DNS domain of its instances",
     .fallback = "its name"},
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
    {"stead network create lab --subnet 10.77.0.0/24", "With addresses of your choice:"},
    {"stead network create office --bridge br0", "On the bridge that the office is on:"},
    {NULL},
};

static const SteadExit create_exits[] = {
    {4, "the name or the subnet is taken; a free one is suggested"},
    {0, NULL},
};

const SteadCommand stead_cmd_network = {
    .name = "network",
    .section = STEAD_SECTION_STORE,
    .summary = "Create, list and remove networks",
};

const SteadCommand stead_cmd_network_create = {
    .name = "network create",
    .section = STEAD_SECTION_STORE,
    .summary = "Create a network",
    .arguments = new_argument,
    .options = create_options,
    .examples = create_examples,
    .exits = create_exits,
    .run = run_create,
};

const SteadCommand stead_cmd_network_ls = {
    .name = "network ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List networks",
    .options = ls_options,
    .run = run_ls,
};

const SteadCommand stead_cmd_network_show = {
    .name = "network show",
    .section = STEAD_SECTION_STORE,
    .summary = "Show a network and its leases",
    .arguments = network_argument,
    .options = plain_options,
    .run = run_show,
};

const SteadCommand stead_cmd_network_rm = {
    .name = "network rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove a network that no instance is in",
    .arguments = network_argument,
    .options = plain_options,
    .run = run_rm,
};
