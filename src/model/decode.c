/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a tree of values into a struct, by its table. A wrong value becomes a problem and leaves
 * its field at the default, so that one pass finds everything that is wrong. Types are never
 * guessed: a quoted "4" is no number and a JSON 4 is no name.
 */
#include "model/field.h"

#include <string.h>

#include "base/near.h"
#include "base/units.h"
#include "model/check.h"

#define MAX_KNOWN_WORDS 128
#define LISTED_FIELDS 8 /* an unknown field's message lists the known ones up to so many */

typedef struct {
    SteadReadMode mode;
    SteadProblems *problems;
} Decoder;

typedef void (*DecodeFunc)(Decoder *decoder, const SteadField *field, const SteadNode *node,
                           gpointer object, const SteadPath *path);

static const DecodeFunc decoders[STEAD_N_FIELD_TYPES];

static void decode_struct(Decoder *decoder, const SteadTable *table, const SteadNode *node,
                          gpointer object, const SteadPath *path, gboolean inner);

static void wrong(Decoder *decoder, const SteadField *field, const SteadNode *node,
                  const SteadPath *path, const char *expected, const char *more)
{
    g_autofree char *label = stead_path_label(path);
    if (node->type == STEAD_NODE_NULL) {
        stead_problem_at(decoder->problems, node, path, "%s has no value; it must be %s", label,
                         expected);
        return;
    }
    g_autofree char *got = field->flags & STEAD_FIELD_SECRET ? g_strdup("what stands here")
                                                             : stead_node_describe(node);
    stead_problem_at(decoder->problems, node, path, "%s must be %s, not %s%s%s", label, expected,
                     got, more ? "; " : "", more ? more : "");
}

static void wrong_value(Decoder *decoder, const SteadField *field, const SteadNode *node,
                        const SteadPath *path)
{
    g_autofree char *expected = stead_field_expected(field);
    gboolean quoted = node->type == STEAD_NODE_STRING && field->type != STEAD_FIELD_STRING &&
                      field->type != STEAD_FIELD_STRINGS && g_ascii_isalnum(*node->text);
    wrong(decoder, field, node, path, expected,
          quoted && field->type < STEAD_FIELD_SIZE ? "write it without quotes" : NULL);
}

/* Whether a scalar may be read as a number or boolean, and as a text. */
static gboolean is_literal(const SteadNode *node)
{
    return node->type == STEAD_NODE_PLAIN || node->type == STEAD_NODE_NUMBER;
}

static gboolean is_text(const SteadNode *node)
{
    return node->type == STEAD_NODE_PLAIN || node->type == STEAD_NODE_STRING;
}

static void decode_bool(Decoder *decoder, const SteadField *field, const SteadNode *node,
                        gpointer object, const SteadPath *path)
{
    gboolean *value = stead_member(field, object);
    if (is_literal(node) && g_ascii_strcasecmp(node->text, "true") == 0)
        *value = TRUE;
    else if (is_literal(node) && g_ascii_strcasecmp(node->text, "false") == 0)
        *value = FALSE;
    else
        wrong_value(decoder, field, node, path);
}

static gboolean read_digits(const char *text, guint64 *value)
{
    *value = 0;
    const char *p = text;
    for (; g_ascii_isdigit(*p); p++)
        if (!g_uint64_checked_mul(value, *value, 10) ||
            !g_uint64_checked_add(value, *value, (guint64)(*p - '0')))
            return FALSE;
    return p > text && *p == '\0';
}

static gboolean read_number(const SteadField *field, const SteadNode *node, guint64 *value)
{
    return is_literal(node) && read_digits(node->text, value) && *value >= field->min &&
           *value <= field->max;
}

static void decode_uint(Decoder *decoder, const SteadField *field, const SteadNode *node,
                        gpointer object, const SteadPath *path)
{
    guint64 value;
    if (read_number(field, node, &value))
        *(guint *)stead_member(field, object) = (guint)value;
    else
        wrong_value(decoder, field, node, path);
}

