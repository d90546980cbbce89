/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two structs, field by field. Structs within structs are entered, so that
 * each change has the path and the effect of the very field; a list is one value, because its
 * items have no identity to follow.
 */
#include "model/field.h"

static void free_change(gpointer data)
{
    SteadChange *change = data;
    g_free(change->field);
    g_free(change->from);
    g_free(change->to);
    g_free(change);
}

static void add_change(const SteadField *field, gconstpointer from, gconstpointer to,
                       const char *prefix, GPtrArray *changes)
{
    SteadChange *change = g_new0(SteadChange, 1);
    change->field = g_strconcat(prefix, field->name, NULL);
    change->from = stead_field_format(field, stead_member(field, from));
    change->to = stead_field_format(field, stead_member(field, to));
    change->effect = field->effect;
    g_ptr_array_add(changes, change);
}

void stead_object_diff(const SteadStruct *table, gconstpointer from, gconstpointer to,
                       const char *prefix, GPtrArray *changes)
{
    for (guint i = 0; i < table->n; i++) {
        const SteadField *field = &table->fields[i];
        if (stead_field_equal(field, from, to))
            continue;
        if (field->type != STEAD_FIELD_OBJECT) {
            add_change(field, from, to, prefix, changes);
            continue;
        }
        g_autofree char *inner = g_strconcat(prefix, field->name, ".", NULL);
        stead_object_diff(field->table, stead_member(field, from), stead_member(field, to), inner,
                          changes);
    }
}

GPtrArray *stead_changes_new(void)
{
    return g_ptr_array_new_with_free_func(free_change);
}
