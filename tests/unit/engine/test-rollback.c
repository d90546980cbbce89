/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change that cannot be written did not happen: neither in the store nor in memory. A trigger
 * makes the store refuse what a test says it does. The engine behind it has neither runtime nor
 * libvirt: none of what is tried here gets as far.
 */
#include <sqlite3.h>
#include <string.h>

#include "base/error.h"
#include "engine/state.h"

typedef struct {
    char *dir, *db;
    SteadPaths *paths;
    SteadEngine engine;
    SteadInstance *web;
} Fixture;

/* Behind the store's back. */
static void execute(Fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    g_assert_cmpint(sqlite3_open(f->db, &db), ==, SQLITE_OK);
    sqlite3_exec(db, sql, NULL, NULL, &why);
    g_assert_cmpstr(why, ==, NULL);
    sqlite3_close(db);
}

static void refuse(Fixture *f, const char *what)
{
    g_autofree char *sql = g_strdup_printf("CREATE TRIGGER refuse BEFORE %s ON record BEGIN "
                                           "SELECT RAISE(ABORT, 'the disk is on fire'); END",
                                           what);
    execute(f, sql);
}

static SteadInstance *add_instance(Fixture *f, const char *name)
{
    SteadInstance *instance = g_new0(SteadInstance, 1);
    instance->id = g_uuid_string_random();
    instance->name = g_strdup(name);
    instance->kind = STEAD_KIND_VM;
    instance->state = STEAD_STATE_STOPPED;
    instance->spec = stead_instance_spec_parse("{image: tiny}", -1, "test", NULL);
    instance->disks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_disk_record_free);
    instance->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_nic_record_free);
    g_assert_true(stead_table_add(f->engine.instances, instance, NULL));
    return instance;
}

static void set_up(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->dir = g_dir_make_tmp("stead-rollback-XXXXXX", NULL);
    f->db = g_build_filename(f->dir, "db", NULL);
    f->paths = stead_paths_new_for_root(f->dir, &error);
    f->engine.paths = f->paths;
    f->engine.store = stead_store_open(f->db, &error);
    g_assert_no_error(error);
    g_assert_true(stead_engine_load_records(&f->engine, &error));
    f->engine.events = stead_events_new(f->engine.store);
    f->engine.jobs = stead_jobs_new(f->engine.events);
    f->engine.live = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, stead_live_free);
    f->web = add_instance(f, "web");
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    f->engine.closing = TRUE;
    stead_jobs_shutdown(f->engine.jobs, 1000);
    stead_jobs_free(f->engine.jobs);
    g_hash_table_unref(f->engine.live);
    stead_table_free(f->engine.instances);
    stead_table_free(f->engine.snapshots);
    stead_table_free(f->engine.networks);
    stead_table_free(f->engine.volumes);
    stead_table_free(f->engine.images);
    stead_table_free(f->engine.templates);
    stead_events_free(f->engine.events);
    stead_store_free(f->engine.store);
    stead_paths_free(f->paths);
    stead_remove_tree(f->dir, NULL);
    g_free(f->db);
    g_free(f->dir);
}

static gboolean add_row(const char *key, const char *json, gpointer data, GError **error)
{
    g_string_append_printf(data, "%s %s\n", key, json);
    return TRUE;
}

/* All that is on record, and the same as it is in memory. */
static char *all_records(Fixture *f)
{
    SteadTable *tables[] = {f->engine.instances, f->engine.networks, f->engine.volumes};
    static const char *const buckets[] = {"instance", "network", "volume"};
    GString *text = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++)
        g_assert_true(stead_store_each(f->engine.store, buckets[i], add_row, text, NULL));
    g_autoptr(GPtrArray) instances = stead_table_list(f->engine.instances);
    g_autoptr(GPtrArray) networks = stead_table_list(f->engine.networks);
    g_autoptr(GPtrArray) volumes = stead_table_list(f->engine.volumes);
    GPtrArray *lists[] = {instances, networks, volumes};
    JsonNode *(*const forms[])(gconstpointer) = {
        (JsonNode * (*)(gconstpointer)) stead_instance_to_json,
        (JsonNode * (*)(gconstpointer)) stead_network_to_json,
        (JsonNode * (*)(gconstpointer)) stead_volume_to_json,
    };
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        for (guint n = 0; n < lists[i]->len; n++) {
            g_autoptr(JsonNode) node = forms[i](lists[i]->pdata[n]);
            g_autofree char *json = json_to_string(node, FALSE);
            g_string_append_printf(text, "%s\n", json);
        }
    return g_string_free(text, FALSE);
}

static void count_job(SteadJob *job, gpointer data)
{
    ++*(guint *)data;
}

/* Nothing is other than `before`, and nothing is under way. */
static void assert_as_before(Fixture *f, const char *before, const GError *error)
{
    g_autofree char *after = all_records(f);
    guint jobs = 0;
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "the disk is on fire"));
    g_assert_cmpstr(after, ==, before);
    stead_jobs_each(f->engine.jobs, TRUE, count_job, &jobs);
    g_assert_cmpuint(jobs, ==, 0);
}

