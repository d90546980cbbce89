/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of structs that tables describe: defaults, copies, comparison, the end. One row of functions
 * a type; what a type does not need is the plain thing (bytes are copied and compared).
 */
#include "model/field.h"

#include <string.h>

typedef struct {
    void (*init)(const SteadField *field, gpointer object);
    void (*copy)(const SteadField *field, gpointer to, gconstpointer from);
    void (*clear)(const SteadField *field, gpointer object);
    gboolean (*equal)(const SteadField *field, gconstpointer a, gconstpointer b);
} Life;

static const Life lives[STEAD_N_FIELD_TYPES];

/* Members are reached through these, so that no row can mistake a pointer for its place. */
#define MEMBER(type, field, object) (*(type *)stead_member(field, object))

static void init_guint(const SteadField *field, gpointer object)
{
    MEMBER(guint, field, object) = (guint)field->def;
}

static void init_guint64(const SteadField *field, gpointer object)
{
    MEMBER(guint64, field, object) = field->def;
}

static void init_string(const SteadField *field, gpointer object)
{
    MEMBER(char *, field, object) = g_strdup(field->def_text);
}

static void copy_string(const SteadField *field, gpointer to, gconstpointer from)
{
    MEMBER(char *, field, to) = g_strdup(MEMBER(char *, field, from));
}

static void clear_string(const SteadField *field, gpointer object)
{
    g_clear_pointer(&MEMBER(char *, field, object), g_free);
}

static gboolean equal_string(const SteadField *field, gconstpointer a, gconstpointer b)
{
    return g_strcmp0(MEMBER(char *, field, a), MEMBER(char *, field, b)) == 0;
}

static void init_strings(const SteadField *field, gpointer object)
{
    MEMBER(GStrv, field, object) = g_new0(char *, 1);
}

static void copy_strings(const SteadField *field, gpointer to, gconstpointer from)
{
    GStrv strings = MEMBER(GStrv, field, from);
    MEMBER(GStrv, field, to) = strings ? g_strdupv(strings) : g_new0(char *, 1);
}

static void clear_strings(const SteadField *field, gpointer object)
{
    g_clear_pointer(&MEMBER(GStrv, field, object), g_strfreev);
}

static gboolean equal_strings(const SteadField *field, gconstpointer a, gconstpointer b)
{
    static const char *const none[] = {NULL};
    GStrv x = MEMBER(GStrv, field, a), y = MEMBER(GStrv, field, b);
    return g_strv_equal(x ? (const char *const *)x : none, y ? (const char *const *)y : none);
}

static void copy_into(const SteadStruct *table, gpointer to, gconstpointer from)
{
    for (guint i = 0; i < table->n; i++)
        lives[table->fields[i].type].copy(&table->fields[i], to, from);
}

static void init_object(const SteadField *field, gpointer object)
{
    stead_object_init(field->table, stead_member(field, object));
}

static void copy_object(const SteadField *field, gpointer to, gconstpointer from)
{
    copy_into(field->table, stead_member(field, to), stead_member(field, from));
}

static void clear_object(const SteadField *field, gpointer object)
{
    stead_object_clear(field->table, stead_member(field, object));
}

static gboolean equal_object(const SteadField *field, gconstpointer a, gconstpointer b)
{
    return stead_object_equal(field->table, stead_member(field, a), stead_member(field, b));
}

static void init_pointer(const SteadField *field, gpointer object)
{
    MEMBER(gpointer, field, object) = stead_object_new(field->table);
}

static void copy_pointer(const SteadField *field, gpointer to, gconstpointer from)
{
    gconstpointer inner = MEMBER(gpointer, field, from);
    MEMBER(gpointer, field, to) =
        inner ? stead_object_copy(field->table, inner) : stead_object_new(field->table);
}

static void clear_pointer(const SteadField *field, gpointer object)
{
    g_clear_pointer(&MEMBER(gpointer, field, object), field->table->destroy);
}

static gboolean equal_pointer(const SteadField *field, gconstpointer a, gconstpointer b)
{
    gconstpointer x = MEMBER(gpointer, field, a), y = MEMBER(gpointer, field, b);
    return x && y ? stead_object_equal(field->table, x, y) : x == y;
}

