/* SPDX-License-Identifier: Apache-2.0 */
#include "image/kernel.h"

#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"

typedef struct {
    char *dir, *path, *copy;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-kernel-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "vmlinuz-6.1", NULL);
    f->copy = g_build_filename(f->dir, "kernel", NULL);
    g_assert_true(g_file_set_contents(f->path, "a kernel", -1, NULL));
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->path);
    g_free(f->copy);
}

static void assert_taken(const Fixture *f, const char *path, const char *content)
{
    struct stat st;
    g_autoptr(GError) error = NULL;
    g_autofree char *copied = NULL;
    stead_kernel_take(path, f->dir, "kernel", &error);
    g_assert_no_error(error);
    g_assert_true(g_file_get_contents(f->copy, &copied, NULL, NULL));
    g_assert_cmpstr(copied, ==, content);
    g_assert_cmpint(lstat(f->copy, &st), ==, 0);
    g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0644);
}

static void assert_refused(const Fixture *f, const char *path, SteadErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_kernel_take(path, f->dir, "kernel", &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, path));
    g_assert_false(g_file_test(f->copy, G_FILE_TEST_EXISTS));
}

/* Whatever becomes of the file afterwards. */
static void test_copied(Fixture *f, gconstpointer unused)
{
    g_autofree char *content = NULL;
    assert_taken(f, f->path, "a kernel");
    g_assert_true(g_file_set_contents(f->path, "another", -1, NULL));
    g_assert_true(g_file_get_contents(f->copy, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "a kernel");
    assert_taken(f, f->path, "another");
}

static void test_link(Fixture *f, gconstpointer unused)
{
    g_autofree char *first = g_build_filename(f->dir, "vmlinuz", NULL);
    g_autofree char *second = g_build_filename(f->dir, "boot", NULL);
    g_assert_cmpint(symlink("vmlinuz-6.1", first), ==, 0);
    g_assert_cmpint(symlink(first, second), ==, 0);
    assert_taken(f, second, "a kernel");
}

static void test_missing(Fixture *f, gconstpointer unused)
{
    g_autofree char *dangling = g_build_filename(f->dir, "dangling", NULL);
    g_autofree char *endless = g_build_filename(f->dir, "endless", NULL);
    g_assert_cmpint(symlink("missing", dangling), ==, 0);
    g_assert_cmpint(symlink("endless", endless), ==, 0);
    assert_refused(f, "/no/such/kernel", STEAD_ERROR_NOT_FOUND);
    assert_refused(f, dangling, STEAD_ERROR_NOT_FOUND);
    assert_refused(f, endless, STEAD_ERROR_NOT_FOUND);
}

/* None of them is opened: a FIFO would keep us waiting. */
static void test_no_file(Fixture *f, gconstpointer unused)
{
    g_autofree char *fifo = g_build_filename(f->dir, "fifo", NULL);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    assert_refused(f, fifo, STEAD_ERROR_INVALID);
    assert_refused(f, f->dir, STEAD_ERROR_INVALID);
    assert_refused(f, "/dev/zero", STEAD_ERROR_INVALID);
}

static void test_size(Fixture *f, gconstpointer unused)
{
    g_assert_cmpint(truncate(f->path, 0), ==, 0);
    assert_refused(f, f->path, STEAD_ERROR_INVALID);
    g_assert_cmpint(truncate(f->path, (off_t)STEAD_KERNEL_MAX + 1), ==, 0);
    assert_refused(f, f->path, STEAD_ERROR_INVALID);
}

static void test_no_folder(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_kernel_take(f->path, "/no/such/folder", "kernel", &error));
    g_assert_nonnull(error);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"copied", test_copied},   {"link", test_link}, {"missing", test_missing},
        {"no-file", test_no_file}, {"size", test_size}, {"no-folder", test_no_folder},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/kernel/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
