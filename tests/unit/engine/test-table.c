/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/table.h"

#include <string.h>

#include "base/error.h"
#include "base/paths.h"
#include "model/instance.h"

static const SteadTableType type = {
    .bucket = "volume",
    .what = "volume",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_volume_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_volume_from_json,
    .free = (GDestroyNotify)stead_volume_free,
    .id_offset = G_STRUCT_OFFSET(SteadVolume, id),
    .name_offset = G_STRUCT_OFFSET(SteadVolume, name),
    .unique_names = TRUE,
};

typedef struct {
    char *dir;
    SteadStore *store;
    SteadTable *table;
} Fixture;

static void load(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->dir, "db", NULL);
    g_autoptr(GError) error = NULL;
    f->store = stead_store_open(path, &error);
    f->table = stead_table_load(f->store, &type, &error);
    g_assert_no_error(error);
}

static void unload(Fixture *f)
{
    g_clear_pointer(&f->table, stead_table_free);
    g_clear_pointer(&f->store, stead_store_free);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-table-XXXXXX", NULL);
    load(f);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    unload(f);
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
}

static SteadVolume *new_volume(const char *id, const char *name)
{
    SteadVolume *volume = g_new0(SteadVolume, 1);
    volume->id = g_strdup(id);
    volume->name = g_strdup(name);
    volume->spec = stead_volume_spec_parse("{size: 1G}", -1, "test", NULL);
    return volume;
}

static SteadVolume *add(Fixture *f, const char *id, const char *name)
{
    SteadVolume *volume = new_volume(id, name);
    g_assert_true(stead_table_add(f->table, volume, NULL));
    return volume;
}

static void test_records_outlive_the_daemon(Fixture *f, gconstpointer unused)
{
    SteadVolume *volume = add(f, "11111111-a", "data");
    volume->path = g_strdup("/there");
    g_assert_true(stead_table_save(f->table, volume, NULL));
    unload(f);
    load(f);
    SteadVolume *again = stead_table_by_name(f->table, "data");
    g_assert_nonnull(again);
    g_assert_cmpstr(again->path, ==, "/there");
}

