/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's protocol (QEMU's qga/qapi-schema.json), requests and replies. A reply
 * that is longer, deeper or has more values than any real one is refused before it is parsed.
 */
#include "runtime/vm/agent_reply.h"

#include <string.h>

#include "base/error.h"
#include "base/json_shape.h"
#include "runtime/json_member.h"

static void refuse(GError **error, const char *why)
{
    stead_set_error(error, STEAD_ERROR_GUEST, NULL, "the guest's agent answers nonsense, which %s",
                    why);
}

JsonNode *stead_agent_reply_parse(const char *reply, GError **error)
{
    gsize length = strlen(reply);
    const char *why =
        length > STEAD_AGENT_REPLY_MAX
            ? "is too long"
            : stead_json_refuses(reply, length, STEAD_AGENT_DEPTH_MAX, STEAD_AGENT_VALUES_MAX);
    if (why) {
        refuse(error, why);
        return NULL;
    }
    g_autoptr(JsonNode) node = json_from_string(reply, NULL);
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        refuse(error, "is no JSON object");
        return NULL;
    }
    JsonNode *value = json_object_get_member(json_node_get_object(node), "return");
    if (value == NULL) {
        refuse(error, "has no return value");
        return NULL;
    }
    return json_node_copy(value);
}

gboolean stead_agent_reply_pid(JsonNode *node, gint64 *pid, GError **error)
{
    if (stead_json_number_in(stead_json_object(node), "pid", pid))
        return TRUE;
    refuse(error, "has no pid");
    return FALSE;
}

static GBytes *decoded(JsonObject *object, const char *name)
{
    const char *text = stead_json_text_in(object, name);
    gsize length = 0;
    guchar *bytes = g_base64_decode(text ? text : "", &length);
    return g_bytes_new_take(bytes, length);
}

static int exit_code(JsonObject *object)
{
    gint64 number = 0;
    if (stead_json_number_in(object, "signal", &number))
        return 128 + (int)CLAMP(number, 0, 127);
    return stead_json_number_in(object, "exitcode", &number) ? (int)CLAMP(number, 0, 255) : 255;
}

gboolean stead_agent_reply_status(JsonNode *node, SteadExecResult **result, GError **error)
{
    *result = NULL;
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        refuse(error, "has no status");
        return FALSE;
    }
    JsonObject *object = json_node_get_object(node);
    if (!stead_json_flag_in(object, "exited"))
        return TRUE;
    *result = g_new0(SteadExecResult, 1);
    (*result)->exit_code = exit_code(object);
    (*result)->out = decoded(object, "out-data");
    (*result)->err = decoded(object, "err-data");
    (*result)->truncated =
        stead_json_flag_in(object, "out-truncated") || stead_json_flag_in(object, "err-truncated");
    return TRUE;
}

char *stead_agent_exec_request(const char *const argv[], const char *input)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "execute");
    json_builder_add_string_value(builder, "guest-exec");
    json_builder_set_member_name(builder, "arguments");
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "path");
    json_builder_add_string_value(builder, argv[0]);
    json_builder_set_member_name(builder, "arg");
    json_builder_begin_array(builder);
    for (gsize i = 1; argv[i]; i++)
        json_builder_add_string_value(builder, argv[i]);
    json_builder_end_array(builder);
    if (input) {
        g_autofree char *encoded = g_base64_encode((const guchar *)input, strlen(input));
        json_builder_set_member_name(builder, "input-data");
        json_builder_add_string_value(builder, encoded);
    }
    json_builder_set_member_name(builder, "capture-output");
    json_builder_add_boolean_value(builder, TRUE);
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    return json_to_string(root, FALSE);
}