static void decode_number(Decoder *decoder, const SteadField *field, const SteadNode *node,
                          gpointer object, const SteadPath *path)
{
    guint64 value;
    if (read_number(field, node, &value))
        *(guint64 *)stead_member(field, object) = value;
    else
        wrong_value(decoder, field, node, path);
}

typedef gboolean (*ParseUnits)(const char *text, guint64 *value, GError **error);

static void decode_units(Decoder *decoder, const SteadField *field, const SteadNode *node,
                         gpointer object, const SteadPath *path, ParseUnits parse)
{
    guint64 value;
    gboolean scalar = is_literal(node) || is_text(node);
    if (scalar && parse(node->text, &value, NULL) && value >= field->min && value <= field->max)
        *(guint64 *)stead_member(field, object) = value;
    else
        wrong_value(decoder, field, node, path);
}

static void decode_size(Decoder *decoder, const SteadField *field, const SteadNode *node,
                        gpointer object, const SteadPath *path)
{
    decode_units(decoder, field, node, object, path, stead_parse_size);
}

static void decode_duration(Decoder *decoder, const SteadField *field, const SteadNode *node,
                            gpointer object, const SteadPath *path)
{
    decode_units(decoder, field, node, object, path, stead_parse_duration);
}

static void decode_enum(Decoder *decoder, const SteadField *field, const SteadNode *node,
                        gpointer object, const SteadPath *path)
{
    int value = is_text(node) ? stead_value_of(field->names, node->text) : -1;
    if (value >= 0) {
        *(guint *)stead_member(field, object) = (guint)value;
        return;
    }
    const char *near =
        is_text(node) ? stead_near(node->text, field->names->names, field->names->n) : NULL;
    g_autofree char *expected = stead_field_expected(field);
    g_autofree char *more = near ? g_strdup_printf("did you mean '%s'?", near) : NULL;
    wrong(decoder, field, node, path, expected, more);
}

static gboolean text_is_clean(const char *text, gboolean lines)
{
    for (const char *p = text; *p; p++)
        if (g_ascii_iscntrl(*p) && !(lines && (*p == '\n' || *p == '\t' || *p == '\r')))
            return FALSE;
    return TRUE;
}

/* In a record, only what has a form: free text may come from a guest, and is what it is. */
static gboolean text_is_right(const SteadFormat *format, SteadReadMode mode, const char *text)
{
    if (mode == STEAD_READ_RECORD)
        return !format || !format->valid || format->valid(text);
    gsize max = format && format->max > 0 ? format->max : STEAD_MAX_STRING;
    return *text && strnlen(text, max + 1) <= max && text_is_clean(text, format && format->lines) &&
           (!format || !format->valid || format->valid(text));
}

/* Reads a text by the field's format; NULL after a problem. */
static char *read_text(Decoder *decoder, const SteadField *field, const SteadNode *node,
                       const SteadPath *path)
{
    if (is_text(node) && text_is_right(field->format, decoder->mode, node->text))
        return g_strdup(node->text);
    const SteadFormat *format = field->format;
    g_autofree char *more =
        is_text(node) && format && format->explain ? format->explain(node->text) : NULL;
    g_autofree char *longer = NULL;
    if (!more && is_text(node) && format && format->max > 0 && strlen(node->text) > format->max)
        more = g_strdup_printf("it may be %" G_GSIZE_FORMAT " bytes long", format->max);
    wrong(decoder, field, node, path, format ? format->what : "a text of one line", more);
    return NULL;
}

static void decode_string(Decoder *decoder, const SteadField *field, const SteadNode *node,
                          gpointer object, const SteadPath *path)
{
    char *text = read_text(decoder, field, node, path);
    if (!text)
        return;
    char **member = stead_member(field, object);
    g_free(*member);
    *member = text;
}

