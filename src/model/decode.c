/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a tree of values into a struct, by its table. A wrong value becomes a problem and leaves
 * its field at the default, so that one pass finds everything that is wrong.
 */
#include "model/decode.h"

#include <string.h>

#include "base/near.h"
#include "model/check.h"

#define MAX_KNOWN_WORDS 128
#define LISTED_FIELDS 8 /* an unknown field's message lists the known ones up to so many */

static SteadDecodeFunc *const decoders[STEAD_N_FIELD_TYPES];

static void decode_struct(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                          gpointer object, const SteadPath *path, gboolean inner);

static void decode_object_field(SteadDecoder *decoder, const SteadField *field,
                                const SteadNode *node, gpointer object, const SteadPath *path)
{
    decode_struct(decoder, field->table, node, stead_member(field, object), path, TRUE);
}

static void decode_pointer(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                           gpointer object, const SteadPath *path)
{
    decode_struct(decoder, field->table, node, *(gpointer *)stead_member(field, object), path,
                  FALSE);
}

static gpointer add_item(const SteadField *field, gpointer object)
{
    gpointer item = stead_object_new(field->table);
    g_ptr_array_add(*(GPtrArray **)stead_member(field, object), item);
    return item;
}

static gboolean has_brief(const SteadStruct *table)
{
    return table->brief || table->parse;
}

/* "networks: lab": the short form of an item stands for a list of it. */
static gboolean is_one_item(const SteadField *field, const SteadNode *node)
{
    return (stead_node_is_text(node) || stead_node_is_literal(node)) && has_brief(field->table);
}

static void decode_objects(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                           gpointer object, const SteadPath *path)
{
    GPtrArray *array = *(GPtrArray **)stead_member(field, object);
    if (is_one_item(field, node)) {
        g_ptr_array_set_size(array, 0);
        decode_struct(decoder, field->table, node, add_item(field, object), path, FALSE);
        return;
    }
    if (node->type != STEAD_NODE_LIST) {
        stead_decode_wrong_value(decoder, field, node, path);
        return;
    }
    if (!stead_decode_few_enough(decoder, field, node, path))
        return;
    g_ptr_array_set_size(array, 0);
    SteadPath item_path = {.up = path};
    for (const SteadNode *item = node->first; item; item = item->next, item_path.index++) {
        gpointer read = add_item(field, object);
        if (stead_node_real(item)->type == STEAD_NODE_NULL)
            stead_problem_at(decoder->problems, item, &item_path, "item %u of %s is empty",
                             item_path.index + 1, field->name);
        else
            decode_struct(decoder, field->table, stead_node_real(item), read, &item_path, FALSE);
    }
}

static void given_twice(SteadDecoder *decoder, const SteadNode *item, const SteadNode *first,
                        const SteadPath *path)
{
    stead_problem_at_key(decoder->problems, item, path, "'%s' is given twice (first in line %u)",
                         item->key, first->key_line);
}

/* A name in a map: right in itself, and new to the map. */
static void check_key(SteadDecoder *decoder, const SteadField *field, const SteadNode *item,
                      GHashTable *known, const SteadPath *path)
{
    g_autoptr(GError) error = NULL;
    if (!stead_name_check(field->table->what, item->key, &error))
        stead_problem_at_key(decoder->problems, item, path, "%s", error->message);
    else if (g_hash_table_contains(known, item->key))
        stead_problem_at_key(decoder->problems, item, path,
                             "'%s' is given twice (first in line %u)", item->key,
                             ((const SteadNode *)g_hash_table_lookup(known, item->key))->key_line);
    else
        g_hash_table_insert(known, (gpointer)item->key, (gpointer)item);
}

static void decode_map(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                       gpointer object, const SteadPath *path)
{
    GPtrArray *names = *stead_member_names(field, object);
    if (node->type != STEAD_NODE_MAP) {
        stead_decode_wrong_value(decoder, field, node, path);
        return;
    }
    if (!stead_decode_few_enough(decoder, field, node, path))
        return;
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    for (const SteadNode *item = node->first; item; item = item->next) {
        check_key(decoder, field, item, known, path);
        SteadPath item_path = {.up = path, .name = item->key};
        gpointer read = add_item(field, object);
        g_ptr_array_add(names, g_strdup(item->key));
        decode_struct(decoder, field->table, stead_node_real(item), read, &item_path, FALSE);
    }
}

