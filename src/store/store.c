/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on SQLite: two tables, write-ahead log, every commit synced. The schema's version is
 * SQLite's user_version; each step of `migrations` brings it up by one, in one transaction, so that
 * an upgrade that is killed half-way starts over. Statements are prepared once.
 */
#include "store/store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include "base/error.h"

#define BUSY_TIMEOUT_MS 2000

static const char *const migrations[] = {
    "CREATE TABLE record (bucket TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL,"
    " PRIMARY KEY (bucket, key)) WITHOUT ROWID;"
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, json TEXT NOT NULL);",
};

typedef enum { PUT, DELETE, EACH, APPEND, PRUNE, EVENTS, LAST, N_STATEMENTS } Statement;

static const char *const statement_sql[N_STATEMENTS] = {
    [PUT] = ("INSERT INTO record (bucket, key, json) VALUES (?1, ?2, ?3)"
             " ON CONFLICT (bucket, key) DO UPDATE SET json = excluded.json"),
    [DELETE] = "DELETE FROM record WHERE bucket = ?1 AND key = ?2",
    [EACH] = "SELECT key, json FROM record WHERE bucket = ?1 ORDER BY key",
    [APPEND] = "INSERT INTO event (seq, json) VALUES (?1, ?2)",
    [PRUNE] = "DELETE FROM event WHERE seq <= ?1",
    [EVENTS] = "SELECT seq, json FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    [LAST] = "SELECT max(seq) FROM event",
};

struct _SteadStore {
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    guint depth; /* of nested begins */
};

static SteadErrorCode class_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return STEAD_ERROR_EXHAUSTED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STEAD_ERROR_BUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return STEAD_ERROR_DENIED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STEAD_ERROR_INVALID;
    default:
        return STEAD_ERROR_INTERNAL;
    }
}

static gboolean fail(SteadStore *store, const char *doing, GError **error)
{
    int code = sqlite3_extended_errcode(store->db);
    stead_set_error(error, class_of(code), NULL, "%s: %s", doing, sqlite3_errmsg(store->db));
    return FALSE;
}

static gboolean execute(SteadStore *store, const char *sql, const char *doing, GError **error)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(store, doing, error);
    return TRUE;
}

/* Runs a statement that returns no rows, and makes it ready for the next use. */
static gboolean step(SteadStore *store, Statement which, const char *doing, GError **error)
{
    sqlite3_stmt *statement = store->statements[which];
    gboolean done = sqlite3_step(statement) == SQLITE_DONE;
    if (!done)
        fail(store, doing, error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return done;
}

static void bind_text(SteadStore *store, Statement which, int at, const char *text)
{
    /* The caller's text lives until step() or walk() has returned. */
    sqlite3_bind_text(store->statements[which], at, text, -1, SQLITE_STATIC);
}

static gboolean read_number(SteadStore *store, const char *sql, gint64 *value, GError **error)
{
    sqlite3_stmt *statement = NULL;
    gboolean read = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
                    sqlite3_step(statement) == SQLITE_ROW;
    if (read)
        *value = sqlite3_column_int64(statement, 0);
    else
        fail(store, "reading the records", error);
    sqlite3_finalize(statement);
    return read;
}

static gboolean migrate(SteadStore *store, GError **error)
{
    gint64 version = 0;
    if (!read_number(store, "PRAGMA user_version", &version, error))
        return FALSE;
    if (version > (gint64)G_N_ELEMENTS(migrations)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Install the version of stead that wrote them.",
                        "the records were written by a newer stead (schema %" G_GINT64_FORMAT
                        ", this one knows %u)",
                        version, (guint)G_N_ELEMENTS(migrations));
        return FALSE;
    }
    for (gsize i = (gsize)version; i < G_N_ELEMENTS(migrations); i++) {
        g_autofree char *sql = g_strdup_printf(
            "BEGIN IMMEDIATE; %s PRAGMA user_version = %u; COMMIT;", migrations[i], (guint)i + 1);
        if (!execute(store, sql, "upgrading the records", error))
            return FALSE;
    }
    return TRUE;
}

