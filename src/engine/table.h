/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of one type, in memory for reading and written through to the store. Main loop only.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "store/store.h"

/* What a table needs to know of its records. The id is never changed; the name may be. */
typedef struct {
    const char *bucket; /* in the store */
    const char *what;   /* in messages: "instance" */
    JsonNode *(*to_json)(gconstpointer record);
    gpointer (*from_json)(JsonNode *node, GError **error);
    GDestroyNotify free;
    gsize id_offset; /* of a char * */
    gsize name_offset;
    gboolean unique_names; /* and found by name */
} SteadTableType;

typedef struct _SteadTable SteadTable;

/* Records of one type; one more is refused (EXHAUSTED). */
#define STEAD_TABLE_MAX 10000

/* Loads all records of the type. One that cannot be read is set aside: it stays in the store as it
 * is. Fails only where the store does. */
SteadTable *stead_table_load(SteadStore *store, const SteadTableType *type, GError **error);
void stead_table_free(SteadTable *table);

/* A record that was set aside. */
typedef struct {
    const char *what, *bucket; /* its type's */
    char *key;                 /* in the store: its id, or that of an image its name */
    char *id, *name;           /* as far as they can still be read; NULL */
    char *why;
} SteadDamage;

/* SteadDamage, owned by the table; valid until a record is put in. */
const GPtrArray *stead_table_damaged(SteadTable *table);
/* FALSE (STATE, with the reason) when the record of that name or id was set aside. */
gboolean stead_table_check_readable(SteadTable *table, const char *name_or_id, GError **error);
/* Whether there is a record with the id, be it set aside. */
gboolean stead_table_knows(SteadTable *table, const char *id);
/* Adds copies of the ids of all records to a set, also of those that were set aside. */
void stead_table_add_ids(SteadTable *table, GHashTable *ids);

/* Writes a record that is in the table and was changed, or adds a new one (taken over on success
 * only; CONFLICT when the name is taken, STATE when it is that of a record that was set aside,
 * EXHAUSTED when there are too many). */
gboolean stead_table_save(SteadTable *table, gpointer record, GError **error);
gboolean stead_table_add(SteadTable *table, gpointer record, GError **error);
/* As add, but takes the place of a record with the same id, which is freed, or was set aside. */
gboolean stead_table_put(SteadTable *table, gpointer record, GError **error);
/* Removes and frees the record. */
gboolean stead_table_remove(SteadTable *table, const char *id, GError **error);
/* The two halves of a removal, for one that goes with other changes in one transaction: erase from
 * the store, commit, and only then drop (and free) what is in memory. */
gboolean stead_table_erase(SteadTable *table, const char *id, GError **error);
void stead_table_drop(SteadTable *table, const char *id);

/* By id; NULL when there is none. */
gpointer stead_table_get(SteadTable *table, const char *id);
/* By name, id, or an unambiguous beginning of the id of at least 6 characters. NOT_FOUND with the
 * nearest name as a hint; STATE when its record was set aside. */
gpointer stead_table_find(SteadTable *table, const char *name_or_id, GError **error);
/* By exact name only, without an error. */
gpointer stead_table_by_name(SteadTable *table, const char *name);

guint stead_table_size(SteadTable *table);
/* All records in the order of their names; the list is owned by the caller, its items are not. */
GPtrArray *stead_table_list(SteadTable *table);
