/* SPDX-License-Identifier: Apache-2.0 */
/* Members of JSON objects without crashes: a daemon of another version may send other things. */
#include "cli/json.h"

#include <stdio.h>
#include <string.h>

static JsonNode *own_member(JsonNode *node, const char *name)
{
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node))
        return NULL;
    return json_object_get_member(json_node_get_object(node), name);
}

JsonNode *stead_json_member(JsonNode *node, const char *path)
{
    if (strchr(path, '.') == NULL)
        return own_member(node, path);
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (char **name = names; *name != NULL; name++)
        node = own_member(node, *name);
    return node;
}

static JsonNode *value_at(JsonNode *node, const char *path)
{
    JsonNode *member = stead_json_member(node, path);
    return member != NULL && JSON_NODE_HOLDS_VALUE(member) ? member : NULL;
}

const char *stead_json_text(JsonNode *node, const char *path)
{
    JsonNode *value = value_at(node, path);
    return value ? json_node_get_string(value) : NULL;
}

gint64 stead_json_integer(JsonNode *node, const char *path, gint64 fallback)
{
    JsonNode *value = value_at(node, path);
    if (value == NULL || json_node_get_value_type(value) == G_TYPE_STRING)
        return fallback;
    return json_node_get_int(value);
}

double stead_json_number(JsonNode *node, const char *path, double fallback)
{
    JsonNode *value = value_at(node, path);
    if (value == NULL || json_node_get_value_type(value) == G_TYPE_STRING)
        return fallback;
    return json_node_get_double(value);
}

gboolean stead_json_flag(JsonNode *node, const char *path)
{
    JsonNode *value = value_at(node, path);
    return value != NULL && json_node_get_boolean(value);
}

guint stead_json_length(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_array_get_length(json_node_get_array(node))
                                               : 0;
}

JsonNode *stead_json_element(JsonNode *node, guint n)
{
    return n < stead_json_length(node) ? json_array_get_element(json_node_get_array(node), n)
                                       : NULL;
}

char *stead_json_join(JsonNode *node, const char *path)
{
    JsonNode *array = stead_json_member(node, path);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < stead_json_length(array); i++) {
        JsonNode *element = stead_json_element(array, i);
        const char *value = JSON_NODE_HOLDS_VALUE(element) ? json_node_get_string(element) : NULL;
        if (value != NULL)
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", value);
    }
    return g_string_free(text, FALSE);
}

void stead_json_print(JsonNode *node)
{
    g_autofree char *text = json_to_string(node, TRUE);
    puts(text);
}

void stead_json_print_line(JsonNode *node)
{
    g_autofree char *text = json_to_string(node, FALSE);
    puts(text);
    fflush(stdout);
}

JsonNode *stead_json_build(JsonBuilder *builder)
{
    return json_builder_get_root(builder);
}

void stead_json_add_text(JsonBuilder *builder, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

void stead_json_add_list(JsonBuilder *builder, const char *name, const char *const *values)
{
    if (values == NULL || *values == NULL)
        return;
    json_builder_set_member_name(builder, name);
    json_builder_begin_array(builder);
    for (; *values != NULL; values++)
        json_builder_add_string_value(builder, *values);
    json_builder_end_array(builder);
}