static void init_objects(const SteadField *field, gpointer object)
{
    GPtrArray *array = g_ptr_array_new_with_free_func(field->table->destroy);
    if (field->flags & STEAD_FIELD_DEFAULT_ITEM)
        g_ptr_array_add(array, stead_object_new(field->table));
    MEMBER(GPtrArray *, field, object) = array;
}

static void copy_objects(const SteadField *field, gpointer to, gconstpointer from)
{
    GPtrArray *source = MEMBER(GPtrArray *, field, from);
    GPtrArray *array = g_ptr_array_new_with_free_func(field->table->destroy);
    for (guint i = 0; source && i < source->len; i++)
        g_ptr_array_add(array, stead_object_copy(field->table, source->pdata[i]));
    MEMBER(GPtrArray *, field, to) = array;
}

static void clear_objects(const SteadField *field, gpointer object)
{
    g_clear_pointer(&MEMBER(GPtrArray *, field, object), g_ptr_array_unref);
}

static gboolean equal_objects(const SteadField *field, gconstpointer a, gconstpointer b)
{
    GPtrArray *x = MEMBER(GPtrArray *, field, a), *y = MEMBER(GPtrArray *, field, b);
    guint n = x ? x->len : 0;
    if (n != (y ? y->len : 0))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (!stead_object_equal(field->table, x->pdata[i], y->pdata[i]))
            return FALSE;
    return TRUE;
}

static void init_map(const SteadField *field, gpointer object)
{
    *stead_member_names(field, object) = g_ptr_array_new_with_free_func(g_free);
    init_objects(field, object);
}

static void copy_map(const SteadField *field, gpointer to, gconstpointer from)
{
    GPtrArray *source = *stead_member_names(field, from);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; source && i < source->len; i++)
        g_ptr_array_add(names, g_strdup(source->pdata[i]));
    *stead_member_names(field, to) = names;
    copy_objects(field, to, from);
}

static void clear_map(const SteadField *field, gpointer object)
{
    g_clear_pointer(stead_member_names(field, object), g_ptr_array_unref);
    clear_objects(field, object);
}

static gboolean equal_map(const SteadField *field, gconstpointer a, gconstpointer b)
{
    if (!equal_objects(field, a, b))
        return FALSE;
    GPtrArray *x = *stead_member_names(field, a), *y = *stead_member_names(field, b);
    for (guint i = 0; x && y && i < x->len; i++)
        if (strcmp(x->pdata[i], y->pdata[i]) != 0)
            return FALSE;
    return TRUE;
}

static void init_json(const SteadField *field, gpointer object)
{
    MEMBER(JsonNode *, field, object) = NULL;
}

static void copy_json(const SteadField *field, gpointer to, gconstpointer from)
{
    JsonNode *node = MEMBER(JsonNode *, field, from);
    MEMBER(JsonNode *, field, to) = node ? json_node_copy(node) : NULL;
}

static void clear_json(const SteadField *field, gpointer object)
{
    g_clear_pointer(&MEMBER(JsonNode *, field, object), json_node_unref);
}

static gboolean equal_json(const SteadField *field, gconstpointer a, gconstpointer b)
{
    JsonNode *x = MEMBER(JsonNode *, field, a), *y = MEMBER(JsonNode *, field, b);
    return x && y ? json_node_equal(x, y) : x == y;
}

static void copy_guint(const SteadField *field, gpointer to, gconstpointer from)
{
    MEMBER(guint, field, to) = MEMBER(guint, field, from);
}

static void copy_guint64(const SteadField *field, gpointer to, gconstpointer from)
{
    MEMBER(guint64, field, to) = MEMBER(guint64, field, from);
}

static void clear_nothing(const SteadField *field, gpointer object)
{
}

static gboolean equal_guint(const SteadField *field, gconstpointer a, gconstpointer b)
{
    return MEMBER(guint, field, a) == MEMBER(guint, field, b);
}

static gboolean equal_guint64(const SteadField *field, gconstpointer a, gconstpointer b)
{
    return MEMBER(guint64, field, a) == MEMBER(guint64, field, b);
}

/* Booleans and enums lie in members of the size of a guint. */
G_STATIC_ASSERT(sizeof(gboolean) == sizeof(guint) && sizeof(SteadState) == sizeof(guint));