static void decode_json(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                        gpointer object, const SteadPath *path)
{
    JsonNode **member = stead_member(field, object);
    if (!node->json) {
        stead_decode_wrong_value(decoder, field, node, path);
        return;
    }
    g_clear_pointer(member, json_node_unref);
    *member = json_node_ref(node->json);
}

static SteadDecodeFunc *const decoders[STEAD_N_FIELD_TYPES] = {
    [STEAD_FIELD_BOOL] = stead_decode_bool,
    [STEAD_FIELD_UINT] = stead_decode_uint,
    [STEAD_FIELD_NUMBER] = stead_decode_number,
    [STEAD_FIELD_SIZE] = stead_decode_size,
    [STEAD_FIELD_DURATION] = stead_decode_duration,
    [STEAD_FIELD_ENUM] = stead_decode_enum,
    [STEAD_FIELD_STRING] = stead_decode_string,
    [STEAD_FIELD_STRINGS] = stead_decode_strings,
    [STEAD_FIELD_OBJECT] = decode_object_field,
    [STEAD_FIELD_POINTER] = decode_pointer,
    [STEAD_FIELD_OBJECTS] = decode_objects,
    [STEAD_FIELD_MAP] = decode_map,
    [STEAD_FIELD_JSON] = decode_json,
};

/* The field that an unknown word most probably means; NULL when none is near. */
static const char *nearest_field(const SteadStruct *table, const char *word)
{
    const char *words[MAX_KNOWN_WORDS], *means[MAX_KNOWN_WORDS];
    g_autoptr(GPtrArray) lists = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    gsize n = 0;
    for (guint i = 0; i < table->n; i++) {
        const SteadField *field = &table->fields[i];
        GStrv also = g_strsplit(field->also ? field->also : "", " ", -1);
        g_ptr_array_add(lists, also);
        if (n < MAX_KNOWN_WORDS) {
            means[n] = field->name;
            words[n++] = field->name;
        }
        for (guint j = 0; also[j] && n < MAX_KNOWN_WORDS; j++) {
            means[n] = field->name;
            words[n++] = also[j];
        }
    }
    const char *near = stead_near(word, words, n);
    for (gsize i = 0; near && i < n; i++)
        if (words[i] == near)
            return means[i];
    return NULL;
}

static void unknown_field(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *item,
                          const SteadPath *path)
{
    gboolean told = !stead_problems_full(decoder->problems);
    const char *near = told ? nearest_field(table, item->key) : NULL;
    SteadNode key = {.type = STEAD_NODE_STRING, .text = item->key};
    g_autofree char *word = stead_node_describe(&key);
    g_autoptr(GString) more = g_string_new(NULL);
    if (near)
        g_string_printf(more, "; did you mean '%s'?", near);
    for (guint i = 0; !near && table->n <= LISTED_FIELDS && i < table->n; i++)
        g_string_append_printf(more, "%s%s", i == 0 ? "; it has " : ", ", table->fields[i].name);
    stead_problem_at_key(decoder->problems, item, path, "unknown field %s of %s%s", word,
                         table->what, more->str);
}

/* The index of a field; `guess` is where it is if fields come in the table's order. n when there
 * is none. */
static guint field_index(const SteadStruct *table, const char *name, guint guess)
{
    for (guint k = 0; k < table->n; k++) {
        guint i = guess + k < table->n ? guess + k : guess + k - table->n;
        if (strcmp(table->fields[i].name, name) == 0)
            return i;
    }
    return table->n;
}

static gboolean is_container(const SteadField *field)
{
    return field->type >= STEAD_FIELD_STRINGS && field->type <= STEAD_FIELD_MAP;
}

/* Nothing is a value where a list or mapping is expected ("instances:" and no more), and in a
 * record that another version wrote. */
static gboolean counts_as_absent(const SteadDecoder *decoder, const SteadField *field,
                                 const SteadNode *node)
{
    return node->type == STEAD_NODE_NULL &&
           (decoder->mode == STEAD_READ_RECORD || is_container(field));
}

