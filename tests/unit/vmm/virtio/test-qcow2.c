/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images against qemu-img: it makes them, we change them at random, and it finds what a copy
 * in memory says, and nothing to complain about.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-fixture.h"

#define SIZE (6U << 20)
#define INCOMPATIBLE 72 /* offset in the header */

static void test_random_alone(void)
{
    image_run(&(ImageKind){.cluster = "64k", .size = SIZE});
}

static void test_random_on_a_raw_base(void)
{
    image_run(&(ImageKind){.cluster = "64k", .size = SIZE, .backing = SIZE});
}

static void test_random_on_a_shorter_base(void)
{
    image_run(&(ImageKind){.cluster = "64k", .size = SIZE + 512 * 3, .backing = SIZE / 2 + 1024});
}

static void test_random_on_a_chain(void)
{
    image_run(&(ImageKind){.cluster = "64k", .size = SIZE, .backing = SIZE, .has_middle = TRUE});
}

static void test_random_small_clusters(void)
{
    image_run(&(ImageKind){.cluster = "1k", .size = SIZE, .backing = SIZE});
}

static void test_random_large_clusters(void)
{
    image_run(&(ImageKind){.cluster = "2M", .size = SIZE + 4096, .backing = SIZE});
}

/* What is in the file at any moment is what a killed process leaves. */
static void test_killed_at_any_time(void)
{
    ImageFixture fixture;
    if (!has_qemu_img())
        return;
    image_set_up(&fixture, &(ImageKind){.cluster = "4k", .size = SIZE, .backing = SIZE});
    g_autofree char *copy = folder_path(fixture.folder, "copy.qcow2");
    for (unsigned i = 0; i < 15; i++) {
        image_change(&fixture, 40, FALSE);
        g_assert_cmpint(run("cp %s %s", fixture.path, copy), ==, 0);
        int code = run("qemu-img check -q %s", copy);
        g_assert_true(code == 0 || code == 3); /* 3: leaks, and nothing worse */
        g_autofree uint8_t *found = image_convert(&fixture, copy);
        for (uint64_t k = 0; k < fixture.size; k++)
            if (!fixture.zeroed[k] && found[k] != fixture.shadow[k])
                g_assert_cmpuint(found[k], ==, fixture.flushed[k]);
        image_flush(&fixture);
        g_assert_cmpint(run("cp %s %s", fixture.path, copy), ==, 0);
        g_assert_cmpint(run("qemu-img check -q %s", copy), ==, 0);
        g_autofree uint8_t *now = image_convert(&fixture, copy);
        image_assert_same(now, fixture.shadow, fixture.size);
    }
    image_check(&fixture);
    image_tear_down(&fixture);
}

/* More tables than there is room for in memory: 1 KiB of entries each. */
static void test_tables_make_room(void)
{
    ImageFixture fixture;
    if (!has_qemu_img())
        return;
    image_set_up(&fixture, &(ImageKind){.cluster = "1k", .size = 48U << 20});
    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t offset = 0; offset < fixture.size; offset += 128 << 10)
            image_write(&fixture, offset + round * 1024, 512);
    image_compare(&fixture, 0, fixture.size);
    image_check(&fixture);
    image_tear_down(&fixture);
}

static void test_discarded_room_goes_back(void)
{
    ImageFixture fixture;
    struct stat before, after;
    if (!has_qemu_img())
        return;
    image_set_up(&fixture, &(ImageKind){.cluster = "64k", .size = SIZE});
    image_write(&fixture, 0, SIZE);
    memset(fixture.shadow, 'x', SIZE);
    struct iovec all = {fixture.shadow, SIZE};
    g_assert_cmpint(fixture.image->ops->write(fixture.image, 0, &all, 1), ==, 0);
    image_flush(&fixture);
    g_assert_cmpint(fstat(fixture.fds[0], &before), ==, 0);
    image_discard(&fixture, 0, SIZE);
    g_assert_cmpint(fstat(fixture.fds[0], &after), ==, 0);
    g_assert_cmpint(after.st_blocks, <, before.st_blocks / 4);
    g_assert_cmpint(fixture.shadow[SIZE / 2], ==, 0);
    image_check(&fixture);
    image_tear_down(&fixture);
}

/* A guest that writes and discards for ever gets the clusters that it gave up. */
static void test_file_of_a_guest_that_discards_is_bounded(void)
{
    ImageFixture fixture;
    struct stat first, last;
    if (!has_qemu_img())
        return;
    image_set_up(&fixture, &(ImageKind){.cluster = "4k", .size = SIZE});
    for (unsigned round = 0; round < 8; round++) {
        for (uint64_t offset = 0; offset + 65536 <= SIZE; offset += 65536)
            image_write(&fixture, offset, 65536);
        image_flush(&fixture);
        g_assert_cmpint(fstat(fixture.fds[0], round == 0 ? &first : &last), ==, 0);
        image_discard(&fixture, 0, SIZE);
        image_flush(&fixture);
    }
    g_assert_cmpint(last.st_size, ==, first.st_size);
    g_assert_cmpint(last.st_blocks, <, first.st_blocks + first.st_blocks / 8); /* the host's own */
    image_check(&fixture);
    image_tear_down(&fixture);
}

/* --- What is refused --- */