#define LIFE(name)                                                                                 \
    {                                                                                              \
        init_##name, copy_##name, clear_##name, equal_##name                                       \
    }
#define PLAIN(name)                                                                                \
    {                                                                                              \
        init_##name, copy_##name, clear_nothing, equal_##name                                      \
    }

static const Life lives[STEAD_N_FIELD_TYPES] = {
    [STEAD_FIELD_BOOL] = PLAIN(guint),       [STEAD_FIELD_UINT] = PLAIN(guint),
    [STEAD_FIELD_NUMBER] = PLAIN(guint64),   [STEAD_FIELD_SIZE] = PLAIN(guint64),
    [STEAD_FIELD_DURATION] = PLAIN(guint64), [STEAD_FIELD_ENUM] = PLAIN(guint),
    [STEAD_FIELD_STRING] = LIFE(string),     [STEAD_FIELD_STRINGS] = LIFE(strings),
    [STEAD_FIELD_OBJECT] = LIFE(object),     [STEAD_FIELD_POINTER] = LIFE(pointer),
    [STEAD_FIELD_OBJECTS] = LIFE(objects),   [STEAD_FIELD_MAP] = LIFE(map),
    [STEAD_FIELD_JSON] = LIFE(json),
};

void stead_object_init(const SteadStruct *table, gpointer object)
{
    for (guint i = 0; i < table->n; i++)
        lives[table->fields[i].type].init(&table->fields[i], object);
}

void stead_object_clear(const SteadStruct *table, gpointer object)
{
    for (guint i = 0; i < table->n; i++)
        lives[table->fields[i].type].clear(&table->fields[i], object);
}

gpointer stead_object_new(const SteadStruct *table)
{
    gpointer object = g_malloc0(table->size);
    stead_object_init(table, object);
    return object;
}

gpointer stead_object_copy(const SteadStruct *table, gconstpointer object)
{
    gpointer copy = g_malloc0(table->size);
    copy_into(table, copy, object);
    return copy;
}

void stead_object_free(const SteadStruct *table, gpointer object)
{
    if (!object)
        return;
    stead_object_clear(table, object);
    g_free(object);
}

gboolean stead_field_equal(const SteadField *field, gconstpointer a, gconstpointer b)
{
    return lives[field->type].equal(field, a, b);
}

gboolean stead_object_equal(const SteadStruct *table, gconstpointer a, gconstpointer b)
{
    for (guint i = 0; i < table->n; i++)
        if (!stead_field_equal(&table->fields[i], a, b))
            return FALSE;
    return TRUE;
}

static gboolean object_is_default(const SteadStruct *table, gconstpointer object)
{
    for (guint i = 0; i < table->n; i++)
        if (!stead_field_is_default(&table->fields[i], object))
            return FALSE;
    return TRUE;
}

static gboolean objects_are_default(const SteadField *field, const GPtrArray *array)
{
    if (field->flags & STEAD_FIELD_DEFAULT_ITEM)
        return array && array->len == 1 && object_is_default(field->table, array->pdata[0]);
    return !array || array->len == 0;
}

gboolean stead_field_is_default(const SteadField *field, gconstpointer object)
{
    switch (field->type) {
    case STEAD_FIELD_BOOL:
    case STEAD_FIELD_UINT:
    case STEAD_FIELD_ENUM:
        return MEMBER(guint, field, object) == (guint)field->def;
    case STEAD_FIELD_NUMBER:
    case STEAD_FIELD_SIZE:
    case STEAD_FIELD_DURATION:
        return MEMBER(guint64, field, object) == field->def;
    case STEAD_FIELD_STRING:
        return g_strcmp0(MEMBER(char *, field, object), field->def_text) == 0;
    case STEAD_FIELD_STRINGS:
        return !MEMBER(GStrv, field, object) || !*MEMBER(GStrv, field, object);
    case STEAD_FIELD_OBJECT:
        return object_is_default(field->table, stead_member(field, object));
    case STEAD_FIELD_POINTER:
        return FALSE;
    case STEAD_FIELD_OBJECTS:
    case STEAD_FIELD_MAP:
        return objects_are_default(field, MEMBER(GPtrArray *, field, object));
    default:
        return MEMBER(JsonNode *, field, object) == NULL;
    }
}
