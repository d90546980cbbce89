/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON reader: json-glib's nodes become ours. Numbers keep their type (a JSON 4 is never a
 * name), strings are borrowed.
 */
#include "model/node.h"

#include <string.h>

#include "base/error.h"

static gboolean add_json(SteadTree *tree, SteadNode *parent, const char *key, JsonNode *json,
                         GError **error);

static void set_value(SteadTree *tree, SteadNode *node, JsonNode *json)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    GType type = json_node_get_value_type(json);
    node->type = type == G_TYPE_STRING ? STEAD_NODE_STRING : STEAD_NODE_NUMBER;
    if (type == G_TYPE_STRING) {
        node->text = json_node_get_string(json);
    } else if (type == G_TYPE_BOOLEAN) {
        node->text = json_node_get_boolean(json) ? "true" : "false";
    } else if (type == G_TYPE_INT64) {
        int n = g_snprintf(number, sizeof number, "%" G_GINT64_FORMAT, json_node_get_int(json));
        node->text = stead_tree_strdup(tree, number, (gsize)n);
    } else {
        g_ascii_dtostr(number, sizeof number, json_node_get_double(json));
        node->text = stead_tree_strdup(tree, number, strlen(number));
    }
}

static gboolean add_members(SteadTree *tree, SteadNode *map, JsonNode *json, GError **error)
{
    JsonObjectIter iter;
    const char *key;
    JsonNode *value;
    json_object_iter_init_ordered(&iter, json_node_get_object(json));
    while (json_object_iter_next_ordered(&iter, &key, &value))
        if (!add_json(tree, map, key, value, error))
            return FALSE;
    stead_node_close(map);
    return TRUE;
}

static gboolean add_elements(SteadTree *tree, SteadNode *list, JsonNode *json, GError **error)
{
    JsonArray *array = json_node_get_array(json);
    guint n = json_array_get_length(array);
    for (guint i = 0; i < n; i++)
        if (!add_json(tree, list, NULL, json_array_get_element(array, i), error))
            return FALSE;
    stead_node_close(list);
    return TRUE;
}

static gboolean add_json(SteadTree *tree, SteadNode *parent, const char *key, JsonNode *json,
                         GError **error)
{
    static const SteadNodeType types[] = {
        [JSON_NODE_OBJECT] = STEAD_NODE_MAP,
        [JSON_NODE_ARRAY] = STEAD_NODE_LIST,
        [JSON_NODE_VALUE] = STEAD_NODE_NUMBER,
        [JSON_NODE_NULL] = STEAD_NODE_NULL,
    };
    SteadNode *node = stead_tree_add(tree, parent, types[JSON_NODE_TYPE(json)], error);
    if (!node)
        return FALSE;
    node->key = key;
    node->json = json;
    if (node->type == STEAD_NODE_MAP)
        return add_members(tree, node, json, error);
    if (node->type == STEAD_NODE_LIST)
        return add_elements(tree, node, json, error);
    if (node->type == STEAD_NODE_NUMBER)
        set_value(tree, node, json);
    return TRUE;
}

SteadTree *stead_tree_from_json(JsonNode *json, GError **error)
{
    g_autoptr(SteadTree) tree = stead_tree_new();
    return add_json(tree, NULL, NULL, json, error) ? g_steal_pointer(&tree) : NULL;
}
