/* SPDX-License-Identifier: Apache-2.0 */
#include "base/paths.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

static GString *synced; /* names, in their order, without the folder above */

/* Takes the place of the C library's. */
int fsync(int fd)
{
    char link[32], path[4096] = "";
    g_snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    g_assert_cmpint((int)readlink(link, path, sizeof path - 1), >, 0);
    const char *name = strrchr(path, '/');
    if (synced)
        g_string_append(synced, name);
    return (int)syscall(SYS_fsync, fd);
}

static void test_default_root(void)
{
    g_autoptr(SteadPaths) paths = stead_paths_new_for_root(NULL, NULL);
    g_assert_cmpstr(paths->state, ==, "/var/lib/stead");
    g_assert_cmpstr(paths->socket, ==, "/run/stead/stead.sock");
    g_assert_cmpstr(paths->tag, ==, "");
}

static void test_other_roots_are_told_apart(void)
{
    g_autoptr(SteadPaths) a = stead_paths_new_for_root("/r/a/", NULL);
    g_autoptr(SteadPaths) same = stead_paths_new_for_root("/r/./a", NULL);
    g_autoptr(SteadPaths) b = stead_paths_new_for_root("/r/b", NULL);
    g_assert_cmpstr(a->run, ==, "/r/a/run");
    g_assert_cmpstr(a->tag, ==, same->tag);
    g_assert_cmpstr(a->tag, !=, b->tag);
    g_assert_cmpuint(strlen(a->tag), ==, 7);
}

static void test_wrong_roots_are_refused(void)
{
    g_autofree char *tail = g_strnfill(100, 'x');
    g_autofree char *deep = g_strconcat("/", tail, NULL);
    const char *const wrong[] = {"relative/root", deep};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_paths_new_for_root(wrong[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_removal_does_not_follow_links(void)
{
    g_autofree char *top = g_dir_make_tmp("stead-paths-XXXXXX", NULL);
    g_autofree char *outside = g_build_filename(top, "outside", NULL);
    g_autofree char *inside = g_build_filename(top, "tree/a/b", NULL);
    g_autofree char *link = g_build_filename(top, "tree/a/link", NULL);
    g_autofree char *tree = g_build_filename(top, "tree", NULL);
    g_autofree char *kept = g_build_filename(outside, "kept", NULL);
    g_assert_true(stead_make_dir(outside, 0700, NULL));
    g_assert_true(stead_make_dir(inside, 0700, NULL));
    g_assert_true(stead_write_file(kept, "x", -1, 0600, NULL));
    g_assert_cmpint(symlink(outside, link), ==, 0);

    g_assert_true(stead_remove_tree(tree, NULL));
    g_assert_false(g_file_test(tree, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
    g_assert_true(stead_remove_tree(tree, NULL));
    g_assert_true(stead_remove_tree(top, NULL));
}

static void test_files_are_replaced_whole(void)
{
    g_autofree char *top = g_dir_make_tmp("stead-paths-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(top, "file", NULL);
    g_assert_true(stead_write_file(file, "first", -1, 0640, NULL));
    g_assert_true(stead_write_file(file, "se\0cond", 7, 0640, NULL));
    g_autofree char *bytes = NULL;
    gsize length = 0;
    struct stat st;
    g_assert_true(g_file_get_contents(file, &bytes, &length, NULL));
    g_assert_cmpmem(bytes, length, "se\0cond", 7);
    g_assert_cmpint(stat(file, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0640);

    g_autoptr(GError) error = NULL;
    g_autofree char *absent = g_build_filename(top, "absent/file", NULL);
    g_assert_false(stead_write_file(absent, "x", -1, 0600, &error));
    g_assert_cmpint((int)stead_error_code(error), ==, STEAD_ERROR_NOT_FOUND);
    g_assert_true(stead_remove_tree(top, NULL));
}

static void assert_synced(const char *names)
{
    g_assert_cmpstr(synced->str, ==, names);
    g_string_truncate(synced, 0);
}

static void test_what_is_kept_is_synced(void)
{
    g_autofree char *top = g_dir_make_tmp("stead-paths-XXXXXX", NULL);
    g_autofree char *name = g_path_get_basename(top);
    g_autofree char *folder = g_build_filename(top, "folder", NULL);
    g_autofree char *below = g_build_filename(folder, "below", NULL);
    g_autofree char *file = g_build_filename(folder, "file", NULL);
    g_assert_true(stead_make_dir(below, 0700, NULL));
    g_assert_true(g_file_set_contents(file, "x", 1, NULL));
    synced = g_string_new(NULL);

    g_assert_true(stead_sync(file, NULL));
    assert_synced("/file");
    g_assert_true(stead_sync_folder(folder, NULL));
    g_autofree char *whole = g_strconcat("/file/folder/", name, NULL);
    assert_synced(whole);
    g_autofree char *absent = g_build_filename(top, "absent", NULL);
    g_assert_false(stead_sync(absent, NULL));
    g_assert_false(stead_sync_folder(absent, NULL));
    g_string_free(g_steal_pointer(&synced), TRUE);
    g_assert_true(stead_remove_tree(top, NULL));
}

/* That there is none is an answer; that nobody could look is none. */
static void test_no_folder_and_no_look(void)
{
    g_autofree char *top = g_dir_make_tmp("stead-paths-XXXXXX", NULL);
    g_autofree char *absent = g_build_filename(top, "absent", NULL);
    g_autofree char *file = g_build_filename(top, "file", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = stead_open_dir(top, &error);
    g_assert_no_error(error);
    g_assert_nonnull(dir);
    g_assert_null(stead_open_dir(absent, &error));
    g_assert_no_error(error);
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_assert_null(stead_open_dir(file, &error));
    g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
    g_assert_true(stead_remove_tree(top, NULL));
}

int main(int argc, char **argv)
{
    umask(022);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/paths/default-root", test_default_root);
    g_test_add_func("/paths/other-roots-are-told-apart", test_other_roots_are_told_apart);
    g_test_add_func("/paths/wrong-roots-are-refused", test_wrong_roots_are_refused);
    g_test_add_func("/paths/removal-does-not-follow-links", test_removal_does_not_follow_links);
    g_test_add_func("/paths/files-are-replaced-whole", test_files_are_replaced_whole);
    g_test_add_func("/paths/what-is-kept-is-synced", test_what_is_kept_is_synced);
    g_test_add_func("/paths/no-folder-and-no-look", test_no_folder_and_no_look);
    return g_test_run();
}
