/* SPDX-License-Identifier: Apache-2.0 */
/* A frozen machine is used as it was summed up, by several, and changed by none of them. */
#include "runtime/microvm/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "runtime/microvm/frozen_sums.h"

#define MEMORY ((gsize)4 << 20)
#define PAGE 4096
#define PATIENCE (10 * G_TIME_SPAN_SECOND)

typedef struct {
    char *dir, *memory, *state, *disk, *sums;
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
    f->disk = g_build_filename(f->dir, "disk0.qcow2", NULL);
    f->sums = g_build_filename(f->dir, "sums", NULL);
    f->cache = stead_frozen_cache_new();
    write_at(f->memory, 3 * PAGE, "a page");
    write_at(f->memory, MEMORY / 2 - 2, "over a border");
    g_assert_cmpint(truncate(f->memory, (off_t)MEMORY), ==, 0);
    write_at(f->state, 0, "its devices");
    write_at(f->disk, 5 * PAGE, "a file system");
    stead_frozen_sums_write(f->dir, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_frozen_cache_free(f->cache);
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->memory);
    g_free(f->state);
    g_free(f->disk);
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

static void assert_disks_refused(Fixture *f, SteadErrorCode code, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_frozen_check(f->cache, f->dir, &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, words));
}

static void check_disks(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    stead_frozen_check(f->cache, f->dir, &error);
    g_assert_no_error(error);
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
    g_autoptr(GError) error = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_assert_cmpint(rename(files[i], aside), ==, 0);
        assert_refused(f, STEAD_ERROR_NOT_FOUND);
        g_assert_cmpint(rename(aside, files[i]), ==, 0);
    }
    g_assert_cmpint(unlink(f->state), ==, 0);
    stead_frozen_drop(f->cache, f->dir);
    stead_frozen_sums_write(f->dir, &error);
    g_assert_no_error(error);
    assert_refused(f, STEAD_ERROR_NOT_FOUND);
    g_assert_false(stead_frozen_sums_write("/nowhere", NULL));
}

static void test_senseless_sums(Fixture *f, gconstpointer unused)
{
    g_autofree char *right = NULL, *other = NULL, *cut = NULL;
    g_assert_true(g_file_get_contents(f->sums, &right, NULL, NULL));
    const char *lines = strchr(right, '\n') + 1;
    g_autoptr(GString) endless = g_string_new(right);
    for (guint i = 0; i < 300; i++)
        g_string_append_printf(endless, "1 a disk%u\n", i);
    other = g_strconcat("stead-frozen 1\n", lines, NULL);
    cut = g_strndup(right, strlen(right) - strlen("disk0.qcow2") - 2);
    const char *const senseless[] = {"",       "\n",  "one line", "a\nb", "a\nb\nc",
                                     "\n\n\n", lines, other,      cut,    endless->str};
    for (gsize i = 0; i < G_N_ELEMENTS(senseless); i++) {
        g_assert_true(g_file_set_contents(f->sums, senseless[i], -1, NULL));
        assert_refused(f, STEAD_ERROR_VERIFICATION);
        assert_disks_refused(f, STEAD_ERROR_VERIFICATION, "another version");
    }
}

/* Nothing outside the folder is read because its sums say so. */
static void test_names_that_lead_elsewhere(Fixture *f, gconstpointer unused)
{
    static const char *const names[] = {"../sums", "..", ".", "/etc/passwd", "a/b", ""};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *text = g_strdup_printf("stead-frozen 2\n1 a %s\n", names[i]);
        g_assert_true(g_file_set_contents(f->sums, text, -1, NULL));
        assert_disks_refused(f, STEAD_ERROR_VERIFICATION, "sums");
    }
}

static void test_no_link_is_followed(Fixture *f, gconstpointer unused)
{
    g_autofree char *aside = g_build_filename(f->dir, "aside", NULL);
    int memory, state;
    g_assert_cmpint(rename(f->memory, aside), ==, 0);
    g_assert_cmpint(symlink(aside, f->memory), ==, 0);
    g_assert_false(stead_frozen_open(f->cache, f->dir, &memory, &state, NULL));
    g_assert_false(stead_frozen_sums_write(f->dir, NULL));
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

/* ---- disks ---- */

static void test_changed_disk(Fixture *f, gconstpointer unused)
{
    write_at(f->disk, 5 * PAGE + 2, "F");
    assert_disks_refused(f, STEAD_ERROR_VERIFICATION, f->disk);
    assert_disks_refused(f, STEAD_ERROR_VERIFICATION, "checksum");
    write_at(f->disk, 5 * PAGE + 2, "f");
    check_disks(f);
}

static void test_missing_disk(Fixture *f, gconstpointer unused)
{
    check_disks(f);
    g_assert_cmpint(unlink(f->disk), ==, 0);
    assert_disks_refused(f, STEAD_ERROR_NOT_FOUND, f->disk);
}

/* A line that is lost does not make its file right. */
static void test_disk_without_a_sum(Fixture *f, gconstpointer unused)
{
    g_autofree char *sums = NULL;
    g_assert_true(g_file_get_contents(f->sums, &sums, NULL, NULL));
    char *header_end = strchr(sums, '\n') + 1;
    *header_end = '\0';
    g_assert_true(g_file_set_contents(f->sums, sums, -1, NULL));
    assert_disks_refused(f, STEAD_ERROR_VERIFICATION, "disk0.qcow2, which has no checksum");
}

/* A machine without disks is kept without its memory: that is little, and is whole. */
static void test_nothing_at_all(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    const char *const files[] = {f->memory, f->state, f->disk, f->sums};
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        g_assert_cmpint(unlink(files[i]), ==, 0);
    stead_frozen_sums_write(f->dir, &error);
    g_assert_no_error(error);
    check_disks(f);
    assert_refused(f, STEAD_ERROR_NOT_FOUND);
}

/* Of memory and state nothing has to be left: others have them. */
static void test_disks_alone(Fixture *f, gconstpointer unused)
{
    g_assert_cmpint(unlink(f->memory), ==, 0);
    write_at(f->state, 0, "X");
    check_disks(f);
}

/* Whether the disk was read since the last question. */
static gboolean was_read(int watch)
{
    char events[4096];
    return read(watch, events, sizeof events) > 0;
}

static int watch_disk(const Fixture *f)
{
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    g_assert_cmpint(inotify_add_watch(watch, f->disk, IN_ACCESS), >=, 0);
    return watch;
}

/* Until its check is remembered, and it is not read again. */
static void settle(Fixture *f, int watch)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE;
    check_disks(f);
    g_assert_true(was_read(watch));
    do {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        check_disks(f);
    } while (was_read(watch));
}

