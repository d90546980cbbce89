/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash by id that owns the records, a second one by name, and the store behind both.
 *
 * A record that cannot be read is left in the store as it is, and not served: whoever mends it, or
 * a newer stead that knows it, finds all that was there. What can still be read of it keeps others
 * from its name, and its id keeps what it made from being taken for nobody's.
 */
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
    GPtrArray *damaged;  /* SteadDamage */
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

/* ---- records that cannot be read ---- */

static void damage_free(gpointer data)
{
    SteadDamage *damage = data;
    g_free(damage->key);
    g_free(damage->id);
    g_free(damage->name);
    g_free(damage->why);
    g_free(damage);
}

/* A text of a record whose rest may be anything. */
static char *salvage(JsonNode *node, const char *name)
{
    JsonObject *object = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    JsonNode *member = object ? json_object_get_member(object, name) : NULL;
    return member && JSON_NODE_HOLDS_VALUE(member) ? json_node_dup_string(member) : NULL;
}

static void set_aside(SteadTable *table, const char *key, JsonNode *node, const GError *why)
{
    SteadDamage *damage = g_new0(SteadDamage, 1);
    damage->what = table->type->what;
    damage->bucket = table->type->bucket;
    damage->key = g_strdup(key);
    damage->id = salvage(node, "id");
    damage->name = salvage(node, "name");
    damage->why = g_strdup(why->message);
    g_ptr_array_add(table->damaged, damage);
}

static SteadDamage *find_damaged(SteadTable *table, const char *name_or_id)
{
    for (guint i = 0; i < table->damaged->len; i++) {
        SteadDamage *damage = table->damaged->pdata[i];
        if (g_strcmp0(damage->key, name_or_id) == 0 || g_strcmp0(damage->id, name_or_id) == 0 ||
            (table->type->unique_names && g_strcmp0(damage->name, name_or_id) == 0))
            return damage;
    }
    return NULL;
}

static gboolean fail_damaged(SteadTable *table, const SteadDamage *damage, GError **error)
{
    stead_set_error(error, STEAD_ERROR_STATE, "'stead doctor' says how to mend it.",
                    "the record of %s '%.64s' cannot be read, and is left as it is: %s",
                    table->type->what, damage->name ? damage->name : damage->key, damage->why);
    return FALSE;
}

gboolean stead_table_check_readable(SteadTable *table, const char *name_or_id, GError **error)
{
    const SteadDamage *damage = name_or_id ? find_damaged(table, name_or_id) : NULL;
    return damage == NULL || fail_damaged(table, damage, error);
}

const GPtrArray *stead_table_damaged(SteadTable *table)
{
    return table->damaged;
}

gboolean stead_table_knows(SteadTable *table, const char *id)
{
    return id && (stead_table_get(table, id) || find_damaged(table, id));
}

static void add_id(GHashTable *ids, const char *id)
{
    if (id)
        g_hash_table_add(ids, g_strdup(id));
}

void stead_table_add_ids(SteadTable *table, GHashTable *ids)
{
    GHashTableIter iter;
    gpointer id;
    g_hash_table_iter_init(&iter, table->by_id);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        add_id(ids, id);
    for (guint i = 0; i < table->damaged->len; i++) {
        const SteadDamage *damage = table->damaged->pdata[i];
        add_id(ids, damage->key);
        add_id(ids, damage->id);
    }
}

/* ---- reading and writing ---- */

/* Whether a record that could be read is the one that its place in the store says, and no other's
 * double. */
static gboolean fits(SteadTable *table, const char *key, gconstpointer record, GError **error)
{
    if (!g_str_equal(id_of(table, record), key))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "it says that it is %.64s",
                        id_of(table, record));
    else if (table->type->unique_names &&
             g_hash_table_contains(table->by_name, name_of(table, record)))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "another one has its name");
    else
        return TRUE;
    return FALSE;
}

static JsonNode *parse(const char *json, GError **error)
{
    JsonNode *node = NULL;
    if (!g_utf8_validate(json, -1, NULL))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "it is not UTF-8");
    else if ((node = json_from_string(json, error)) == NULL && error && *error == NULL)
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "it is empty");
    return node;
}

static gboolean load_one(const char *key, const char *json, gpointer data, GError **error)
{
    SteadTable *table = data;
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonNode) node = parse(json ? json : "", &why);
    gpointer record = node ? table->type->from_json(node, &why) : NULL;
    if (record && fits(table, key, record, &why)) {
        insert(table, record);
        return TRUE;
    }
    if (record)
        table->type->free(record);
    set_aside(table, key, node, why);
    return TRUE;
}

SteadTable *stead_table_load(SteadStore *store, const SteadTableType *type, GError **error)
{
    SteadTable *table = g_new0(SteadTable, 1);
    table->store = store;
    table->type = type;
    table->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, type->free);
    table->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    table->damaged = g_ptr_array_new_with_free_func(damage_free);
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
    g_ptr_array_unref(table->damaged);
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
    if (table->type->unique_names && !stead_table_check_readable(table, name, error))
        return FALSE;
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
    SteadDamage *damage = find_damaged(table, id_of(table, record));
    if (damage)
        g_ptr_array_remove_fast(table->damaged, damage);
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
    else if (record == NULL && stead_table_check_readable(table, name_or_id, error))
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