static char *try_open(const char *path, gboolean with_base)
{
    VmmImage *image = NULL;
    VmmError error = {""};
    int fds[2] = {open_file(path, O_RDWR), open_file("/dev/null", O_RDONLY)};
    int failed = vmm_qcow2_open(&image, fds, with_base ? 2 : 1, false, &error);
    g_assert_cmpint(failed == 0, ==, image != NULL);
    vmm_image_close(image);
    close(fds[0]);
    close(fds[1]);
    return g_strdup(error.text);
}

static void assert_refused(const char *path, const char *why)
{
    g_autofree char *text = try_open(path, FALSE);
    g_assert_nonnull(strstr(text, why));
}

static void test_refusals_by_option(void)
{
    static const struct {
        const char *options;
        const char *why;
    } cases[] = {
        {"compat=0.10", "version 3"},
        {"refcount_bits=1", "reference counts"},
        {"extended_l2=on", "extended tables"},
        {"compression_type=zstd", "compression"},
        {"cluster_size=512,size=1G", "too short for its size"},
    };
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_autofree char *path = folder_path(folder, "a.qcow2");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        unlink(path);
        if (run("qemu-img create -q -f qcow2 -o %s%s %s", cases[i].options,
                strstr(cases[i].options, "size=1G") ? "" : ",size=1M", path) == 0)
            assert_refused(path, cases[i].why);
    }
}

static void test_refuses_snapshots_inside(void)
{
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_autofree char *path = folder_path(folder, "a.qcow2");
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s 1M", path), ==, 0);
    g_assert_cmpint(run("qemu-img snapshot -c one %s", path), ==, 0);
    assert_refused(path, "snapshots inside");
}

static void test_refuses_a_dirty_image(void)
{
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_autofree char *path = folder_path(folder, "a.qcow2");
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s 1M", path), ==, 0);
    const uint64_t bits[] = {1, 2, 4, 0x4000};
    const char *const whys[] = {"dirty", "corrupt", "another file", "not known"};
    for (size_t i = 0; i < G_N_ELEMENTS(bits); i++) {
        uint64_t features = GUINT64_TO_BE(bits[i]);
        int fd = open_file(path, O_RDWR);
        g_assert_cmpint(pwrite(fd, &features, sizeof features, INCOMPATIBLE), ==, 8);
        close(fd);
        assert_refused(path, whys[i]);
    }
}

/* Read it can be, and it has none of what stands in its header's place for features. */
static void test_old_version_is_read_only(void)
{
    static const char *const options[] = {"compat=0.10", "compat=0.10,cluster_size=2M"};
    if (!has_qemu_img())
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        VmmImage *image = NULL;
        VmmError error = {""};
        g_autoptr(Folder) folder = folder_new();
        g_autofree char *path = folder_path(folder, "a.qcow2");
        g_assert_cmpint(run("qemu-img create -q -f qcow2 -o %s %s 1M", options[i], path), ==, 0);
        int fd = open_file(path, O_RDWR);
        g_autofree char *nonsense = g_strnfill(32, 'x'); /* up to where version 3's header ends */
        g_assert_cmpint(pwrite(fd, nonsense, 32, INCOMPATIBLE), ==, 32);
        g_assert_cmpint(vmm_qcow2_open(&image, &fd, 1, false, &error), ==, -EINVAL);
        g_assert_nonnull(strstr(error.text, "version 3"));
        g_assert_cmpint(vmm_qcow2_open(&image, &fd, 1, true, NULL), ==, 0);
        vmm_image_close(image);
        close(fd);
    }
}

static void test_refuses_another_backing(void)
{
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_autofree char *path = folder_path(folder, "a.qcow2");
    g_autofree char *base = folder_path(folder, "base");
    image_write_pattern(base, 4096);
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s 1M", path), ==, 0);
    g_autofree char *text = try_open(path, TRUE);
    g_assert_nonnull(strstr(text, "backed by nothing"));
    g_assert_cmpint(run("qemu-img create -q -f qcow2 -b %s -F raw %s 1M", base, path), ==, 0);
    assert_refused(path, "was not given");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qcow2/alone", test_random_alone);
    g_test_add_func("/qcow2/raw-base", test_random_on_a_raw_base);
    g_test_add_func("/qcow2/shorter-base", test_random_on_a_shorter_base);
    g_test_add_func("/qcow2/chain", test_random_on_a_chain);
    g_test_add_func("/qcow2/small-clusters", test_random_small_clusters);
    g_test_add_func("/qcow2/large-clusters", test_random_large_clusters);
    g_test_add_func("/qcow2/killed", test_killed_at_any_time);
    g_test_add_func("/qcow2/tables-make-room", test_tables_make_room);
    g_test_add_func("/qcow2/discard", test_discarded_room_goes_back);
    g_test_add_func("/qcow2/discard-bounded", test_file_of_a_guest_that_discards_is_bounded);
    g_test_add_func("/qcow2/refused-options", test_refusals_by_option);
    g_test_add_func("/qcow2/refused-snapshots", test_refuses_snapshots_inside);
    g_test_add_func("/qcow2/refused-dirty", test_refuses_a_dirty_image);
    g_test_add_func("/qcow2/old-version", test_old_version_is_read_only);
    g_test_add_func("/qcow2/refused-backing", test_refuses_another_backing);
    return g_test_run();
}
