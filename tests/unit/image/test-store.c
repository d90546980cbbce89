/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"

/* Stages a small qcow2 with the byte given as its content, so that equal bytes are equal files. */
static char *stage(Fixture *fixture, char byte)
{
    g_autoptr(GError) error = NULL;
    char *path = stead_image_store_stage(fixture->store, ".qcow2", NULL, &error);
    g_assert_no_error(error);
    g_autofree char *raw_bytes = g_strnfill(4096, byte);
    g_autofree char *raw = fixture_write(fixture, "raw", raw_bytes, 4096);
    fixture_run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path, NULL);
    return path;
}

static const SteadImageOrigin origin = {.name = "test:1", .source = "build"};

static SteadImage *add(Fixture *fixture, char byte)
{
    g_autofree char *path = stage(fixture, byte);
    g_autoptr(GError) error = NULL;
    SteadImage *image =
        stead_image_store_add(fixture->store, path, &origin, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    return image;
}

static void settle(Fixture *fixture, const SteadImage *image)
{
    stead_image_store_settle(fixture->store, image->digest);
}

static void test_add(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) image = add(fixture, 'a');
    g_autofree char *path = stead_image_store_path(fixture->store, image->digest);
    struct stat st;
    g_assert_cmpstr(image->name, ==, "test:1");
    g_assert_cmpstr(image->source, ==, "build");
    g_assert_cmpuint(image->virtual_size, ==, 4096);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0644);
    g_assert_cmpuint(image->size, ==, (guint64)st.st_size);
    fixture_assert_clean(fixture, 1);
    g_assert_true(stead_image_store_verify(fixture->store, image->digest, NULL, NULL, NULL, NULL));
}

static void test_withdraw(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) image = add(fixture, 'a');
    g_autofree char *path = stead_image_store_path(fixture->store, image->digest);
    g_autofree char *file = NULL;
    g_assert_true(stead_image_store_withdraw(fixture->store, image, NULL, &file, NULL));
    g_assert_null(file); /* pinned */
    settle(fixture, image);
    g_autoptr(GHashTable) in_use = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(in_use, image->digest);
    g_assert_true(stead_image_store_withdraw(fixture->store, image, in_use, &file, NULL));
    g_assert_null(file);
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_true(stead_image_store_withdraw(fixture->store, image, NULL, &file, NULL));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_unlink(file), ==, 0);
    g_clear_pointer(&file, g_free);
    g_assert_true(stead_image_store_withdraw(fixture->store, image, NULL, &file, NULL));
    g_assert_null(file); /* gone already */
    fixture_assert_clean(fixture, 0);
}

static void test_folder_modes(Fixture *fixture, gconstpointer data)
{
    g_autofree char *images = fixture_path(fixture, "state/images");
    g_autofree char *content = fixture_path(fixture, "state/images/sha256");
    struct stat st;
    g_assert_cmpint(stat(images, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0711);
    g_assert_cmpint(stat(content, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0711);
    g_assert_cmpint(stat(stead_image_store_staging(fixture->store), &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0700);
}

static void test_same_content_is_stored_once(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) one = add(fixture, 'a');
    g_autoptr(SteadImage) two = add(fixture, 'a');
    g_autoptr(SteadImage) other = add(fixture, 'b');
    g_assert_cmpstr(one->digest, ==, two->digest);
    g_assert_cmpstr(one->digest, !=, other->digest);
    fixture_assert_clean(fixture, 2);
}

/* A stored file of the wrong size was damaged; adding the content again mends it. */
static void test_damaged_file_is_replaced(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) one = add(fixture, 'a');
    g_autofree char *path = stead_image_store_path(fixture->store, one->digest);
    g_assert_true(g_file_set_contents(path, "damaged", -1, NULL));
    g_autoptr(SteadImage) two = add(fixture, 'a');
    g_assert_true(stead_image_store_verify(fixture->store, two->digest, NULL, NULL, NULL, NULL));
}

static void test_verify_notices_a_change(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) image = add(fixture, 'a');
    g_autofree char *path = stead_image_store_path(fixture->store, image->digest);
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents(path, "changed", -1, NULL));
    g_assert_false(
        stead_image_store_verify(fixture->store, image->digest, NULL, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_VERIFICATION);
}

static void test_verify_of_nothing(Fixture *fixture, gconstpointer data)
{
    g_autofree char *digest = g_strnfill(64, 'a');
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_image_store_verify(fixture->store, digest, NULL, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_NOT_FOUND);
}

