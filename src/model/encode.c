/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a struct as canonical JSON: always the long form of a field, in the table's order, and
 * nothing that has its default. Two equal structs give equal text, and what is read back is equal
 * to what was written.
 */
#include "model/field.h"

#include "base/units.h"

static JsonNode *new_string(char *text)
{
    JsonNode *node = json_node_init_string(json_node_alloc(), text);
    g_free(text);
    return node;
}

static JsonNode *encode_bool(const SteadField *field, gconstpointer object)
{
    return json_node_init_boolean(json_node_alloc(), *(gboolean *)stead_member(field, object));
}

static JsonNode *encode_uint(const SteadField *field, gconstpointer object)
{
    return json_node_init_int(json_node_alloc(), *(guint *)stead_member(field, object));
}

static JsonNode *encode_number(const SteadField *field, gconstpointer object)
{
    return json_node_init_int(json_node_alloc(), *(gint64 *)stead_member(field, object));
}

static JsonNode *encode_size(const SteadField *field, gconstpointer object)
{
    return new_string(stead_format_size_exact(*(guint64 *)stead_member(field, object)));
}

static JsonNode *encode_duration(const SteadField *field, gconstpointer object)
{
    return new_string(stead_format_duration_exact(*(guint64 *)stead_member(field, object)));
}

static JsonNode *encode_enum(const SteadField *field, gconstpointer object)
{
    int value = *(int *)stead_member(field, object);
    return json_node_init_string(json_node_alloc(), stead_name_of(field->names, value));
}

static JsonNode *encode_string(const SteadField *field, gconstpointer object)
{
    const char *text = *(char **)stead_member(field, object);
    return text ? json_node_init_string(json_node_alloc(), text) : NULL;
}

static JsonNode *take_array(JsonArray *array)
{
    JsonNode *node = json_node_init_array(json_node_alloc(), array);
    json_array_unref(array);
    return node;
}

static JsonNode *encode_strings(const SteadField *field, gconstpointer object)
{
    GStrv strings = *(GStrv *)stead_member(field, object);
    JsonArray *array = json_array_new();
    for (guint i = 0; strings && strings[i]; i++)
        json_array_add_string_element(array, strings[i]);
    return take_array(array);
}

static JsonNode *encode_object(const SteadField *field, gconstpointer object)
{
    return stead_object_encode(field->table, stead_member(field, object));
}

static JsonNode *encode_pointer(const SteadField *field, gconstpointer object)
{
    gconstpointer inner = *(gpointer *)stead_member(field, object);
    return inner ? stead_object_encode(field->table, inner) : NULL;
}

static JsonNode *encode_objects(const SteadField *field, gconstpointer object)
{
    GPtrArray *items = *(GPtrArray **)stead_member(field, object);
    JsonArray *array = json_array_sized_new(items ? items->len : 0);
    for (guint i = 0; items && i < items->len; i++)
        json_array_add_element(array, stead_object_encode(field->table, items->pdata[i]));
    return take_array(array);
}

static JsonNode *encode_map(const SteadField *field, gconstpointer object)
{
    GPtrArray *items = *(GPtrArray **)stead_member(field, object);
    GPtrArray *names = *stead_member_names(field, object);
    JsonObject *map = json_object_new();
    for (guint i = 0; items && i < items->len; i++)
        json_object_set_member(map, names->pdata[i],
                               stead_object_encode(field->table, items->pdata[i]));
    JsonNode *node = json_node_init_object(json_node_alloc(), map);
    json_object_unref(map);
    return node;
}

static JsonNode *encode_json(const SteadField *field, gconstpointer object)
{
    return json_node_ref(*(JsonNode **)stead_member(field, object));
}

static JsonNode *(*const encoders[STEAD_N_FIELD_TYPES])(const SteadField *, gconstpointer) = {
    [STEAD_FIELD_BOOL] = encode_bool,         [STEAD_FIELD_UINT] = encode_uint,
    [STEAD_FIELD_NUMBER] = encode_number,     [STEAD_FIELD_SIZE] = encode_size,
    [STEAD_FIELD_DURATION] = encode_duration, [STEAD_FIELD_ENUM] = encode_enum,
    [STEAD_FIELD_STRING] = encode_string,     [STEAD_FIELD_STRINGS] = encode_strings,
    [STEAD_FIELD_OBJECT] = encode_object,     [STEAD_FIELD_POINTER] = encode_pointer,
    [STEAD_FIELD_OBJECTS] = encode_objects,   [STEAD_FIELD_MAP] = encode_map,
    [STEAD_FIELD_JSON] = encode_json,
};

JsonNode *stead_object_encode(const SteadStruct *table, gconstpointer object)
{
    JsonObject *map = json_object_new();
    for (guint i = 0; i < table->n; i++) {
        const SteadField *field = &table->fields[i];
        guint always = field->flags & (STEAD_FIELD_ALWAYS | STEAD_FIELD_REQUIRED);
        JsonNode *value = always || !stead_field_is_default(field, object)
                              ? encoders[field->type](field, object)
                              : NULL;
        if (value)
            json_object_set_member(map, field->name, value);
    }
    JsonNode *node = json_node_init_object(json_node_alloc(), map);
    json_object_unref(map);
    return node;
}
