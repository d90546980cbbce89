/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields as a manual page: a section for each table, in the order in which a reader meets them,
 * and a tagged paragraph for each field.
 */
#include "model/field.h"
#include "model/roff.h"
#include "model/spec-fields.h"

static void append_line(GString *out, const char *before, const char *text, const char *after)
{
    g_string_append(out, before);
    stead_roff_append(out, text);
    g_string_append(out, after);
}

static char *section_title(const SteadStruct *table)
{
    g_autofree char *what = g_ascii_strup(table->what, -1);
    return g_strconcat("FIELDS OF ", what, NULL);
}

static void append_field(GString *out, const SteadField *field)
{
    static const char *const effects[] = {
        [STEAD_EFFECT_NOW] = NULL,
        [STEAD_EFFECT_RESTART] = "A change takes effect at the next start.",
        [STEAD_EFFECT_RECREATE] = "A change takes effect only in a new one.",
    };
    g_autofree char *expected = stead_field_expected(field);
    g_autofree char *value = stead_field_default(field);
    append_line(out, ".TP\n.B ", field->name, "\n");
    append_line(out, "", field->doc, "\n");
    append_line(out, "Expected: ", expected, ".\n");
    if (field->table) {
        g_autofree char *title = section_title(field->table);
        append_line(out, "See ", title, ".\n");
    }
    if (field->flags & STEAD_FIELD_REQUIRED)
        g_string_append(out, "Required.\n");
    if (value)
        append_line(out, "Default: ", value, ".\n");
    if (effects[field->effect])
        append_line(out, "", effects[field->effect], "\n");
    if (field->example) {
        g_autofree char *example = g_strdup_printf("%s: %s", field->name, field->example);
        append_line(out, "Example:\n.RS\n.nf\n", example, "\n.fi\n.RE\n");
    }
}

/* The section of a table, then those of the tables that it mentions; `done` has what was there. */
static void append_table(GString *out, const SteadStruct *table, GHashTable *done)
{
    if (!g_hash_table_add(done, (gpointer)table))
        return;
    g_autofree char *title = section_title(table);
    append_line(out, ".SH \"", title, "\"\n");
    append_line(out, "", table->doc, "\n");
    for (guint i = 0; i < table->n; i++)
        append_field(out, &table->fields[i]);
    for (guint i = 0; i < table->n; i++)
        if (table->fields[i].table)
            append_table(out, table->fields[i].table, done);
}

void stead_table_manual(const SteadStruct *table, GString *out)
{
    g_autoptr(GHashTable) done = g_hash_table_new(NULL, NULL);
    append_table(out, table, done);
}

char *stead_spec_manual(void)
{
    GString *out = g_string_new(NULL);
    stead_table_manual(&stead_spec_table, out);
    return g_string_free(out, FALSE);
}