static gboolean prepare(SteadStore *store, GError **error)
{
    for (int i = 0; i < N_STATEMENTS; i++)
        if (sqlite3_prepare_v3(store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK)
            return fail(store, "preparing the records", error);
    return TRUE;
}

SteadStore *stead_store_open(const char *path, GError **error)
{
    g_autoptr(SteadStore) store = g_new0(SteadStore, 1);
    mode_t mask = umask(077); /* records are for root alone, from birth */
    int opened =
        sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    umask(mask);
    g_autofree char *doing = g_strdup_printf("opening %s", path);
    if (opened != SQLITE_OK) {
        fail(store, doing, error);
        return NULL;
    }
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    if (!execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", doing, error) ||
        !migrate(store, error) || !prepare(store, error)) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return g_steal_pointer(&store);
}

void stead_store_free(SteadStore *store)
{
    if (store == NULL)
        return;
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    g_free(store);
}

gboolean stead_store_begin(SteadStore *store, GError **error)
{
    if (store->depth == 0 && !execute(store, "BEGIN IMMEDIATE", "writing records", error))
        return FALSE;
    store->depth++;
    return TRUE;
}

gboolean stead_store_commit(SteadStore *store, GError **error)
{
    g_return_val_if_fail(store->depth > 0, FALSE);
    if (--store->depth > 0)
        return TRUE;
    if (execute(store, "COMMIT", "writing records", error))
        return TRUE;
    store->depth = 1;
    stead_store_rollback(store);
    return FALSE;
}

void stead_store_rollback(SteadStore *store)
{
    store->depth = 0;
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

gboolean stead_store_put(SteadStore *store, const char *bucket, const char *key, const char *json,
                         GError **error)
{
    bind_text(store, PUT, 1, bucket);
    bind_text(store, PUT, 2, key);
    bind_text(store, PUT, 3, json);
    return step(store, PUT, "writing a record", error);
}

gboolean stead_store_delete(SteadStore *store, const char *bucket, const char *key, GError **error)
{
    bind_text(store, DELETE, 1, bucket);
    bind_text(store, DELETE, 2, key);
    return step(store, DELETE, "removing a record", error);
}

static gboolean walk(SteadStore *store, Statement which, SteadStoreFunc func, gpointer data,
                     GError **error)
{
    sqlite3_stmt *statement = store->statements[which];
    gboolean going = TRUE;
    int code = SQLITE_DONE;
    while (going && (code = sqlite3_step(statement)) == SQLITE_ROW)
        going = func((const char *)sqlite3_column_text(statement, 0),
                     (const char *)sqlite3_column_text(statement, 1), data, error);
    if (going && code != SQLITE_DONE)
        going = fail(store, "reading the records", error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return going;
}

gboolean stead_store_each(SteadStore *store, const char *bucket, SteadStoreFunc func, gpointer data,
                          GError **error)
{
    bind_text(store, EACH, 1, bucket);
    return walk(store, EACH, func, data, error);
}

guint64 stead_store_last_event(SteadStore *store)
{
    sqlite3_stmt *statement = store->statements[LAST];
    guint64 last = 0;
    if (sqlite3_step(statement) == SQLITE_ROW)
        last = (guint64)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return last;
}

gboolean stead_store_append_event(SteadStore *store, guint64 seq, const char *json, GError **error)
{
    sqlite3_bind_int64(store->statements[APPEND], 1, (gint64)seq);
    bind_text(store, APPEND, 2, json);
    if (!step(store, APPEND, "writing an event", error))
        return FALSE;
    if (seq <= STEAD_STORE_MAX_EVENTS)
        return TRUE;
    sqlite3_bind_int64(store->statements[PRUNE], 1, (gint64)seq - STEAD_STORE_MAX_EVENTS);
    return step(store, PRUNE, "dropping old events", error);
}

gboolean stead_store_events(SteadStore *store, guint64 since, guint limit, SteadStoreFunc func,
                            gpointer data, GError **error)
{
    sqlite3_bind_int64(store->statements[EVENTS], 1, (gint64)MIN(since, (guint64)G_MAXINT64));
    sqlite3_bind_int64(store->statements[EVENTS], 2, limit);
    return walk(store, EVENTS, func, data, error);
}
