/* SPDX-License-Identifier: Apache-2.0 */
/* stead network: networks that instances are in. */
#include "cli/commands.h"

#include "cli/collection.h"
#include "cli/json.h"
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
    {"No leases", "leases-unknown", STEAD_CELL_TEXT},
    {NULL},
};

static const SteadColumn lease_columns[] = {
    {"HOST NAME", "hostname", STEAD_CELL_TEXT},
    {"ADDRESS", "address", STEAD_CELL_TEXT},
    {"MAC", "mac", STEAD_CELL_TEXT},
    {NULL},
};

static const SteadCollection networks = {
    .path = "networks",
    .columns = columns,
    .empty = "No network yet; 'default' is made when the first instance needs it.",
    .fields = fields,
    .part = "leases",
    .part_columns = lease_columns,
};

static int run_create(SteadCall *call, GError **error)
{
    const char *mode = stead_call_text(call, "mode"), *bridge = stead_call_text(call, "bridge");
    JsonNode *spec = stead_json_texts("mode", bridge && !mode ? "bridge" : mode, "bridge", bridge,
                                      "subnet", stead_call_text(call, "subnet"), "domain",
                                      stead_call_text(call, "domain"), NULL);
    return stead_collection_create(call, spec, error);
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
    .collection = &networks,
    .run = run_create,
};

const SteadCommand stead_cmd_network_ls = {
    .name = "network ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List networks",
    .options = stead_list_options,
    .collection = &networks,
    .run = stead_collection_list,
};

const SteadCommand stead_cmd_network_show = {
    .name = "network show",
    .section = STEAD_SECTION_STORE,
    .summary = "Show a network and its leases",
    .arguments = network_argument,
    .options = stead_format_options,
    .collection = &networks,
    .run = stead_collection_show,
};

const SteadCommand stead_cmd_network_rm = {
    .name = "network rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove a network that no instance is in",
    .arguments = network_argument,
    .options = stead_format_options,
    .collection = &networks,
    .run = stead_collection_remove,
};
