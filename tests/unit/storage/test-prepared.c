/* SPDX-License-Identifier: Apache-2.0 */
/* Copies are equal to the byte, and no larger than what they are of. */
#include "storage/prepared.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/subprocess.h"
#include "storage/qemu_img.h"

#define MIB ((off_t)1 << 20)

typedef struct {
    char *dir, *from, *to;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-prepared-XXXXXX", NULL);
    f->from = g_build_filename(f->dir, "from", NULL);
    f->to = g_build_filename(f->dir, "to", NULL);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->from);
    g_free(f->to);
}

static void write_at(const char *path, off_t at, const char *text)
{
    stead_autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    g_assert_cmpint(pwrite(fd, text, strlen(text), at), ==, (gssize)strlen(text));
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    return st;
}

static void clone_well(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    stead_disk_file_clone(f->from, f->to, &error);
    g_assert_no_error(error);
    g_autofree char *from = NULL;
    g_autofree char *to = NULL;
    gsize n, m;
    g_assert_true(g_file_get_contents(f->from, &from, &n, NULL));
    g_assert_true(g_file_get_contents(f->to, &to, &m, NULL));
    g_assert_cmpmem(from, n, to, m);
}

static void test_holes_stay(Fixture *f, gconstpointer unused)
{
    write_at(f->from, 0, "begins");
    write_at(f->from, 8 * MIB - 3, "across a border");
    write_at(f->from, 20 * MIB, "ends");
    g_assert_cmpint(truncate(f->from, 32 * MIB + 5), ==, 0);
    clone_well(f);
    g_assert_cmpint(stat_of(f->to).st_size, ==, 32 * MIB + 5);
    g_assert_cmpint(stat_of(f->to).st_blocks * 512, <, 4 * MIB);
}

static void test_only_a_hole(Fixture *f, gconstpointer unused)
{
    write_at(f->from, 0, "");
    g_assert_cmpint(truncate(f->from, 8 * MIB), ==, 0);
    clone_well(f);
    g_assert_cmpint(stat_of(f->to).st_blocks * 512, <, MIB);
}

static void test_empty(Fixture *f, gconstpointer unused)
{
    write_at(f->from, 0, "");
    clone_well(f);
}

static void test_no_holes(Fixture *f, gconstpointer unused)
{
    g_autofree char *text = g_strnfill(3 * MIB + 7, 'x');
    text[2 * MIB] = 'y';
    write_at(f->from, 0, text);
    clone_well(f);
}

/* From one file system to another, as a rule. */
static void test_from_memory(Fixture *f, gconstpointer unused)
{
    g_autofree char *elsewhere = g_strdup("/dev/shm/stead-prepared-XXXXXX");
    stead_autofd fd = g_mkstemp(elsewhere);
    if (fd < 0) {
        g_test_skip("nothing can be written below /dev/shm");
        return;
    }
    g_free(f->from);
    f->from = g_strdup(elsewhere);
    write_at(f->from, 3 * MIB, "ends");
    clone_well(f);
    g_assert_cmpint(unlink(elsewhere), ==, 0);
}

static void test_replaces_a_former_one(Fixture *f, gconstpointer unused)
{
    write_at(f->from, 0, "new");
    write_at(f->to, 0, "old and longer");
    clone_well(f);
}

static void test_for_nobody_else(Fixture *f, gconstpointer unused)
{
    write_at(f->from, 0, "secret");
    clone_well(f);
    g_assert_cmpuint(stat_of(f->to).st_mode & 0777, ==, 0600);
}

static void assert_not_cloned(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_disk_file_clone(f->from, f->to, &error));
    g_assert_nonnull(error);
}

static void test_what_cannot_be_copied(Fixture *f, gconstpointer unused)
{
    g_autofree char *target = g_build_filename(f->dir, "target", NULL);
    assert_not_cloned(f);
    g_assert_cmpint(symlink(target, f->to), ==, 0);
    write_at(f->from, 0, "content");
    assert_not_cloned(f);
    g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
    g_assert_cmpint(rename(f->from, target), ==, 0);
    g_assert_cmpint(symlink(target, f->from), ==, 0);
    g_assert_cmpint(unlink(f->to), ==, 0);
    assert_not_cloned(f);
}

static void test_disk(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadPaths) paths = stead_paths_new_for_root(f->dir, &error);
    g_assert_no_error(error);
    g_autofree char *volumes = g_build_filename(paths->state, "volumes", NULL);
    g_autofree char *path = g_build_filename(volumes, "web-1a2b3c4d.qcow2", NULL);
    g_assert_true(stead_make_dir(volumes, 0700, &error));
    write_at(f->from, 0, "a disk");
    g_autoptr(SteadDisk) disk =
        stead_disk_copy_prepared(paths, "web-1a2b3c4d", f->from, 4096, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(disk->path, ==, path);
    g_assert_cmpstr(disk->format, ==, "qcow2");
    g_assert_cmpuint(disk->capacity, ==, 4096);
    g_assert_cmpint(stat_of(path).st_size, ==, 6);
}

static void check_overlay(const Fixture *f, const char *name, guint64 wanted, guint64 expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(f->dir, name, NULL);
    stead_disk_prepare_overlay(path, f->from, wanted, &error);
    g_assert_no_error(error);
    g_autoptr(SteadDiskFile) file = stead_disk_file_info(path, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(file->format, ==, "qcow2");
    g_assert_cmpstr(file->backing, ==, f->from);
    g_assert_cmpuint(file->virtual_size, ==, expected);
}

static void test_overlay(Fixture *f, gconstpointer unused)
{
    const char *const argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", f->from, "1M", NULL};
    g_autoptr(GError) error = NULL;
    if (!stead_find_program("qemu-img", NULL)) {
        g_test_skip("qemu-img is not installed");
        return;
    }
    stead_run(argv, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    check_overlay(f, "same", 0, 1 << 20);
    check_overlay(f, "larger", 4 << 20, 4 << 20);
    g_autofree char *missing = g_build_filename(f->dir, "missing", NULL);
    g_assert_false(stead_disk_prepare_overlay(f->to, missing, 0, NULL));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"holes-stay", test_holes_stay},
        {"only-a-hole", test_only_a_hole},
        {"empty", test_empty},
        {"no-holes", test_no_holes},
        {"from-memory", test_from_memory},
        {"replaces-a-former-one", test_replaces_a_former_one},
        {"for-nobody-else", test_for_nobody_else},
        {"what-cannot-be-copied", test_what_cannot_be_copied},
        {"disk", test_disk},
        {"overlay", test_overlay},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/prepared/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
