/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable records: documents by bucket and key, and a log of events. Nothing of what a document
 * means is known here, so that a store of several hosts can stand behind the same functions.
 *
 * A change is on disk when the function returns: a record is written before what it describes is
 * made, and removed after that is gone, so nothing on the host is ever without a record. Calls are
 * made on one thread (the main loop's) and take well under a millisecond, plus one fsync for a
 * commit.
 */
#pragma once

#include <glib.h>

typedef struct _SteadStore SteadStore;

/* Opens or makes the store. Fails with DENIED, EXHAUSTED, BUSY (another process writes to it), or
 * INVALID where the file is damaged or was written by a newer version; it is then left alone. */
SteadStore *stead_store_open(const char *path, GError **error);
void stead_store_free(SteadStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadStore, stead_store_free)

/* Between begin and commit, changes are one: all of them last or none. Begins may nest; the
 * outermost commit counts. Rollback undoes all since the outermost begin. */
gboolean stead_store_begin(SteadStore *store, GError **error);
gboolean stead_store_commit(SteadStore *store, GError **error);
void stead_store_rollback(SteadStore *store);

/* Writes a document, new or changed. */
gboolean stead_store_put(SteadStore *store, const char *bucket, const char *key, const char *json,
                         GError **error);
/* Success also when there is no such document. */
gboolean stead_store_delete(SteadStore *store, const char *bucket, const char *key, GError **error);

/* Called for each document in the order of keys; FALSE with `error` set ends the walk. */
typedef gboolean (*SteadStoreFunc)(const char *key, const char *json, gpointer data,
                                   GError **error);
gboolean stead_store_each(SteadStore *store, const char *bucket, SteadStoreFunc func, gpointer data,
                          GError **error);

/* The number of the last event ever written; 0 when there was none. */
guint64 stead_store_last_event(SteadStore *store);
/* `seq` is above all earlier ones. Old events are dropped beyond STEAD_STORE_MAX_EVENTS. */
#define STEAD_STORE_MAX_EVENTS 10000
gboolean stead_store_append_event(SteadStore *store, guint64 seq, const char *json, GError **error);
/* Events with a number above `since`, oldest first; key is the number in decimal. */
gboolean stead_store_events(SteadStore *store, guint64 since, guint limit, SteadStoreFunc func,
                            gpointer data, GError **error);