/* The number of items of a list or map, and a problem when that is too many. */
static gboolean few_enough(Decoder *decoder, const SteadField *field, const SteadNode *node,
                           const SteadPath *path)
{
    guint64 max = field->max > 0 ? field->max : STEAD_MAX_ITEMS, n = 0;
    for (const SteadNode *item = node->first; item; item = item->next)
        n++;
    if (n <= max)
        return TRUE;
    g_autofree char *label = stead_path_label(path);
    stead_problem_at(decoder->problems, node, path,
                     "%s has %" G_GUINT64_FORMAT " items; it may have %" G_GUINT64_FORMAT, label, n,
                     max);
    return FALSE;
}

static void decode_strings(Decoder *decoder, const SteadField *field, const SteadNode *node,
                           gpointer object, const SteadPath *path)
{
    g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
    if (node->type == STEAD_NODE_MAP || node->type == STEAD_NODE_NUMBER) {
        wrong_value(decoder, field, node, path);
    } else if (node->type != STEAD_NODE_LIST) {
        char *text = read_text(decoder, field, node, path);
        if (text)
            g_ptr_array_add(strings, text);
    } else if (few_enough(decoder, field, node, path)) {
        SteadPath item_path = {.up = path};
        for (const SteadNode *item = node->first; item; item = item->next, item_path.index++) {
            char *text = read_text(decoder, field, stead_node_real(item), &item_path);
            if (text)
                g_ptr_array_add(strings, text);
        }
    }
    g_ptr_array_add(strings, NULL);
    GStrv *member = stead_member(field, object);
    g_strfreev(*member);
    *member = (GStrv)g_ptr_array_free(g_steal_pointer(&strings), FALSE);
}

static void decode_object_field(Decoder *decoder, const SteadField *field, const SteadNode *node,
                                gpointer object, const SteadPath *path)
{
    decode_struct(decoder, field->table, node, stead_member(field, object), path, TRUE);
}

