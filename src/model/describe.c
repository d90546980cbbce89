/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields in words: what is expected, what the default is, what a value looks like in YAML. The
 * messages of the decoder, the plan that `up` shows, the schema and the manual all say it this way.
 */
#include "model/field.h"

#include <string.h>

#include "base/units.h"

#define SHOWN_BYTES 60 /* a longer text is shown by its length */

const SteadField *stead_table_field(const SteadStruct *table, const char *name)
{
    for (guint i = 0; i < table->n; i++)
        if (strcmp(table->fields[i].name, name) == 0)
            return &table->fields[i];
    return NULL;
}

/* "a, b or c" */
static char *choice(const SteadNames *names)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < names->n; i++)
        g_string_append_printf(text, "%s%s",
                               i == 0              ? ""
                               : i + 1 == names->n ? " or "
                                                   : ", ",
                               names->names[i]);
    return g_string_free(text, FALSE);
}

static char *units_range(const SteadField *field, const char *noun, char *(*format)(guint64))
{
    g_autofree char *min = format(field->min);
    g_autofree char *max = format(field->max);
    return g_strdup_printf("a %s from %s to %s%s%s", noun, min, max,
                           field->example ? ", such as " : "",
                           field->example ? field->example : "");
}

char *stead_field_expected(const SteadField *field)
{
    const char *text = field->format ? field->format->what : "a text of one line";
    switch (field->type) {
    case STEAD_FIELD_BOOL:
        return g_strdup("true or false");
    case STEAD_FIELD_UINT:
    case STEAD_FIELD_NUMBER:
        return g_strdup_printf("a whole number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                               field->min, field->max);
    case STEAD_FIELD_SIZE:
        return units_range(field, "size", stead_format_size_exact);
    case STEAD_FIELD_DURATION:
        return units_range(field, "duration", stead_format_duration_exact);
    case STEAD_FIELD_ENUM:
        return choice(field->names);
    case STEAD_FIELD_STRING:
        return g_strdup(text);
    case STEAD_FIELD_STRINGS:
        return g_strdup_printf("a list, each item %s", text);
    case STEAD_FIELD_OBJECTS:
        return g_strdup_printf("a list, each item %s", field->table->what);
    case STEAD_FIELD_MAP:
        return g_strdup_printf("a mapping from names, each to %s", field->table->what);
    default:
        return field->table ? stead_table_expected(field->table) : g_strdup("a mapping of fields");
    }
}

char *stead_table_expected(const SteadStruct *table)
{
    g_autofree char *brief = table->brief
                                 ? stead_field_expected(stead_table_field(table, table->brief))
                                 : g_strdup(table->parse ? table->brief_format->what : NULL);
    return g_strconcat(brief ? brief : "", brief ? ", or " : "", "a mapping of fields", NULL);
}

char *stead_field_default(const SteadField *field)
{
    if (field->def_text)
        return g_strdup(field->def_text);
    switch (field->type) {
    case STEAD_FIELD_BOOL:
        return g_strdup(field->def ? "true" : "false");
    case STEAD_FIELD_ENUM:
        return g_strdup(stead_name_of(field->names, (int)field->def));
    case STEAD_FIELD_UINT:
        return field->def >= field->min ? g_strdup_printf("%u", (guint)field->def) : NULL;
    case STEAD_FIELD_SIZE:
        return field->def > 0 ? stead_format_size_exact(field->def) : NULL;
    case STEAD_FIELD_DURATION:
        return field->def > 0 ? stead_format_duration_exact(field->def) : NULL;
    default:
        return NULL;
    }
}

static void append_object(GString *out, const SteadStruct *table, gconstpointer object);

static void append_text(GString *out, const SteadField *field, const char *text)
{
    gsize n = strlen(text);
    if (field->flags & STEAD_FIELD_SECRET)
        g_string_append(out, "(hidden)");
    else if (n > SHOWN_BYTES || strchr(text, '\n'))
        g_string_append_printf(out, "(%" G_GSIZE_FORMAT " bytes)", n);
    else
        g_string_append(out, text);
}

static void append_strings(GString *out, const SteadField *field, GStrv strings)
{
    g_string_append_c(out, '[');
    for (guint i = 0; strings && strings[i]; i++) {
        g_string_append(out, i > 0 ? ", " : "");
        append_text(out, field, strings[i]);
    }
    g_string_append_c(out, ']');
}

static void append_objects(GString *out, const SteadField *field, const GPtrArray *objects)
{
    g_string_append_c(out, '[');
    for (guint i = 0; objects && i < objects->len; i++) {
        g_string_append(out, i > 0 ? ", " : "");
        append_object(out, field->table, objects->pdata[i]);
    }
    g_string_append_c(out, ']');
}

/* Appends a member's value; FALSE where it is not set. */
static gboolean append_value(GString *out, const SteadField *field, gconstpointer member)
{
    g_autofree char *text = NULL;
    switch (field->type) {
    case STEAD_FIELD_BOOL:
        g_string_append(out, *(const gboolean *)member ? "true" : "false");
        return TRUE;
    case STEAD_FIELD_ENUM:
        g_string_append(out, stead_name_of(field->names, *(const int *)member));
        return TRUE;
    case STEAD_FIELD_UINT:
        g_string_append_printf(out, "%u", *(const guint *)member);
        return *(const guint *)member >= field->min;
    case STEAD_FIELD_NUMBER:
        g_string_append_printf(out, "%" G_GUINT64_FORMAT, *(const guint64 *)member);
        return TRUE;
    case STEAD_FIELD_SIZE:
        g_string_append(out, text = stead_format_size_exact(*(const guint64 *)member));
        return *(const guint64 *)member > 0;
    case STEAD_FIELD_DURATION:
        g_string_append(out, text = stead_format_duration_exact(*(const guint64 *)member));
        return TRUE;
    case STEAD_FIELD_STRING:
        append_text(out, field, *(char *const *)member ? *(char *const *)member : "");
        return *(char *const *)member != NULL;
    case STEAD_FIELD_STRINGS:
        append_strings(out, field, *(const GStrv *)member);
        return TRUE;
    case STEAD_FIELD_OBJECT:
        append_object(out, field->table, member);
        return TRUE;
    case STEAD_FIELD_POINTER:
        append_object(out, field->table, *(gconstpointer const *)member);
        return TRUE;
    case STEAD_FIELD_OBJECTS:
    case STEAD_FIELD_MAP:
        append_objects(out, field, *(GPtrArray *const *)member);
        return TRUE;
    default:
        return FALSE;
    }
}

/* Whether nothing but the field `brief` differs from its default. */
static gboolean is_brief(const SteadStruct *table, gconstpointer object)
{
    for (guint i = 0; i < table->n; i++)
        if (strcmp(table->fields[i].name, table->brief) != 0 &&
            !stead_field_is_default(&table->fields[i], object))
            return FALSE;
    return TRUE;
}

static void append_object(GString *out, const SteadStruct *table, gconstpointer object)
{
    if (table->write) {
        g_autofree char *text = table->write(object);
        g_string_append(out, text);
        return;
    }
    if (table->brief && is_brief(table, object)) {
        const SteadField *field = stead_table_field(table, table->brief);
        append_value(out, field, stead_member(field, object));
        return;
    }
    const char *separator = "{";
    for (guint i = 0; i < table->n; i++) {
        const SteadField *field = &table->fields[i];
        if (stead_field_is_default(field, object) && !(field->flags & STEAD_FIELD_ALWAYS))
            continue;
        g_string_append_printf(out, "%s%s: ", separator, field->name);
        append_value(out, field, stead_member(field, object));
        separator = ", ";
    }
    g_string_append(out, *separator == '{' ? "{}" : "}");
}

char *stead_field_format(const SteadField *field, gconstpointer value)
{
    GString *out = g_string_new(NULL);
    return g_string_free(out, !append_value(out, field, value));
}