static void decode_fields(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                          gpointer object, const SteadPath *path, gboolean inner, guint64 *given)
{
    guint guess = 0;
    for (const SteadNode *item = node->first; item; item = item->next) {
        guint i = field_index(table, item->key, guess);
        if (i == table->n) {
            if (decoder->mode == STEAD_READ_SPEC)
                unknown_field(decoder, table, item, path);
            continue;
        }
        guess = i + 1 < table->n ? i + 1 : 0;
        const SteadField *field = &table->fields[i];
        if (*given & G_GUINT64_CONSTANT(1) << i) {
            given_twice(decoder, item, stead_node_find(node, item->key), path);
            continue;
        }
        const SteadNode *value = stead_node_real(item);
        if (counts_as_absent(decoder, field, value))
            continue;
        *given |= G_GUINT64_CONSTANT(1) << i;
        SteadPath field_path = {.up = path, .name = field->name, .inner = inner};
        decoders[field->type](decoder, field, value, object, &field_path);
    }
}

static void check_required(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                           const SteadPath *path, guint64 given)
{
    SteadWhere where = {.problems = decoder->problems, .node = node, .path = path};
    for (guint i = 0; i < table->n; i++) {
        const SteadField *field = &table->fields[i];
        if (!(field->flags & STEAD_FIELD_REQUIRED) || given & G_GUINT64_CONSTANT(1) << i)
            continue;
        g_autofree char *expected = stead_field_expected(field);
        stead_problem(&where, "", "%s needs '%s': %s", table->what, field->name, expected);
    }
}

/* The short form. FALSE when the table has none. */
static gboolean decode_brief(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                             gpointer object, const SteadPath *path, guint64 *given)
{
    if (table->brief) {
        const SteadField *field = stead_table_field(table, table->brief);
        *given |= G_GUINT64_CONSTANT(1) << (field - table->fields);
        decoders[field->type](decoder, field, node, object, path);
        return TRUE;
    }
    if (!table->parse)
        return FALSE;
    *given = G_MAXUINT64;
    if (!stead_node_is_text(node) || !table->parse(node->text, object)) {
        static const SteadField no_field = {0};
        stead_decode_wrong(decoder, &no_field, node, path, table->brief_format->what, NULL);
    }
    return TRUE;
}

static void wrong_struct(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                         const SteadPath *path)
{
    static const SteadField no_field = {0};
    g_autofree char *expected = stead_table_expected(table);
    stead_decode_wrong(decoder, &no_field, node, path, expected, NULL);
}

/* Checks an object as a whole: where its parts are right, or where the check does not mind. */
static void check_struct(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                         gpointer object, const SteadPath *path, gboolean sound)
{
    SteadWhere where = {.problems = decoder->problems, .node = node, .path = path};
    if (table->check && decoder->mode == STEAD_READ_SPEC && (sound || table->check_always))
        table->check(object, &where);
}

static void decode_struct(SteadDecoder *decoder, const SteadStruct *table, const SteadNode *node,
                          gpointer object, const SteadPath *path, gboolean inner)
{
    guint problems = stead_problems_count(decoder->problems);
    guint64 given = 0;
    gboolean container = node->type == STEAD_NODE_MAP || node->type == STEAD_NODE_LIST;
    if (node->type == STEAD_NODE_MAP) {
        decode_fields(decoder, table, node, object, path, inner, &given);
    } else if (node->type != STEAD_NODE_NULL &&
               (container || !decode_brief(decoder, table, node, object, path, &given))) {
        wrong_struct(decoder, table, node, path);
        return;
    }
    if (table->complete)
        table->complete(object, given);
    check_required(decoder, table, node, path, given);
    check_struct(decoder, table, node, object, path,
                 stead_problems_count(decoder->problems) == problems);
}

void stead_object_decode(const SteadStruct *table, const SteadNode *node, gpointer object,
                         SteadReadMode mode, SteadProblems *problems)
{
    SteadDecoder decoder = {.mode = mode, .problems = problems};
    SteadPath root = {0};
    decode_struct(&decoder, table, stead_node_real(node), object, &root, FALSE);
}
