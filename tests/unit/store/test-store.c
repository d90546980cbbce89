/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"

typedef struct {
    char *dir;
    char *path;
    SteadStore *store;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-store-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "stead.db", NULL);
    f->store = stead_store_open(f->path, NULL);
    g_assert_nonnull(f->store);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_store_free(f->store);
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->path);
}

static void reopen(Fixture *f)
{
    stead_store_free(f->store);
    f->store = stead_store_open(f->path, NULL);
    g_assert_nonnull(f->store);
}

static gboolean collect(const char *key, const char *json, gpointer data, GError **error)
{
    g_string_append_printf(data, "%s=%s;", key, json);
    return TRUE;
}

static void assert_bucket(Fixture *f, const char *bucket, const char *expected)
{
    g_autoptr(GString) found = g_string_new(NULL);
    g_assert_true(stead_store_each(f->store, bucket, collect, found, NULL));
    g_assert_cmpstr(found->str, ==, expected);
}

static void test_documents_last(Fixture *f, gconstpointer unused)
{
    g_assert_true(stead_store_put(f->store, "instance", "b", "{\"n\":1}", NULL));
    g_assert_true(stead_store_put(f->store, "instance", "a", "{}", NULL));
    g_assert_true(stead_store_put(f->store, "network", "a", "[]", NULL));
    g_assert_true(stead_store_put(f->store, "instance", "b", "{\"n\":2}", NULL));
    reopen(f);
    assert_bucket(f, "instance", "a={};b={\"n\":2};");
    g_assert_true(stead_store_delete(f->store, "instance", "a", NULL));
    g_assert_true(stead_store_delete(f->store, "instance", "a", NULL));
    assert_bucket(f, "instance", "b={\"n\":2};");
    assert_bucket(f, "network", "a=[];");
}

static void test_rolled_back_changes_are_gone(Fixture *f, gconstpointer unused)
{
    g_assert_true(stead_store_begin(f->store, NULL));
    g_assert_true(stead_store_begin(f->store, NULL));
    g_assert_true(stead_store_put(f->store, "x", "a", "1", NULL));
    g_assert_true(stead_store_commit(f->store, NULL));
    stead_store_rollback(f->store);
    assert_bucket(f, "x", "");
    g_assert_true(stead_store_begin(f->store, NULL));
    g_assert_true(stead_store_put(f->store, "x", "a", "2", NULL));
    g_assert_true(stead_store_commit(f->store, NULL));
    reopen(f);
    assert_bucket(f, "x", "a=2;");
}

static void test_hostile_text_is_kept_as_it_is(Fixture *f, gconstpointer unused)
{
    const char *text = "'; DROP TABLE record; -- \xf0\x9f\x98\x80";
    g_assert_true(stead_store_put(f->store, text, text, text, NULL));
    g_autofree char *expected = g_strdup_printf("%s=%s;", text, text);
    assert_bucket(f, text, expected);
}

static void test_events_are_numbered_and_pruned(Fixture *f, gconstpointer unused)
{
    g_assert_cmpuint(stead_store_last_event(f->store), ==, 0);
    g_assert_true(stead_store_begin(f->store, NULL));
    for (guint64 seq = 1; seq <= STEAD_STORE_MAX_EVENTS + 5; seq++)
        g_assert_true(stead_store_append_event(f->store, seq, "{}", NULL));
    g_assert_true(stead_store_commit(f->store, NULL));
    reopen(f);
    g_assert_cmpuint(stead_store_last_event(f->store), ==, STEAD_STORE_MAX_EVENTS + 5);

    g_autoptr(GString) first = g_string_new(NULL);
    g_assert_true(stead_store_events(f->store, 0, 1, collect, first, NULL));
    g_assert_cmpstr(first->str, ==, "6={};");
    g_autoptr(GString) last = g_string_new(NULL);
    g_assert_true(
        stead_store_events(f->store, STEAD_STORE_MAX_EVENTS + 3, 10, collect, last, NULL));
    g_assert_cmpstr(last->str, ==, "10004={};10005={};");
}

static void test_only_the_owner_may_read(Fixture *f, gconstpointer unused)
{
    struct stat st;
    g_assert_cmpint(stat(f->path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 077, ==, 0);
}

static void test_damaged_file_is_refused_and_kept(Fixture *f, gconstpointer unused)
{
    g_autofree char *path = g_build_filename(f->dir, "damaged.db", NULL);
    g_autofree char *noise = g_strnfill(8192, 'x');
    g_assert_true(stead_write_file(path, noise, -1, 0600, NULL));
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_store_open(path, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_autofree char *kept = NULL;
    g_assert_true(g_file_get_contents(path, &kept, NULL, NULL));
    g_assert_cmpstr(kept, ==, noise);
}

static void test_newer_schema_is_refused(Fixture *f, gconstpointer unused)
{
    sqlite3 *db = NULL;
    g_assert_cmpint(sqlite3_open(f->path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), ==, SQLITE_OK);
    sqlite3_close(db);
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_store_open(f->path, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_nonnull(stead_error_hint(error));
}

/* A child that is killed while it writes: what it committed is there, and nothing half. */
static void test_a_killed_writer_loses_no_commit(Fixture *f, gconstpointer unused)
{
    int pipe_fds[2];
    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    pid_t child = fork();
    if (child == 0) {
        SteadStore *store = stead_store_open(f->path, NULL);
        for (guint64 n = 1;; n++) {
            g_autofree char *json = g_strdup_printf("%" G_GUINT64_FORMAT, n);
            if (!stead_store_begin(store, NULL) ||
                !stead_store_put(store, "pair", "a", json, NULL) ||
                !stead_store_put(store, "pair", "b", json, NULL) ||
                !stead_store_commit(store, NULL) || write(pipe_fds[1], &n, sizeof n) != sizeof n)
                _exit(1);
        }
    }
    close(pipe_fds[1]);
    guint64 told = 0;
    while (told < 20)
        g_assert_cmpint(read(pipe_fds[0], &told, sizeof told), ==, sizeof told);
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
    while (read(pipe_fds[0], &told, sizeof told) == sizeof told)
        continue;
    close(pipe_fds[0]);

    reopen(f);
    g_autoptr(GString) found = g_string_new(NULL);
    g_assert_true(stead_store_each(f->store, "pair", collect, found, NULL));
    guint64 a = 0, b = 0;
    g_assert_cmpint(sscanf(found->str, "a=%" G_GUINT64_FORMAT ";b=%" G_GUINT64_FORMAT, &a, &b), ==,
                    2);
    g_assert_cmpuint(a, ==, b);
    g_assert_cmpuint(a, >=, told);
}

#define ADD(path, func) g_test_add("/store/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("documents-last", test_documents_last);
    ADD("rolled-back-changes-are-gone", test_rolled_back_changes_are_gone);
    ADD("hostile-text-is-kept-as-it-is", test_hostile_text_is_kept_as_it_is);
    ADD("events-are-numbered-and-pruned", test_events_are_numbered_and_pruned);
    ADD("only-the-owner-may-read", test_only_the_owner_may_read);
    ADD("damaged-file-is-refused-and-kept", test_damaged_file_is_refused_and_kept);
    ADD("newer-schema-is-refused", test_newer_schema_is_refused);
    ADD("a-killed-writer-loses-no-commit", test_a_killed_writer_loses_no_commit);
    return g_test_run();
}
