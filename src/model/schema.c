/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON Schema (draft 2020-12) that editors check a stead.yaml with. Each table is one entry
 * below $defs; a short form is the other branch of an anyOf. The schema says what a schema can: it
 * refuses nothing that the parser accepts, and the parser has the last word.
 */
#include "model/format.h"
#include "model/spec-fields.h"

/* Sizes and durations as text; their limits are in the description. */
#define SIZE_PATTERN "^[0-9]+(\\.[0-9]{1,9})? *[KMGTPkmgtp]?[Ii]?[Bb]?$"
#define DURATION_PATTERN "^([0-9]+(\\.[0-9]{1,9})?(ms|s|m|h|d))*([0-9]+(\\.[0-9]{1,9})?)?$"

static void set_field(JsonObject *schema, const SteadField *field);

static JsonObject *add_object(JsonObject *parent, const char *name)
{
    JsonObject *object = json_object_new();
    json_object_set_object_member(parent, name, object);
    return object;
}

static JsonArray *add_array(JsonObject *parent, const char *name)
{
    JsonArray *array = json_array_new();
    json_object_set_array_member(parent, name, array);
    return array;
}

static JsonObject *add_branch(JsonArray *branches)
{
    JsonObject *branch = json_object_new();
    json_array_add_object_element(branches, branch);
    return branch;
}

static void set_range(JsonObject *schema, const SteadField *field)
{
    json_object_set_string_member(schema, "type", "integer");
    json_object_set_int_member(schema, "minimum", (gint64)field->min);
    json_object_set_int_member(schema, "maximum", (gint64)field->max);
}

static void set_text(JsonObject *schema, const SteadText *format)
{
    json_object_set_string_member(schema, "type", "string");
    json_object_set_int_member(schema, "minLength", 1);
    if (format && format->pattern)
        json_object_set_string_member(schema, "pattern", format->pattern);
}

/* A number, or a number with a unit. */
static void set_units(JsonObject *schema, const SteadField *field, const char *pattern,
                      guint64 scale)
{
    JsonArray *branches = add_array(schema, "anyOf");
    JsonObject *number = add_branch(branches);
    json_object_set_string_member(number, "type", scale > 1 ? "number" : "integer");
    json_object_set_int_member(number, "minimum", (gint64)(field->min / scale));
    json_object_set_int_member(number, "maximum", (gint64)(field->max / scale));
    JsonObject *text = add_branch(branches);
    json_object_set_string_member(text, "type", "string");
    json_object_set_string_member(text, "pattern", pattern);
}

static void set_enum(JsonObject *schema, const SteadNames *names)
{
    JsonArray *values = add_array(schema, "enum");
    for (guint i = 0; i < names->n; i++)
        json_array_add_string_element(values, names->names[i]);
}

static void set_reference(JsonObject *schema, const SteadStruct *table)
{
    g_autofree char *target = g_strdup_printf("#/$defs/%s", table->id);
    json_object_set_string_member(schema, "$ref", target);
}

/* `type`, or nothing: "networks:" with no value counts as absent. */
static void set_type_or_null(JsonObject *schema, const char *type)
{
    JsonArray *types = add_array(schema, "type");
    json_array_add_string_element(types, type);
    json_array_add_string_element(types, "null");
}

static guint64 max_items(const SteadField *field)
{
    return field->max > 0 ? field->max : STEAD_MAX_ITEMS;
}

static void set_strings(JsonObject *schema, const SteadField *field)
{
    JsonArray *branches = add_array(schema, "anyOf");
    set_text(add_branch(branches), field->format);
    JsonObject *list = add_branch(branches);
    set_type_or_null(list, "array");
    json_object_set_int_member(list, "maxItems", (gint64)max_items(field));
    set_text(add_object(list, "items"), field->format);
}

static void set_brief(JsonObject *schema, const SteadStruct *table)
{
    if (table->brief)
        set_field(schema, stead_table_field(table, table->brief));
    else
        set_text(schema, table->brief_format);
}

/* A list of objects, or the short form of one. */
static void set_objects(JsonObject *schema, const SteadField *field)
{
    JsonObject *list = schema;
    if (field->table->brief || field->table->parse) {
        JsonArray *branches = add_array(schema, "anyOf");
        set_brief(add_branch(branches), field->table);
        list = add_branch(branches);
    }
    set_type_or_null(list, "array");
    json_object_set_int_member(list, "maxItems", (gint64)max_items(field));
    JsonObject *items = add_object(list, "items");
    set_reference(items, field->table);
    json_object_set_string_member(add_object(items, "not"), "type", "null");
}

