/* SPDX-License-Identifier: Apache-2.0 */
/* A frozen machine is used as it was sealed, by several, and changed by none of them. */
#include "runtime/microvm/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"

#define MEMORY ((gsize)4 << 20)
#define PAGE 4096

typedef struct {
    char *dir, *memory, *state, *sums;
    SteadFrozenCache *cache;
} Fixture;

/* What is written beyond the end makes the file longer, with a hole before it. */
static void write_at(const char *path, gsize at, const char *text)
{
    stead_autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint(pwrite(fd, text, strlen(text), (off_t)at), ==, (gssize)strlen(text));
}

static void set_up(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->dir = g_dir_make_tmp("stead-frozen-XXXXXX", &error);
    g_assert_no_error(error);
    f->memory = g_build_filename(f->dir, "memory", NULL);
    f->state = g_build_filename(f->dir, "state", NULL);
    f->sums = g_build_filename(f->dir, "sums", NULL);
    f->cache = stead_frozen_cache_new();
    write_at(f->memory, 3 * PAGE, "a page");
    write_at(f->memory, MEMORY / 2 - 2, "over a border");
    g_assert_cmpint(truncate(f->memory, (off_t)MEMORY), ==, 0);
    write_at(f->state, 0, "its devices");
    stead_frozen_seal(f->dir, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_frozen_cache_free(f->cache);
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->memory);
    g_free(f->state);
    g_free(f->sums);
}

static void open_it(Fixture *f, int *memory, int *state)
{
    g_autoptr(GError) error = NULL;
    stead_frozen_open(f->cache, f->dir, memory, state, &error);
    g_assert_no_error(error);
}

static void assert_refused(Fixture *f, SteadErrorCode code)
{
    g_autoptr(GError) error = NULL;
    int memory = 0, state = 0;
    g_assert_false(stead_frozen_open(f->cache, f->dir, &memory, &state, &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_assert_cmpint(memory, ==, -1);
    g_assert_cmpint(state, ==, -1);
}

static void test_content(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1;
    open_it(f, &memory, &state);
    g_autofree char *bytes = g_malloc(MEMORY);
    g_autofree char *stored = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(f->memory, &stored, &n, NULL));
    g_assert_cmpint(pread(memory, bytes, MEMORY, 0), ==, (gssize)MEMORY);
    g_assert_cmpmem(bytes, MEMORY, stored, n);
    char devices[64];
    g_assert_cmpint(read(state, devices, sizeof devices), ==, 11);
    g_assert_cmpmem(devices, 11, "its devices", 11);
}

static void test_shared_by_all(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1, memory2 = -1, state2 = -1;
    struct stat one, other;
    char bytes[4];
    open_it(f, &memory, &state);
    open_it(f, &memory2, &state2);
    g_assert_cmpint(fstat(memory, &one), ==, 0);
    g_assert_cmpint(fstat(memory2, &other), ==, 0);
    g_assert_true(memory != memory2 && one.st_ino == other.st_ino && one.st_dev == other.st_dev);
    g_assert_cmpint(read(state, bytes, 4), ==, 4);
    g_assert_cmpint(read(state2, bytes, 3), ==, 3);
    g_assert_cmpmem(bytes, 3, "its", 3);
    g_assert_cmpint(lseek(state, 0, SEEK_CUR), ==, 4);
}

/* QEMU opens it for writing, and maps it privately. */
static void test_nobody_can_change_it(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1;
    open_it(f, &memory, &state);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", memory);
    stead_autofd writable = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(writable, >=, 0);
    g_assert_cmpint(pwrite(writable, "x", 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_cmpint(ftruncate(writable, PAGE), ==, -1);
    g_assert_cmpint(ftruncate(writable, (off_t)MEMORY * 2), ==, -1);
    g_assert_cmpint(
        fallocate(writable, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3L * PAGE, PAGE), ==, -1);
    g_assert_true(mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0) ==
                  MAP_FAILED);
    g_assert_cmpint(fcntl(writable, F_ADD_SEALS, 0), ==, -1);
    g_autofree char *state_path = g_strdup_printf("/proc/self/fd/%d", state);
    stead_autofd state_writable = open(state_path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(write(state_writable, "x", 1), ==, -1);
}

static void test_what_is_mapped_is_private(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1;
    open_it(f, &memory, &state);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", memory);
    stead_autofd writable = open(path, O_RDWR | O_CLOEXEC);
    char *mapped = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE, writable, 0);
    char byte = 0;
    g_assert_true(mapped != MAP_FAILED);
    g_assert_cmpint(mapped[3 * PAGE], ==, 'a');
    mapped[3 * PAGE] = 'x';
    g_assert_cmpint(pread(memory, &byte, 1, 3L * PAGE), ==, 1);
    g_assert_cmpint(byte, ==, 'a');
    g_assert_cmpint(munmap(mapped, MEMORY), ==, 0);
}

static void test_changed_byte(Fixture *f, gconstpointer unused)
{
    write_at(f->memory, MEMORY / 2 + 1, "X");
    assert_refused(f, STEAD_ERROR_VERIFICATION);
}

static void test_moved_page(Fixture *f, gconstpointer unused)
{
    g_assert_cmpint(truncate(f->memory, 0), ==, 0);
    write_at(f->memory, 4 * PAGE, "a page");
    write_at(f->memory, MEMORY / 2 - 2, "over a border");
    g_assert_cmpint(truncate(f->memory, (off_t)MEMORY), ==, 0);
    assert_refused(f, STEAD_ERROR_VERIFICATION);
}

static void test_byte_in_a_hole(Fixture *f, gconstpointer unused)
{
    write_at(f->memory, MEMORY - 1, "X");
    assert_refused(f, STEAD_ERROR_VERIFICATION);
}

static void test_changed_state(Fixture *f, gconstpointer unused)
{
    write_at(f->state, 4, "D");
    assert_refused(f, STEAD_ERROR_VERIFICATION);
}

/* Only zeros are missing, or too many. */
static void test_cut_file(Fixture *f, gconstpointer unused)
{
    g_assert_cmpint(truncate(f->memory, (off_t)(MEMORY - PAGE)), ==, 0);
    assert_refused(f, STEAD_ERROR_VERIFICATION);
    g_assert_cmpint(truncate(f->memory, (off_t)(MEMORY + PAGE)), ==, 0);
    assert_refused(f, STEAD_ERROR_VERIFICATION);
    g_assert_cmpint(truncate(f->memory, 0), ==, 0);
    assert_refused(f, STEAD_ERROR_VERIFICATION);
}

static void test_missing_files(Fixture *f, gconstpointer unused)
{
    g_autofree char *aside = g_build_filename(f->dir, "aside", NULL);
    const char *const files[] = {f->memory, f->state, f->sums};
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_assert_cmpint(rename(files[i], aside), ==, 0);
        assert_refused(f, STEAD_ERROR_NOT_FOUND);
        g_assert_cmpint(rename(aside, files[i]), ==, 0);
    }
    g_assert_cmpint(unlink(f->state), ==, 0);
    g_assert_false(stead_frozen_seal(f->dir, NULL));
}

static void test_senseless_sums(Fixture *f, gconstpointer unused)
{
    static const char *const senseless[] = {"", "\n", "one line", "a\nb", "a\nb\nc", "\n\n\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(senseless); i++) {
        g_assert_true(g_file_set_contents(f->sums, senseless[i], -1, NULL));
        assert_refused(f, STEAD_ERROR_VERIFICATION);
    }
}

static void test_no_link_is_followed(Fixture *f, gconstpointer unused)
{
    g_autofree char *aside = g_build_filename(f->dir, "aside", NULL);
    int memory, state;
    g_assert_cmpint(rename(f->memory, aside), ==, 0);
    g_assert_cmpint(symlink(aside, f->memory), ==, 0);
    g_assert_false(stead_frozen_open(f->cache, f->dir, &memory, &state, NULL));
    g_assert_false(stead_frozen_seal(f->dir, NULL));
}

static void test_holes_do_not_matter(Fixture *f, gconstpointer unused)
{
    g_autofree char *bytes = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(f->memory, &bytes, &n, NULL));
    g_assert_true(g_file_set_contents(f->memory, bytes, (gssize)n, NULL));
    stead_autofd memory = -1, state = -1;
    open_it(f, &memory, &state);
    /* Nor does the copy in memory have them filled. */
    g_assert_cmpuint(stead_frozen_resident(f->cache, f->dir), <, MEMORY / 2);
}

