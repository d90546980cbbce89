/* SPDX-License-Identifier: Apache-2.0 */
/* One look at the type, for all of them. */
#include "runtime/json_member.h"

JsonObject *stead_json_object(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

JsonArray *stead_json_array(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static JsonNode *member(JsonObject *object, const char *name)
{
    return object ? json_object_get_member(object, name) : NULL;
}

static JsonNode *value_in(JsonObject *object, const char *name, GType type)
{
    JsonNode *node = member(object, name);
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node
                                                                                         : NULL;
}

JsonObject *stead_json_object_in(JsonObject *object, const char *name)
{
    return stead_json_object(member(object, name));
}

JsonArray *stead_json_array_in(JsonObject *object, const char *name)
{
    return stead_json_array(member(object, name));
}

const char *stead_json_text_in(JsonObject *object, const char *name)
{
    JsonNode *node = value_in(object, name, G_TYPE_STRING);
    return node ? json_node_get_string(node) : NULL;
}

gboolean stead_json_number_in(JsonObject *object, const char *name, gint64 *number)
{
    JsonNode *node = value_in(object, name, G_TYPE_INT64);
    if (node)
        *number = json_node_get_int(node);
    return node != NULL;
}

guint64 stead_json_count_in(JsonObject *object, const char *name)
{
    gint64 number = 0;
    stead_json_number_in(object, name, &number);
    return (guint64)MAX(0, number);
}

gboolean stead_json_flag_in(JsonObject *object, const char *name)
{
    JsonNode *node = value_in(object, name, G_TYPE_BOOLEAN);
    return node && json_node_get_boolean(node);
}
