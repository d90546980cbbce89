/* SPDX-License-Identifier: Apache-2.0 */
/* A hash by id that owns the records, a second one by name, and the store behind both. */
#include "engine/table.h"

#include <string.h>

#include "base/error.h"
#include "base/near.h"

#define MIN_ID_PREFIX 6

struct _SteadTable {
    SteadStore *store;
    const SteadTableType *type;
    GHashTable *by_id;   /* char * of the record → record; owns the record */
    GHashTable *by_name; /* likewise, borrowed; empty when names are not unique */
};

static const char *id_of(SteadTable *table, gconstpointer record)
{
    return G_STRUCT_MEMBER(char *, record, table->type->id_offset);
}

static const char *name_of(SteadTable *table, gconstpointer record)
{
    return G_STRUCT_MEMBER(char *, record, table->type->name_offset);
}

static void insert(SteadTable *table, gpointer record)
{
    g_hash_table_replace(table->by_id, (gpointer)id_of(table, record), record);
    if (table->type->unique_names)
        g_hash_table_replace(table->by_name, (gpointer)name_of(table, record), record);
}

static gboolean load_one(const char *key, const char *json, gpointer data, GError **error)
{
    SteadTable *table = data;
    g_autoptr(JsonNode) node = json_from_string(json, error);
    gpointer record = node ? table->type->from_json(node, error) : NULL;
    if (record == NULL) {
        g_prefix_error(error, "the record of %s %s: ", table->type->what, key);
        return FALSE;
    }
    insert(table, record);
    return TRUE;
}

SteadTable *stead_table_load(SteadStore *store, const SteadTableType *type, GError **error)
{
    SteadTable *table = g_new0(SteadTable, 1);
    table->store = store;
    table->type = type;
    table->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, type->free);
    table->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    if (stead_store_each(store, type->bucket, load_one, table, error))
        return table;
    stead_table_free(table);
    return NULL;
}

void stead_table_free(SteadTable *table)
{
    if (table == NULL)
        return;
    g_hash_table_unref(table->by_name);
    g_hash_table_unref(table->by_id);
    g_free(table);
}

gboolean stead_table_save(SteadTable *table, gpointer record, GError **error)
{
    g_autoptr(JsonNode) node = table->type->to_json(record);
    g_autofree char *json = json_to_string(node, FALSE);
    return stead_store_put(table->store, table->type->bucket, id_of(table, record), json, error);
}

gboolean stead_table_add(SteadTable *table, gpointer record, GError **error)
{
    const char *name = name_of(table, record);
    if (table->type->unique_names && g_hash_table_contains(table->by_name, name)) {
        stead_set_error(error, STEAD_ERROR_CONFLICT, "Choose another name, or remove it first.",
                        "there is %s %s named '%s' already",
                        strchr("aeiou", table->type->what[0]) ? "an" : "a", table->type->what,
                        name);
        return FALSE;
    }
    if (g_hash_table_size(table->by_id) >= STEAD_TABLE_MAX) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Remove some that are not needed.",
                        "there are %d %ss on record already", STEAD_TABLE_MAX, table->type->what);
        return FALSE;
    }
    return stead_table_put(table, record, error);
}

gboolean stead_table_put(SteadTable *table, gpointer record, GError **error)
{
    if (!stead_table_save(table, record, error))
        return FALSE;
    stead_table_drop(table, id_of(table, record));
    insert(table, record);
    return TRUE;
}

gboolean stead_table_erase(SteadTable *table, const char *id, GError **error)
{
    return stead_store_delete(table->store, table->type->bucket, id, error);
}

void stead_table_drop(SteadTable *table, const char *id)
{
    gpointer record = stead_table_get(table, id);
    if (record == NULL)
        return;
    if (table->type->unique_names)
        g_hash_table_remove(table->by_name, name_of(table, record));
    g_hash_table_remove(table->by_id, id_of(table, record));
}

gboolean stead_table_remove(SteadTable *table, const char *id, GError **error)
{
    if (stead_table_get(table, id) && !stead_table_erase(table, id, error))
        return FALSE;
    stead_table_drop(table, id);
    return TRUE;
}

gpointer stead_table_get(SteadTable *table, const char *id)
{
    return id ? g_hash_table_lookup(table->by_id, id) : NULL;
}

gpointer stead_table_by_name(SteadTable *table, const char *name)
{
    return name ? g_hash_table_lookup(table->by_name, name) : NULL;
}

/* The record whose id alone begins so; *ambiguous is set when there are several. */
static gpointer find_by_prefix(SteadTable *table, const char *prefix, gboolean *ambiguous)
{
    gpointer found = NULL, record;
    GHashTableIter iter;
    *ambiguous = FALSE;
    if (strlen(prefix) < MIN_ID_PREFIX)
        return NULL;
    g_hash_table_iter_init(&iter, table->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &record))
        if (g_str_has_prefix(id_of(table, record), prefix)) {
            *ambiguous = found != NULL;
            if (*ambiguous)
                return NULL;
            found = record;
        }
    return found;
}

static void set_not_found(SteadTable *table, const char *name, GError **error)
{
    guint n = 0;
    g_autofree gpointer *names = g_hash_table_get_keys_as_array(table->by_name, &n);
    const char *nearest = stead_near(name, (const char *const *)names, n);
    g_autofree char *hint = NULL;
    if (nearest)
        hint = g_strdup_printf("Did you mean '%s'?", nearest);
    else if (g_str_equal(table->type->what, "instance"))
        hint = g_strdup("'stead ls' shows what there is.");
    else
        hint = g_strdup_printf("'stead %s ls' shows what there is.", table->type->what);
    stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint, "there is no %s '%.64s'", table->type->what,
                    name);
}

gpointer stead_table_find(SteadTable *table, const char *name_or_id, GError **error)
{
    gboolean ambiguous = FALSE;
    gpointer record = stead_table_by_name(table, name_or_id);
    if (record == NULL)
        record = stead_table_get(table, name_or_id);
    if (record == NULL)
        record = find_by_prefix(table, name_or_id, &ambiguous);
    if (ambiguous)
        stead_set_error(error, STEAD_ERROR_INVALID, "Give more of the id.",
                        "several %ss have an id that begins with '%.64s'", table->type->what,
                        name_or_id);
    else if (record == NULL)
        set_not_found(table, name_or_id, error);
    return record;
}

guint stead_table_size(SteadTable *table)
{
    return g_hash_table_size(table->by_id);
}

static int compare_names(gconstpointer a, gconstpointer b, gpointer data)
{
    return strcmp(name_of(data, *(gconstpointer *)a), name_of(data, *(gconstpointer *)b));
}

GPtrArray *stead_table_list(SteadTable *table)
{
    GPtrArray *list = g_ptr_array_sized_new(g_hash_table_size(table->by_id));
    GHashTableIter iter;
    gpointer record;
    g_hash_table_iter_init(&iter, table->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &record))
        g_ptr_array_add(list, record);
    g_ptr_array_sort_with_data(list, compare_names, table);
    return list;
}