static void test_resident(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1;
    g_assert_cmpuint(stead_frozen_resident(f->cache, f->dir), ==, 0);
    open_it(f, &memory, &state);
    g_assert_cmpuint(stead_frozen_resident(f->cache, f->dir), >=, 4 * PAGE);
    stead_frozen_drop(f->cache, f->dir);
    g_assert_cmpuint(stead_frozen_resident(f->cache, f->dir), ==, 0);
}

/* What is in use stays; what is opened afterwards is what is on disk by then. */
static void test_dropped(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1;
    char byte = 0;
    open_it(f, &memory, &state);
    stead_frozen_drop(f->cache, f->dir);
    stead_frozen_drop(f->cache, "/nowhere");
    write_at(f->memory, 3 * PAGE, "X");
    g_assert_cmpint(pread(memory, &byte, 1, 3L * PAGE), ==, 1);
    g_assert_cmpint(byte, ==, 'a');
    assert_refused(f, STEAD_ERROR_VERIFICATION);
}

/* It was checked when it was read: the files may even go. */
static void test_checked_once(Fixture *f, gconstpointer unused)
{
    stead_autofd memory = -1, state = -1, memory2 = -1, state2 = -1;
    open_it(f, &memory, &state);
    g_assert_cmpint(unlink(f->memory), ==, 0);
    open_it(f, &memory2, &state2);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"content", test_content},
        {"shared-by-all", test_shared_by_all},
        {"nobody-can-change-it", test_nobody_can_change_it},
        {"what-is-mapped-is-private", test_what_is_mapped_is_private},
        {"changed-byte", test_changed_byte},
        {"moved-page", test_moved_page},
        {"byte-in-a-hole", test_byte_in_a_hole},
        {"changed-state", test_changed_state},
        {"cut-file", test_cut_file},
        {"missing-files", test_missing_files},
        {"senseless-sums", test_senseless_sums},
        {"no-link-is-followed", test_no_link_is_followed},
        {"holes-do-not-matter", test_holes_do_not_matter},
        {"resident", test_resident},
        {"dropped", test_dropped},
        {"checked-once", test_checked_once},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/frozen/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