static void test_only_qcow2_is_admitted(Fixture *fixture, gconstpointer data)
{
    int fd;
    g_autofree char *path = stead_image_store_stage(fixture->store, ".qcow2", &fd, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(ftruncate(fd, 4096), ==, 0);
    close(fd);
    g_assert_null(stead_image_store_add(fixture->store, path, &origin, NULL, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
}

static void test_backing_file_is_not_admitted(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = stead_image_store_stage(fixture->store, ".qcow2", NULL, NULL);
    g_autoptr(GError) error = NULL;
    fixture_run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd",
                path, "1M", NULL);
    g_assert_null(stead_image_store_add(fixture->store, path, &origin, NULL, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_a_link_is_not_admitted(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = stage(fixture, 'a');
    g_autofree char *link =
        g_build_filename(stead_image_store_staging(fixture->store), "link", NULL);
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(symlink(path, link), ==, 0);
    g_assert_null(stead_image_store_add(fixture->store, link, &origin, NULL, NULL, NULL, &error));
    g_assert_nonnull(error);
}

static void test_remove(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) image = add(fixture, 'a');
    guint64 freed;
    settle(fixture, image);
    g_assert_true(stead_image_store_remove(fixture->store, image, NULL, &freed, NULL));
    g_assert_cmpuint(freed, >, 0);
    fixture_assert_clean(fixture, 0);
    g_assert_true(stead_image_store_remove(fixture->store, image, NULL, &freed, NULL));
    g_assert_cmpuint(freed, ==, 0);
}

static void test_content_in_use_stays(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) image = add(fixture, 'a');
    g_autoptr(GHashTable) in_use = g_hash_table_new(g_str_hash, g_str_equal);
    guint64 freed;
    settle(fixture, image);
    g_hash_table_add(in_use, image->digest);
    g_assert_true(stead_image_store_remove(fixture->store, image, in_use, &freed, NULL));
    g_assert_cmpuint(freed, ==, 0);
    fixture_assert_clean(fixture, 1);
}

/* Added, but its record is not in the books yet: it must not be taken for an orphan. */
static void test_pinned_content_stays(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) one = add(fixture, 'a');
    g_autoptr(SteadImage) two = add(fixture, 'a');
    g_autoptr(GPtrArray) orphans = stead_image_store_orphans(fixture->store, NULL, NULL);
    g_assert_cmpuint(orphans->len, ==, 0);
    settle(fixture, one);
    g_assert_true(stead_image_store_remove(fixture->store, one, NULL, NULL, NULL));
    fixture_assert_clean(fixture, 1);
    settle(fixture, two);
    g_assert_true(stead_image_store_remove(fixture->store, two, NULL, NULL, NULL));
    fixture_assert_clean(fixture, 0);
}

static void test_orphans(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) known = add(fixture, 'a');
    g_autoptr(SteadImage) lost = add(fixture, 'b');
    g_autoptr(GHashTable) in_use = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *stranger = fixture_write(fixture, "state/images/sha256/README", "x", -1);
    g_assert_nonnull(stranger);
    settle(fixture, known);
    settle(fixture, lost);
    g_hash_table_add(in_use, known->digest);
    g_autoptr(GPtrArray) orphans = stead_image_store_orphans(fixture->store, in_use, NULL);
    g_assert_cmpuint(orphans->len, ==, 1);
    g_assert_cmpstr(orphans->pdata[0], ==, lost->digest);
    g_assert_true(stead_image_store_remove_digest(fixture->store, orphans->pdata[0], NULL, NULL));
    fixture_assert_clean(fixture, 2);
}

static void test_opening_wipes_staging(Fixture *fixture, gconstpointer data)
{
    g_autoptr(SteadImage) image = add(fixture, 'a');
    g_autofree char *half_made = stage(fixture, 'b');
    g_autofree char *part = fixture_write(fixture, "state/images/downloads/x.part", "x", -1);
    g_autofree char *state = fixture_path(fixture, "state");
    g_autoptr(SteadImageStore) again = stead_image_store_open(state, NULL);
    g_assert_nonnull(again);
    g_assert_false(g_file_test(half_made, G_FILE_TEST_EXISTS));
    g_assert_nonnull(image);
    fixture_assert_clean(fixture, 1);
    g_assert_true(g_file_test(part, G_FILE_TEST_EXISTS));
}

static void test_paths_stay_inside(Fixture *fixture, gconstpointer data)
{
    g_assert_null(stead_image_store_path(fixture->store, "../../../etc/passwd"));
    g_assert_null(stead_image_store_path(fixture->store, ""));
    g_assert_null(stead_image_store_path(fixture->store, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_test("/image/store/add", test_add);
    add_test("/image/store/folder-modes", test_folder_modes);
    add_test("/image/store/withdraw", test_withdraw);
    add_test("/image/store/same-content-is-stored-once", test_same_content_is_stored_once);
    add_test("/image/store/damaged-file-is-replaced", test_damaged_file_is_replaced);
    add_test("/image/store/verify-notices-a-change", test_verify_notices_a_change);
    add_test("/image/store/verify-of-nothing", test_verify_of_nothing);
    add_test("/image/store/only-qcow2-is-admitted", test_only_qcow2_is_admitted);
    add_test("/image/store/backing-file-is-not-admitted", test_backing_file_is_not_admitted);
    add_test("/image/store/a-link-is-not-admitted", test_a_link_is_not_admitted);
    add_test("/image/store/remove", test_remove);
    add_test("/image/store/content-in-use-stays", test_content_in_use_stays);
    add_test("/image/store/pinned-content-stays", test_pinned_content_stays);
    add_test("/image/store/orphans", test_orphans);
    add_test("/image/store/opening-wipes-staging", test_opening_wipes_staging);
    add_test("/image/store/paths-stay-inside", test_paths_stay_inside);
    return g_test_run();
}