static void decode_pointer(Decoder *decoder, const SteadField *field, const SteadNode *node,
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

static gboolean has_brief(const SteadTable *table)
{
    return table->brief || table->parse;
}

/* "networks: lab": the short form of an item stands for a list of it. */
static gboolean is_one_item(const SteadField *field, const SteadNode *node)
{
    return (is_text(node) || is_literal(node)) && has_brief(field->table);
}

static void decode_objects(Decoder *decoder, const SteadField *field, const SteadNode *node,
                           gpointer object, const SteadPath *path)
{
    GPtrArray *array = *(GPtrArray **)stead_member(field, object);
    if (is_one_item(field, node)) {
        g_ptr_array_set_size(array, 0);
        decode_struct(decoder, field->table, node, add_item(field, object), path, FALSE);
        return;
    }
    if (node->type != STEAD_NODE_LIST) {
        wrong_value(decoder, field, node, path);
        return;
    }
    if (!few_enough(decoder, field, node, path))
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

static void given_twice(Decoder *decoder, const SteadNode *item, const SteadNode *first,
                        const SteadPath *path)
{
    stead_problem_at_key(decoder->problems, item, path, "'%s' is given twice (first in line %u)",
                         item->key, first->key_line);
}

/* A name in a map: right in itself, and new to the map. */
static void check_key(Decoder *decoder, const SteadField *field, const SteadNode *item,
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

static void decode_map(Decoder *decoder, const SteadField *field, const SteadNode *node,
                       gpointer object, const SteadPath *path)
{
    GPtrArray *names = *stead_member_names(field, object);
    if (node->type != STEAD_NODE_MAP) {
        wrong_value(decoder, field, node, path);
        return;
    }
    if (!few_enough(decoder, field, node, path))
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

static void decode_json(Decoder *decoder, const SteadField *field, const SteadNode *node,
                        gpointer object, const SteadPath *path)
{
    JsonNode **member = stead_member(field, object);
    if (!node->json) {
        wrong_value(decoder, field, node, path);
        return;
    }
    g_clear_pointer(member, json_node_unref);
    *member = json_node_ref(node->json);
}

static const DecodeFunc decoders[STEAD_N_FIELD_TYPES] = {
    [STEAD_FIELD_BOOL] = decode_bool,           [STEAD_FIELD_UINT] = decode_uint,
    [STEAD_FIELD_NUMBER] = decode_number,       [STEAD_FIELD_SIZE] = decode_size,
    [STEAD_FIELD_DURATION] = decode_duration,   [STEAD_FIELD_ENUM] = decode_enum,
    [STEAD_FIELD_STRING] = decode_string,       [STEAD_FIELD_STRINGS] = decode_strings,
    [STEAD_FIELD_OBJECT] = decode_object_field, [STEAD_FIELD_POINTER] = decode_pointer,
    [STEAD_FIELD_OBJECTS] = decode_objects,     [STEAD_FIELD_MAP] = decode_map,
    [STEAD_FIELD_JSON] = decode_json,
};

/* The field that an unknown word most probably means; NULL when none is near. */
static const char *nearest_field(const SteadTable *table, const char *word)
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

static void unknown_field(Decoder *decoder, const SteadTable *table, const SteadNode *item,
                          const SteadPath *path)
{
    const char *near = nearest_field(table, item->key);
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
static guint field_index(const SteadTable *table, const char *name, guint guess)
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
static gboolean counts_as_absent(const Decoder *decoder, const SteadField *field,
                                 const SteadNode *node)
{
    return node->type == STEAD_NODE_NULL &&
           (decoder->mode == STEAD_READ_RECORD || is_container(field));
}

static void decode_fields(Decoder *decoder, const SteadTable *table, const SteadNode *node,
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

static void check_required(Decoder *decoder, const SteadTable *table, const SteadNode *node,
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
static gboolean decode_brief(Decoder *decoder, const SteadTable *table, const SteadNode *node,
                             gpointer object, const SteadPath *path, guint64 *given)
{
    if (table->brief) {
        const SteadField *field = stead_table_find(table, table->brief);
        *given |= G_GUINT64_CONSTANT(1) << (field - table->fields);
        decoders[field->type](decoder, field, node, object, path);
        return TRUE;
    }
    if (!table->parse)
        return FALSE;
    *given = G_MAXUINT64;
    if (!is_text(node) || !table->parse(node->text, object)) {
        static const SteadField no_field = {0};
        wrong(decoder, &no_field, node, path, table->brief_format->what, NULL);
    }
    return TRUE;
}

static void wrong_struct(Decoder *decoder, const SteadTable *table, const SteadNode *node,
                         const SteadPath *path)
{
    static const SteadField no_field = {0};
    g_autofree char *brief = table->brief
                                 ? stead_field_expected(stead_table_find(table, table->brief))
                             : table->parse ? g_strdup(table->brief_format->what)
                                            : NULL;
    g_autofree char *expected =
        g_strconcat(brief ? brief : "", brief ? ", or " : "", "a mapping of fields", NULL);
    wrong(decoder, &no_field, node, path, expected, NULL);
}

/* Checks an object as a whole: where its parts are right, or where the check does not mind. */
static void check_struct(Decoder *decoder, const SteadTable *table, const SteadNode *node,
                         gpointer object, const SteadPath *path, gboolean sound)
{
    SteadWhere where = {.problems = decoder->problems, .node = node, .path = path};
    if (table->check && decoder->mode == STEAD_READ_SPEC && (sound || table->check_always))
        table->check(object, &where);
}

static void decode_struct(Decoder *decoder, const SteadTable *table, const SteadNode *node,
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

void stead_object_decode(const SteadTable *table, const SteadNode *node, gpointer object,
                         SteadReadMode mode, SteadProblems *problems)
{
    Decoder decoder = {.mode = mode, .problems = problems};
    SteadPath root = {0};
    decode_struct(&decoder, table, stead_node_real(node), object, &root, FALSE);
}