static void test_a_taken_name_is_refused(Fixture *f, gconstpointer unused)
{
    add(f, "11111111-a", "data");
    g_autoptr(SteadVolume) second = new_volume("22222222-b", "data");
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_table_add(f->table, second, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
    g_assert_cmpuint(stead_table_size(f->table), ==, 1);
}

static void test_found_by_name_id_and_prefix(Fixture *f, gconstpointer unused)
{
    SteadVolume *volume = add(f, "11111111-a", "data");
    g_assert_true(stead_table_find(f->table, "data", NULL) == volume);
    g_assert_true(stead_table_find(f->table, "11111111-a", NULL) == volume);
    g_assert_true(stead_table_find(f->table, "111111", NULL) == volume);
    g_assert_null(stead_table_find(f->table, "11111", NULL));
}

static void test_an_ambiguous_prefix_is_refused(Fixture *f, gconstpointer unused)
{
    add(f, "11111111-a", "one");
    add(f, "11111111-b", "two");
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_table_find(f->table, "11111111", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void test_the_nearest_name_is_suggested(Fixture *f, gconstpointer unused)
{
    add(f, "11111111-a", "data");
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_table_find(f->table, "dtaa", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_cmpstr(stead_error_hint(error), ==, "Did you mean 'data'?");
}

static void test_a_removed_record_is_gone(Fixture *f, gconstpointer unused)
{
    add(f, "11111111-a", "data");
    g_assert_true(stead_table_remove(f->table, "11111111-a", NULL));
    g_assert_true(stead_table_remove(f->table, "11111111-a", NULL));
    g_assert_null(stead_table_by_name(f->table, "data"));
    add(f, "22222222-b", "data");
    unload(f);
    load(f);
    g_assert_cmpuint(stead_table_size(f->table), ==, 1);
}

static void test_put_takes_the_place(Fixture *f, gconstpointer unused)
{
    add(f, "11111111-a", "data");
    SteadVolume *second = new_volume("11111111-a", "data");
    g_assert_true(stead_table_put(f->table, second, NULL));
    g_assert_true(stead_table_by_name(f->table, "data") == second);
    g_assert_true(stead_table_get(f->table, "11111111-a") == second);
    g_assert_cmpuint(stead_table_size(f->table), ==, 1);
}

static void test_an_erasure_can_be_taken_back(Fixture *f, gconstpointer unused)
{
    SteadVolume *volume = add(f, "11111111-a", "data");
    g_assert_true(stead_store_begin(f->store, NULL));
    g_assert_true(stead_table_erase(f->table, "11111111-a", NULL));
    stead_store_rollback(f->store);
    g_assert_true(stead_table_by_name(f->table, "data") == volume);
    unload(f);
    load(f);
    g_assert_cmpuint(stead_table_size(f->table), ==, 1);
}

static void test_the_list_is_in_the_order_of_names(Fixture *f, gconstpointer unused)
{
    add(f, "33333333-a", "b");
    add(f, "11111111-b", "c");
    add(f, "22222222-c", "a");
    g_autoptr(GPtrArray) list = stead_table_list(f->table);
    g_assert_cmpuint(list->len, ==, 3);
    for (guint i = 0; i < list->len; i++)
        g_assert_cmpint(((SteadVolume *)list->pdata[i])->name[0], ==, "abc"[i]);
}

/* Loads again, with rows that are no records of a volume. */
static void damage(Fixture *f, const char *key, const char *json)
{
    g_assert_true(stead_store_put(f->store, "volume", key, json, NULL));
    unload(f);
    load(f);
}

static void test_a_damaged_record_keeps_no_other_from_being_served(Fixture *f, gconstpointer unused)
{
    static const char *const texts[] = {
        "",           "{",  "7", "null",         "[]",
        "{\"id\":7}", "{}", "x", "\"\xff\xfe\"", "{\"id\":{},\"name\":[]}"};
    add(f, "11111111-a", "data");
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *key = g_strdup_printf("key-%" G_GSIZE_FORMAT, i);
        damage(f, key, texts[i]);
        g_assert_cmpuint(stead_table_size(f->table), ==, 1);
        g_assert_cmpuint(stead_table_damaged(f->table)->len, ==, i + 1);
    }
    g_assert_nonnull(stead_table_by_name(f->table, "data"));
}

static gboolean keep_text(const char *key, const char *json, gpointer data, GError **error)
{
    if (g_str_equal(key, "x"))
        g_string_assign(data, json);
    return TRUE;
}

static void test_a_damaged_record_is_left_as_it_is(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) text = g_string_new(NULL);
    damage(f, "x", "{\"id\":7}");
    add(f, "11111111-a", "data");
    g_assert_true(stead_store_each(f->store, "volume", keep_text, text, NULL));
    g_assert_cmpstr(text->str, ==, "{\"id\":7}");
}

static void test_a_damaged_record_is_asked_for_in_vain(Fixture *f, gconstpointer unused)
{
    damage(f, "22222222-b", "{\"id\":\"22222222-b\",\"name\":\"old\"}");
    static const char *const words[] = {"old", "22222222-b"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_table_find(f->table, words[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_STATE);
        g_assert_nonnull(strstr(error->message, "volume 'old' cannot be read"));
    }
}

static void test_a_damaged_record_keeps_its_name(Fixture *f, gconstpointer unused)
{
    damage(f, "22222222-b", "{\"name\":\"old\"}");
    g_autoptr(SteadVolume) second = new_volume("11111111-a", "old");
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_table_add(f->table, second, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_STATE);
}

static void test_the_ids_of_damaged_records_are_known(Fixture *f, gconstpointer unused)
{
    g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    add(f, "11111111-a", "data");
    damage(f, "22222222-b", "{\"id\":\"33333333-c\"}");
    stead_table_add_ids(f->table, ids);
    static const char *const all[] = {"11111111-a", "22222222-b", "33333333-c"};
    g_assert_cmpuint(g_hash_table_size(ids), ==, G_N_ELEMENTS(all));
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        g_assert_true(g_hash_table_contains(ids, all[i]));
        g_assert_true(stead_table_knows(f->table, all[i]));
    }
    g_assert_false(stead_table_knows(f->table, "44444444-d"));
}

/* What a record says must be of the place where it lies, and of no other record. */
static void test_a_record_in_a_wrong_place_is_damaged(Fixture *f, gconstpointer unused)
{
    add(f, "11111111-a", "data");
    damage(f, "22222222-b",
           "{\"id\":\"99999999-x\",\"name\":\"other\",\"spec\":{\"size\":\"1G\"}}");
    damage(f, "33333333-c", "{\"id\":\"33333333-c\",\"name\":\"data\",\"spec\":{\"size\":\"1G\"}}");
    g_assert_cmpuint(stead_table_damaged(f->table)->len, ==, 2);
    g_assert_cmpstr(((SteadVolume *)stead_table_by_name(f->table, "data"))->id, ==, "11111111-a");
}

static void test_put_mends_a_damaged_record(Fixture *f, gconstpointer unused)
{
    damage(f, "22222222-b", "{");
    g_assert_true(stead_table_put(f->table, new_volume("22222222-b", "data"), NULL));
    g_assert_cmpuint(stead_table_damaged(f->table)->len, ==, 0);
    g_assert_nonnull(stead_table_find(f->table, "data", NULL));
}

#define ADD(path, func) g_test_add("/table/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("records-outlive-the-daemon", test_records_outlive_the_daemon);
    ADD("a-taken-name-is-refused", test_a_taken_name_is_refused);
    ADD("found-by-name-id-and-prefix", test_found_by_name_id_and_prefix);
    ADD("an-ambiguous-prefix-is-refused", test_an_ambiguous_prefix_is_refused);
    ADD("the-nearest-name-is-suggested", test_the_nearest_name_is_suggested);
    ADD("a-removed-record-is-gone", test_a_removed_record_is_gone);
    ADD("put-takes-the-place", test_put_takes_the_place);
    ADD("an-erasure-can-be-taken-back", test_an_erasure_can_be_taken_back);
    ADD("the-list-is-in-the-order-of-names", test_the_list_is_in_the_order_of_names);
    ADD("a-damaged-record-keeps-no-other-from-being-served",
        test_a_damaged_record_keeps_no_other_from_being_served);
    ADD("a-damaged-record-is-left-as-it-is", test_a_damaged_record_is_left_as_it_is);
    ADD("a-damaged-record-is-asked-for-in-vain", test_a_damaged_record_is_asked_for_in_vain);
    ADD("a-damaged-record-keeps-its-name", test_a_damaged_record_keeps_its_name);
    ADD("the-ids-of-damaged-records-are-known", test_the_ids_of_damaged_records_are_known);
    ADD("a-record-in-a-wrong-place-is-damaged", test_a_record_in_a_wrong_place_is_damaged);
    ADD("put-mends-a-damaged-record", test_put_mends_a_damaged_record);
    return g_test_run();
}
