/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead balloon: memory of a running guest, taken and given back.
 */
#include "base/error.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/screen.h"

static int run(SteadCall *call, GError **error)
{
    guint64 size = 0;
    const char *name = stead_call_argument(call, 0);
    g_autofree char *path = stead_client_path("instances", name, "balloon", NULL);
    if (!stead_parse_size(stead_call_argument(call, 1), &size, error))
        return 2;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "size");
    json_builder_add_int_value(builder, (gint64)MIN(size, G_MAXINT64));
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    g_autoptr(JsonNode) answer = stead_call_request(call, "POST", path, body, error);
    if (answer == NULL)
        return 1;
    if (stead_call_json(call))
        stead_json_print(answer);
    return 0;
}

static const SteadArgument arguments[] = {
    {.name = "NAME", .doc = "a running microvm", .complete = STEAD_COMPLETE_INSTANCE},
    {.name = "SIZE", .doc = "the memory that it keeps: 256M"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead balloon web 256M", "Leave it 256 MiB; the host has the rest:"},
    {NULL},
};

const SteadCommand stead_cmd_balloon = {
    .name = "balloon",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Take memory from a running microVM, or give it back",
    .description = "The guest gives up what it can spare, which takes a moment; 'stead top' shows "
                   "how far it is. It never gets more than the memory that it was made with. A "
                   "clone that QEMU runs takes no more memory, but what it has touched it gives "
                   "back only when it is restarted.",
    .arguments = arguments,
    .options = stead_format_options,
    .examples = examples,
    .run = run,
};
