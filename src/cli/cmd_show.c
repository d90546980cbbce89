/* SPDX-License-Identifier: Apache-2.0 */
/* stead show: all that is known of one instance. */
#include "cli/commands.h"

#include <stdio.h>

#include "cli/json.h"
#include "cli/screen.h"
#include "cli/table.h"
#include "cli/text.h"

static char *state_cell(JsonNode *item)
{
    const char *state = stead_json_text(item, "state");
    const char *ready = stead_json_flag(item, "ready") ? ", ready" : "";
    const char *restart =
        stead_json_flag(item, "restart-needed") ? ", has changes that a restart applies" : "";
    return g_strconcat(state ? state : "-", ready, restart, NULL);
}

static char *kind_cell(JsonNode *item)
{
    const char *kind = stead_json_text(item, "kind");
    const char *reason = stead_json_text(item, "kind-reason");
    return reason && *reason ? g_strdup_printf("%s (%s)", kind, reason) : g_strdup(kind);
}

/* "qemu, emulated (KVM is unusable: ...)". */
static char *engine_cell(JsonNode *item)
{
    const char *engine = stead_json_text(item, "engine");
    const char *accel = stead_json_text(item, "accel");
    const char *reason = stead_json_text(item, "engine-reason");
    if (engine == NULL || reason == NULL)
        return g_strdup(accel ? accel : "");
    return g_strdup_printf("%s, %s (%s)", engine, accel ? accel : "?", reason);
}

static char *networks_cell(JsonNode *item)
{
    JsonNode *networks = stead_json_member(item, "networks");
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < stead_json_length(networks); i++) {
        JsonNode *nic = stead_json_element(networks, i);
        const char *address = stead_json_text(nic, "address");
        g_string_append_printf(text, "%s%s %s", i > 0 ? "; " : "", stead_json_text(nic, "network"),
                               stead_json_text(nic, "mac"));
        if (address != NULL)
            g_string_append_printf(text, " %s", address);
    }
    return g_string_free(text, FALSE);
}

static const SteadColumn fields[] = {
    {"Name", "name", STEAD_CELL_TEXT},
    {"State", NULL, STEAD_CELL_FUNCTION, state_cell},
    {"Error", "error", STEAD_CELL_TEXT},
    {"Stage", "stage", STEAD_CELL_TEXT},
    {"Up", "uptime-ms", STEAD_CELL_DURATION},
    {"Addresses", "addresses", STEAD_CELL_LIST},
    {"Kind", NULL, STEAD_CELL_FUNCTION, kind_cell},
    {"Runs on", NULL, STEAD_CELL_FUNCTION, engine_cell},
    {"Networks", NULL, STEAD_CELL_FUNCTION, networks_cell},
    {"Project", "project", STEAD_CELL_TEXT},
    {"Image digest", "image-digest", STEAD_CELL_SHORT},
    {"Restarts", "restarts", STEAD_CELL_TEXT},
    {"Job", "job", STEAD_CELL_TEXT},
    {"Created", "created", STEAD_CELL_TIME},
    {"Id", "id", STEAD_CELL_TEXT},
    {"Domain", "domain", STEAD_CELL_TEXT},
    {NULL},
};

/* --- the spec, as it would stand in a file --- */

static void put_node(GString *out, JsonNode *node, guint indent);

static void put_value(GString *out, JsonNode *node)
{
    GType type = json_node_get_value_type(node);
    if (type == G_TYPE_STRING) {
        g_autofree char *text = stead_clean(json_node_get_string(node));
        g_string_append(out, text);
        return;
    }
    g_autofree char *text = json_to_string(node, FALSE);
    g_string_append(out, text);
}

static gboolean is_plain(JsonNode *node)
{
    return JSON_NODE_HOLDS_VALUE(node) || JSON_NODE_HOLDS_NULL(node);
}

/* After "name:" or "-": a value on the same line, anything else on the lines below. */
static void put_child(GString *out, JsonNode *node, guint indent)
{
    if (is_plain(node)) {
        g_string_append_c(out, ' ');
        put_value(out, node);
        g_string_append_c(out, '\n');
    } else {
        g_string_append_c(out, '\n');
        put_node(out, node, indent + 2);
    }
}

static void put_member(JsonObject *object, const char *name, JsonNode *node, gpointer data)
{
    GString *out = ((gpointer *)data)[0];
    guint indent = GPOINTER_TO_UINT(((gpointer *)data)[1]);
    g_autofree char *clean = stead_clean(name);
    g_string_append_printf(out, "%*s%s:", (int)indent, "", clean);
    put_child(out, node, indent);
}

static void put_node(GString *out, JsonNode *node, guint indent)
{
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        gpointer data[] = {out, GUINT_TO_POINTER(indent)};
        json_object_foreach_member(json_node_get_object(node), put_member, data);
        return;
    }
    for (guint i = 0; i < stead_json_length(node); i++) {
        g_string_append_printf(out, "%*s-", (int)indent, "");
        put_child(out, stead_json_element(node, i), indent);
    }
}

static int run(SteadCall *call, GError **error)
{
    g_autofree char *path = stead_client_path("instances", stead_call_argument(call, 0), NULL);
    g_autoptr(JsonNode) item = stead_call_request(call, "GET", path, NULL, error);
    if (item == NULL)
        return 1;
    if (stead_call_json(call)) {
        stead_json_print(item);
        return 0;
    }
    g_autofree char *text =
        stead_table_format_fields(fields, item, g_get_real_time(), stead_screen_has_colour());
    fputs(text, stdout);
    JsonNode *spec = stead_json_member(item, "spec");
    if (spec == NULL)
        return 0;
    g_autoptr(GString) out = g_string_new("Spec:\n");
    put_node(out, spec, 2);
    fputs(out->str, stdout);
    return 0;
}

static const SteadArgument arguments[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

const SteadCommand stead_cmd_show = {
    .name = "show",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Show all that is known of an instance",
    .arguments = arguments,
    .options = stead_format_options,
    .run = run,
};