static void test_a_state(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->web->state = STEAD_STATE_RUNNING;
    f->web->ready = TRUE;
    g_assert_true(stead_table_save(f->engine.instances, f->web, NULL));
    g_autofree char *before = all_records(f);
    guint64 events = stead_events_last(f->engine.events);
    refuse(f, "UPDATE");
    g_assert_false(
        stead_engine_set_state(&f->engine, f->web, STEAD_STATE_FAILED, "it is gone", &error));
    assert_as_before(f, before, error);
    g_assert_cmpuint(stead_events_last(f->engine.events), ==, events);
}

static void test_an_action(Fixture *f, gconstpointer unused)
{
    static const SteadAction actions[] = {STEAD_ACTION_START, STEAD_ACTION_STOP,
                                          STEAD_ACTION_RESTART, STEAD_ACTION_REMOVE};
    f->web->restarts = 3;
    g_assert_true(stead_table_save(f->engine.instances, f->web, NULL));
    g_autofree char *before = all_records(f);
    refuse(f, "UPDATE");
    for (gsize i = 0; i < G_N_ELEMENTS(actions); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_engine_act(&f->engine, f->web->id, actions[i], NULL, &error));
        assert_as_before(f, before, error);
    }
}

static void test_a_creation(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *before = all_records(f);
    SteadInstanceSpec *spec = stead_instance_spec_parse("{image: tiny}", -1, "test", NULL);
    refuse(f, "INSERT");
    g_assert_null(stead_engine_create(&f->engine, "db", spec, NULL, TRUE, &error));
    assert_as_before(f, before, error);
    execute(f, "DROP TRIGGER refuse");
    g_assert_nonnull(add_instance(f, "db")); /* the name is free */
}

static SteadVolume *add_volume(Fixture *f)
{
    SteadVolume *volume = g_new0(SteadVolume, 1);
    volume->id = g_uuid_string_random();
    volume->name = g_strdup("data");
    volume->path = g_strdup("/there");
    volume->spec = stead_volume_spec_parse("{size: 1G}", -1, "test", NULL);
    g_assert_true(stead_table_add(f->engine.volumes, volume, NULL));
    return volume;
}

static void test_a_claim(Fixture *f, gconstpointer unused)
{
    SteadVolume *volume = add_volume(f);
    g_autofree char *before = all_records(f);
    g_autoptr(GError) error = NULL;
    refuse(f, "UPDATE");
    g_assert_false(stead_engine_claim_volume(&f->engine, volume, f->web->id, &error));
    assert_as_before(f, before, error);
}

static void test_the_removal_of_a_volume(Fixture *f, gconstpointer unused)
{
    add_volume(f);
    g_autofree char *before = all_records(f);
    g_autoptr(GError) error = NULL;
    refuse(f, "UPDATE");
    g_assert_null(stead_engine_remove_volume(&f->engine, "data", &error));
    assert_as_before(f, before, error);
}

static void test_the_removal_of_a_network(Fixture *f, gconstpointer unused)
{
    SteadNetwork *network = g_new0(SteadNetwork, 1);
    network->id = g_uuid_string_random();
    network->name = g_strdup("lab");
    network->spec = stead_network_spec_parse("{}", -1, "test", NULL);
    g_assert_true(stead_table_add(f->engine.networks, network, NULL));
    g_autofree char *before = all_records(f);
    g_autoptr(GError) error = NULL;
    refuse(f, "UPDATE");
    g_assert_null(stead_engine_remove_network(&f->engine, "lab", &error));
    assert_as_before(f, before, error);
}

/* The store takes it, the queue does not: it was not promised, so the next daemon may not do it. */
static void test_what_the_queue_refuses(Fixture *f, gconstpointer unused)
{
    SteadNetwork *network = g_new0(SteadNetwork, 1);
    network->id = g_uuid_string_random();
    network->name = g_strdup("lab");
    network->spec = stead_network_spec_parse("{}", -1, "test", NULL);
    g_assert_true(stead_table_add(f->engine.networks, network, NULL));
    add_volume(f);
    g_autofree char *before = all_records(f);
    stead_jobs_shutdown(f->engine.jobs, 1000);
    g_assert_null(stead_engine_act(&f->engine, f->web->id, STEAD_ACTION_REMOVE, NULL, NULL));
    g_assert_null(stead_engine_remove_volume(&f->engine, "data", NULL));
    g_assert_null(stead_engine_remove_network(&f->engine, "lab", NULL));
    g_autofree char *after = all_records(f);
    g_assert_cmpstr(after, ==, before);
}

#define ADD(path, func) g_test_add("/rollback/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("state", test_a_state);
    ADD("action", test_an_action);
    ADD("creation", test_a_creation);
    ADD("claim", test_a_claim);
    ADD("removal-of-a-volume", test_the_removal_of_a_volume);
    ADD("removal-of-a-network", test_the_removal_of_a_network);
    ADD("what-the-queue-refuses", test_what_the_queue_refuses);
    return g_test_run();
}
