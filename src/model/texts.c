/* SPDX-License-Identifier: Apache-2.0 */
/* json-glib's builder takes five lines for what is one thought: a few names with their texts. */
#include "model/texts.h"

JsonNode *stead_json_texts(const char *name, ...)
{
    JsonObject *object = json_object_new();
    va_list rest;
    va_start(rest, name);
    for (; name != NULL; name = va_arg(rest, const char *)) {
        const char *text = va_arg(rest, const char *);
        if (text != NULL)
            json_object_set_string_member(object, name, text);
    }
    va_end(rest);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}
