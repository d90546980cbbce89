/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the fields that are one value, and lists of texts. Types are never guessed: a quoted "4"
 * is no number and a JSON 4 is no name.
 */
#include "model/decode.h"

#include <string.h>

#include "base/near.h"
#include "base/units.h"

void stead_decode_wrong(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
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

void stead_decode_wrong_value(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                              const SteadPath *path)
{
    g_autofree char *expected = stead_field_expected(field);
    gboolean quoted = node->type == STEAD_NODE_STRING && field->type != STEAD_FIELD_STRING &&
                      field->type != STEAD_FIELD_STRINGS && g_ascii_isalnum(*node->text);
    stead_decode_wrong(decoder, field, node, path, expected,
                       quoted && field->type < STEAD_FIELD_SIZE ? "write it without quotes" : NULL);
}

void stead_decode_bool(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                       gpointer object, const SteadPath *path)
{
    gboolean *value = stead_member(field, object);
    if (stead_node_is_literal(node) && g_ascii_strcasecmp(node->text, "true") == 0)
        *value = TRUE;
    else if (stead_node_is_literal(node) && g_ascii_strcasecmp(node->text, "false") == 0)
        *value = FALSE;
    else
        stead_decode_wrong_value(decoder, field, node, path);
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
    return stead_node_is_literal(node) && read_digits(node->text, value) && *value >= field->min &&
           *value <= field->max;
}

void stead_decode_uint(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                       gpointer object, const SteadPath *path)
{
    guint64 value;
    if (read_number(field, node, &value))
        *(guint *)stead_member(field, object) = (guint)value;
    else
        stead_decode_wrong_value(decoder, field, node, path);
}

void stead_decode_number(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                         gpointer object, const SteadPath *path)
{
    guint64 value;
    if (read_number(field, node, &value))
        *(guint64 *)stead_member(field, object) = value;
    else
        stead_decode_wrong_value(decoder, field, node, path);
}

typedef gboolean (*ParseUnits)(const char *text, guint64 *value, GError **error);

static void decode_units(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                         gpointer object, const SteadPath *path, ParseUnits parse)
{
    guint64 value;
    gboolean scalar = stead_node_is_literal(node) || stead_node_is_text(node);
    if (scalar && parse(node->text, &value, NULL) && value >= field->min && value <= field->max)
        *(guint64 *)stead_member(field, object) = value;
    else
        stead_decode_wrong_value(decoder, field, node, path);
}

void stead_decode_size(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                       gpointer object, const SteadPath *path)
{
    decode_units(decoder, field, node, object, path, stead_parse_size);
}

void stead_decode_duration(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                           gpointer object, const SteadPath *path)
{
    decode_units(decoder, field, node, object, path, stead_parse_duration);
}

void stead_decode_enum(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                       gpointer object, const SteadPath *path)
{
    int value = stead_node_is_text(node) ? stead_value_of(field->names, node->text) : -1;
    if (value >= 0) {
        *(guint *)stead_member(field, object) = (guint)value;
        return;
    }
    const char *near = stead_node_is_text(node)
                           ? stead_near(node->text, field->names->names, field->names->n)
                           : NULL;
    g_autofree char *expected = stead_field_expected(field);
    g_autofree char *more = near ? g_strdup_printf("did you mean '%s'?", near) : NULL;
    stead_decode_wrong(decoder, field, node, path, expected, more);
}

static gboolean text_is_clean(const char *text, gboolean lines)
{
    for (const char *p = text; *p; p++)
        if (g_ascii_iscntrl(*p) && !(lines && (*p == '\n' || *p == '\t' || *p == '\r')))
            return FALSE;
    return TRUE;
}

/* In a record, only what has a form: free text may come from a guest, and is what it is. */
static gboolean text_is_right(const SteadText *format, SteadReadMode mode, const char *text)
{
    if (mode == STEAD_READ_RECORD)
        return !format || !format->valid || format->valid(text);
    gsize max = format && format->max > 0 ? format->max : STEAD_MAX_STRING;
    return *text && strnlen(text, max + 1) <= max && text_is_clean(text, format && format->lines) &&
           (!format || !format->valid || format->valid(text));
}

/* Reads a text by the field's format; NULL after a problem. */
static char *read_text(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                       const SteadPath *path)
{
    if (stead_node_is_text(node) && text_is_right(field->format, decoder->mode, node->text))
        return g_strdup(node->text);
    const SteadText *format = field->format;
    g_autofree char *more =
        stead_node_is_text(node) && format && format->explain ? format->explain(node->text) : NULL;
    if (!more && stead_node_is_text(node) && format && format->max > 0 &&
        strlen(node->text) > format->max)
        more = g_strdup_printf("it may be %" G_GSIZE_FORMAT " bytes long", format->max);
    stead_decode_wrong(decoder, field, node, path, format ? format->what : "a text of one line",
                       more);
    return NULL;
}

void stead_decode_string(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
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
gboolean stead_decode_few_enough(SteadDecoder *decoder, const SteadField *field,
                                 const SteadNode *node, const SteadPath *path)
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

void stead_decode_strings(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                          gpointer object, const SteadPath *path)
{
    g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
    if (node->type == STEAD_NODE_MAP || node->type == STEAD_NODE_NUMBER) {
        stead_decode_wrong_value(decoder, field, node, path);
    } else if (node->type != STEAD_NODE_LIST) {
        char *text = read_text(decoder, field, node, path);
        if (text)
            g_ptr_array_add(strings, text);
    } else if (stead_decode_few_enough(decoder, field, node, path)) {
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