static void test_disk_is_read_again_when_touched(Fixture *f, gconstpointer unused)
{
    stead_autofd watch = watch_disk(f);
    settle(f, watch);
    write_at(f->disk, 5 * PAGE + 2, "F");
    assert_disks_refused(f, STEAD_ERROR_VERIFICATION, f->disk);
    write_at(f->disk, 5 * PAGE + 2, "f");
    check_disks(f);
    g_assert_true(was_read(watch));
}

/* What was written a moment ago may be written again in the same tick of the clock. */
static void test_disk_that_is_new(Fixture *f, gconstpointer unused)
{
    stead_autofd watch = watch_disk(f);
    gboolean twice = FALSE;
    for (guint i = 0; i < 100 && !twice; i++) { /* but a test may be kept waiting */
        write_at(f->disk, 5 * PAGE, "a");
        check_disks(f);
        g_assert_true(was_read(watch));
        check_disks(f);
        twice = was_read(watch);
    }
    g_assert_true(twice);
}

static void test_disk_whose_time_was_put_back(Fixture *f, gconstpointer unused)
{
    struct stat st;
    stead_autofd watch = watch_disk(f);
    settle(f, watch);
    g_assert_cmpint(stat(f->disk, &st), ==, 0);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    write_at(f->disk, 5 * PAGE + 2, "F");
    g_assert_cmpint(utimensat(AT_FDCWD, f->disk, times, 0), ==, 0);
    assert_disks_refused(f, STEAD_ERROR_VERIFICATION, f->disk);
}

/* Another file of the same size and time. */
static void test_disk_that_was_replaced(Fixture *f, gconstpointer unused)
{
    struct stat st;
    stead_autofd watch = watch_disk(f);
    g_autofree char *other = g_strconcat(f->disk, ".other", NULL);
    settle(f, watch);
    g_assert_cmpint(stat(f->disk, &st), ==, 0);
    write_at(other, 5 * PAGE, "another system");
    g_assert_cmpint(truncate(other, st.st_size), ==, 0);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    g_assert_cmpint(utimensat(AT_FDCWD, other, times, 0), ==, 0);
    g_assert_cmpint(rename(other, f->disk), ==, 0);
    assert_disks_refused(f, STEAD_ERROR_VERIFICATION, f->disk);
}

/* Reading one that is large keeps nobody who asks for anything else. */
typedef struct {
    Fixture *f;
    gint opened;
} Opening;

static gpointer open_slowly(gpointer data)
{
    Opening *opening = data;
    stead_autofd memory = -1, state = -1;
    open_it(opening->f, &memory, &state);
    g_atomic_int_set(&opening->opened, 1);
    return NULL;
}

static void test_nobody_else_waits(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *zeros = g_malloc(64);
    Opening opening = {f, 0};
    memset(zeros, 'x', 63);
    zeros[63] = '\0';
    for (gsize at = 0; at < (gsize)64 << 20; at += PAGE)
        write_at(f->memory, at, zeros);
    stead_frozen_sums_write(f->dir, &error);
    g_assert_no_error(error);
    GThread *thread = g_thread_new("opening", open_slowly, &opening);
    guint64 asked = 0;
    while (!g_atomic_int_get(&opening.opened)) {
        stead_frozen_resident(f->cache, f->dir);
        asked++;
    }
    g_thread_join(thread);
    g_assert_cmpuint(asked, >, 1000);
    g_assert_cmpuint(stead_frozen_resident(f->cache, f->dir), >=, (guint64)64 << 20);
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
        {"names-that-lead-elsewhere", test_names_that_lead_elsewhere},
        {"changed-disk", test_changed_disk},
        {"missing-disk", test_missing_disk},
        {"disk-without-a-sum", test_disk_without_a_sum},
        {"nothing-at-all", test_nothing_at_all},
        {"disks-alone", test_disks_alone},
        {"disk-is-read-again-when-touched", test_disk_is_read_again_when_touched},
        {"disk-that-is-new", test_disk_that_is_new},
        {"disk-whose-time-was-put-back", test_disk_whose_time_was_put_back},
        {"disk-that-was-replaced", test_disk_that_was_replaced},
        {"nobody-else-waits", test_nobody_else_waits},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/frozen/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