static void set_map(JsonObject *schema, const SteadField *field)
{
    set_type_or_null(schema, "object");
    json_object_set_int_member(schema, "maxProperties", (gint64)max_items(field));
    set_text(add_object(schema, "propertyNames"), &stead_text_name);
    set_reference(add_object(schema, "additionalProperties"), field->table);
}

static void describe(JsonObject *schema, const SteadField *field)
{
    static const char *const effects[] = {
        [STEAD_EFFECT_NOW] = "",
        [STEAD_EFFECT_RESTART] = " A change takes effect at the next start.",
        [STEAD_EFFECT_RECREATE] = " A change needs a new one.",
    };
    g_autofree char *expected = stead_field_expected(field);
    g_autofree char *text =
        g_strdup_printf("%s Expected: %s.%s", field->doc, expected, effects[field->effect]);
    g_autofree char *value = stead_field_default(field);
    json_object_set_string_member(schema, "description", text);
    if (value && field->type == STEAD_FIELD_BOOL)
        json_object_set_boolean_member(schema, "default", field->def != 0);
    else if (value && field->type == STEAD_FIELD_UINT)
        json_object_set_int_member(schema, "default", (gint64)field->def);
    else if (value && field->type != STEAD_FIELD_OBJECTS)
        json_object_set_string_member(schema, "default", value);
}

static void set_field(JsonObject *schema, const SteadField *field)
{
    switch (field->type) {
    case STEAD_FIELD_BOOL:
        json_object_set_string_member(schema, "type", "boolean");
        break;
    case STEAD_FIELD_UINT:
    case STEAD_FIELD_NUMBER:
        set_range(schema, field);
        break;
    case STEAD_FIELD_SIZE:
        set_units(schema, field, SIZE_PATTERN, 1);
        break;
    case STEAD_FIELD_DURATION:
        set_units(schema, field, DURATION_PATTERN, 1000);
        break;
    case STEAD_FIELD_ENUM:
        set_enum(schema, field->names);
        break;
    case STEAD_FIELD_STRING:
        set_text(schema, field->format);
        break;
    case STEAD_FIELD_STRINGS:
        set_strings(schema, field);
        break;
    case STEAD_FIELD_OBJECTS:
        set_objects(schema, field);
        break;
    case STEAD_FIELD_MAP:
        set_map(schema, field);
        break;
    default:
        set_reference(schema, field->table);
        break;
    }
}

/* The mapping of a table's fields. */
static void set_mapping(JsonObject *schema, const SteadStruct *table)
{
    JsonArray *required = json_array_new();
    JsonObject *properties = json_object_new();
    for (guint i = 0; i < table->n; i++) {
        const SteadField *field = &table->fields[i];
        JsonObject *property = add_object(properties, field->name);
        set_field(property, field);
        describe(property, field);
        if (field->flags & STEAD_FIELD_REQUIRED)
            json_array_add_string_element(required, field->name);
    }
    gboolean any = json_array_get_length(required) > 0;
    if (any)
        json_object_set_string_member(schema, "type", "object");
    else
        set_type_or_null(schema, "object");
    json_object_set_object_member(schema, "properties", properties);
    json_object_set_array_member(schema, "required", required);
    json_object_set_boolean_member(schema, "additionalProperties", FALSE);
}

/* One entry below $defs; tables that it refers to get theirs too. */
static void define(JsonObject *defs, const SteadStruct *table)
{
    if (json_object_has_member(defs, table->id))
        return;
    JsonObject *schema = add_object(defs, table->id);
    json_object_set_string_member(schema, "description", table->doc);
    if (table->brief || table->parse) {
        JsonArray *branches = add_array(schema, "anyOf");
        set_brief(add_branch(branches), table);
        set_mapping(add_branch(branches), table);
    } else {
        set_mapping(schema, table);
    }
    for (guint i = 0; i < table->n; i++)
        if (table->fields[i].table)
            define(defs, table->fields[i].table);
}

JsonNode *stead_table_schema(const SteadStruct *table)
{
    JsonObject *schema = json_object_new();
    json_object_set_string_member(schema, "$schema",
                                  "https://json-schema.org/draft/2020-12/schema");
    json_object_set_string_member(schema, "title", "stead.yaml");
    json_object_set_string_member(schema, "description", table->doc);
    set_mapping(schema, table);
    json_object_set_string_member(schema, "type", "object");
    JsonObject *defs = add_object(schema, "$defs");
    for (guint i = 0; i < table->n; i++)
        if (table->fields[i].table)
            define(defs, table->fields[i].table);
    JsonNode *node = json_node_init_object(json_node_alloc(), schema);
    json_object_unref(schema);
    return node;
}

char *stead_spec_json_schema(void)
{
    g_autoptr(JsonNode) schema = stead_table_schema(&stead_spec_table);
    g_autofree char *text = json_to_string(schema, TRUE);
    return g_strconcat(text, "\n", NULL);
}
