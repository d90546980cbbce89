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

#include "tool.h"

#define SIZE (6U << 20)
#define ROUNDS 1500
#define LENGTH_MAX (300U << 10)
#define INCOMPATIBLE 72 /* offset in the header */

typedef struct {
    Folder *folder;
    char *path;
    int fds[4];
    unsigned n_fds;
    VmmImage *image;
    uint64_t size;
    uint8_t *shadow;  /* what the disk reads as */
    uint8_t *flushed; /* what it read as at the last flush */
    uint8_t *zeroed;  /* whether it was zeroed since: then the file may show what was in between */
} Fixture;

static void write_pattern(const char *path, uint64_t size)
{
    g_autofree uint8_t *bytes = g_malloc(size);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(1 + i / 512 % 255);
    g_assert_true(g_file_set_contents(path, (char *)bytes, (gssize)size, NULL));
}

static void open_image(Fixture *fixture)
{
    VmmError error = {""};
    int failed = vmm_qcow2_open(&fixture->image, fixture->fds, fixture->n_fds, false, &error);
    g_assert_cmpstr(error.text, ==, "");
    g_assert_cmpint(failed, ==, 0);
    g_assert_cmpuint(fixture->image->size, ==, fixture->size);
}

static void read_range(Fixture *fixture, uint64_t offset, void *bytes, uint64_t length)
{
    struct iovec part = {bytes, length};
    g_assert_cmpint(fixture->image->ops->read(fixture->image, offset, &part, 1), ==, 0);
}

/* Something of its own in the image between. */
static void fill_middle(const char *path, const char *base)
{
    VmmImage *image = NULL;
    int fds[] = {open_file(path, O_RDWR), open_file(base, O_RDONLY)};
    g_autofree char *bytes = g_strnfill(50000, 'm');
    struct iovec part = {bytes, 50000 / 512 * 512};
    g_assert_cmpint(vmm_qcow2_open(&image, fds, 2, false, NULL), ==, 0);
    g_assert_cmpint(image->ops->write(image, 100 << 10, &part, 1), ==, 0);
    vmm_image_close(image);
    close(fds[0]);
    close(fds[1]);
}

/* `backing` is 0, or the length of a raw file that backs it; with `middle` there is a qcow2
 * between the two. */
static void set_up(Fixture *fixture, const char *cluster, uint64_t size, uint64_t backing,
                   gboolean middle)
{
    fixture->folder = folder_new();
    fixture->path = folder_path(fixture->folder, "top.qcow2");
    g_autofree char *base = folder_path(fixture->folder, "base.raw");
    g_autofree char *between = folder_path(fixture->folder, "middle.qcow2");
    fixture->size = size;
    if (backing > 0)
        write_pattern(base, backing);
    if (middle)
        g_assert_cmpint(
            run("qemu-img create -q -f qcow2 -b %s -F raw %s %u", base, between, (unsigned)size),
            ==, 0);
    if (middle)
        fill_middle(between, base);
    const char *below = middle ? between : base, *format = middle ? "qcow2" : "raw";
    if (backing > 0)
        run("qemu-img create -q -f qcow2 -o cluster_size=%s -b %s -F %s %s %u", cluster, below,
            format, fixture->path, (unsigned)size);
    else
        run("qemu-img create -q -f qcow2 -o cluster_size=%s %s %u", cluster, fixture->path,
            (unsigned)size);
    fixture->fds[fixture->n_fds++] = open_file(fixture->path, O_RDWR);
    if (middle)
        fixture->fds[fixture->n_fds++] = open_file(between, O_RDONLY);
    if (backing > 0)
        fixture->fds[fixture->n_fds++] = open_file(base, O_RDONLY);
    open_image(fixture);
    fixture->shadow = g_malloc0(size);
    fixture->flushed = g_malloc0(size);
    fixture->zeroed = g_malloc0(size);
    read_range(fixture, 0, fixture->shadow, size);
    memcpy(fixture->flushed, fixture->shadow, size);
}

static void tear_down(Fixture *fixture)
{
    for (unsigned i = 0; i < fixture->n_fds; i++)
        close(fixture->fds[i]);
    folder_free(fixture->folder);
    g_free(fixture->path);
    g_free(fixture->shadow);
    g_free(fixture->flushed);
    g_free(fixture->zeroed);
}

/* What qemu-img reads from a qcow2 file. */
static uint8_t *convert(Fixture *fixture, const char *path)
{
    g_autofree char *raw = folder_path(fixture->folder, "out.raw");
    char *bytes = NULL;
    gsize length = 0;
    g_assert_cmpint(run("qemu-img convert -f qcow2 -O raw %s %s", path, raw), ==, 0);
    g_assert_true(g_file_get_contents(raw, &bytes, &length, NULL));
    g_assert_cmpuint(length, ==, fixture->size);
    return (uint8_t *)bytes;
}

static void assert_same(const uint8_t *found, const uint8_t *expected, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (found[i] != expected[i])
            g_error("byte %" G_GUINT64_FORMAT ": %u instead of %u", i, found[i], expected[i]);
}

static void write_random(Fixture *fixture, uint64_t offset, uint64_t length)
{
    struct iovec parts[3];
    uint8_t *bytes = fixture->shadow + offset;
    memset(bytes, g_test_rand_int_range(0, 256), length);
    uint64_t a = length / 3, b = length / 2;
    parts[0] = (struct iovec){bytes, a};
    parts[1] = (struct iovec){bytes + a, b - a};
    parts[2] = (struct iovec){bytes + b, length - b};
    g_assert_cmpint(fixture->image->ops->write(fixture->image, offset, parts, 3), ==, 0);
}

static void zero_random(Fixture *fixture, uint64_t offset, uint64_t length)
{
    gboolean unmap = g_test_rand_bit();
    memset(fixture->shadow + offset, 0, length);
    memset(fixture->zeroed + offset, 1, length);
    g_assert_cmpint(fixture->image->ops->zero(fixture->image, offset, length, unmap), ==, 0);
}

/* What was discarded reads as before or as zeros, and stays so. */
static void discard_random(Fixture *fixture, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *after = g_malloc(length);
    g_assert_cmpint(fixture->image->ops->discard(fixture->image, offset, length), ==, 0);
    read_range(fixture, offset, after, length);
    for (uint64_t i = 0; i < length; i++) {
        g_assert_true(after[i] == 0 || after[i] == fixture->shadow[offset + i]);
        fixture->shadow[offset + i] = after[i];
    }
}

static void compare_random(Fixture *fixture, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *found = g_malloc(length);
    VmmExtent extent;
    read_range(fixture, offset, found, length);
    assert_same(found, fixture->shadow + offset, length);
    /* The fast way, where there is one, finds the same. */
    if (!fixture->image->ops->map(fixture->image, offset, length, false, &extent))
        return;
    g_assert_cmpuint(extent.length, <=, length);
    memset(found, 0, length);
    if (extent.fd >= 0)
        g_assert_cmpint(pread(extent.fd, found, extent.length, (off_t)extent.offset), ==,
                        extent.length);
    assert_same(found, fixture->shadow + offset, extent.length);
}

static void flush(Fixture *fixture)
{
    g_assert_cmpint(fixture->image->ops->flush(fixture->image), ==, 0);
    memcpy(fixture->flushed, fixture->shadow, fixture->size);
    memset(fixture->zeroed, 0, fixture->size);
}

static void change_at_random(Fixture *fixture, unsigned rounds, gboolean with_discards)
{
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t sector = (uint64_t)g_test_rand_int_range(0, (int)(fixture->size / 512));
        uint64_t offset = sector * 512;
        uint64_t room = MIN(fixture->size - offset, LENGTH_MAX);
        uint64_t length = 512 * (uint64_t)g_test_rand_int_range(1, (int)(room / 512) + 1);
        int choice = g_test_rand_int_range(0, 100);
        if (choice < 40)
            write_random(fixture, offset, MIN(length, 20480));
        else if (choice < 50)
            write_random(fixture, offset, length);
        else if (choice < 60)
            zero_random(fixture, offset, length);
        else if (choice < 70 && with_discards)
            discard_random(fixture, offset, length);
        else if (choice < 72)
            flush(fixture);
        else
            compare_random(fixture, offset, length);
    }
}

static void check_against_qemu(Fixture *fixture)
{
    vmm_image_close(fixture->image);
    g_assert_cmpint(run("qemu-img check -q %s", fixture->path), ==, 0);
    g_autofree uint8_t *found = convert(fixture, fixture->path);
    assert_same(found, fixture->shadow, fixture->size);
}

static void run_random(const char *cluster, uint64_t size, uint64_t backing, gboolean middle)
{
    Fixture fixture = {0};
    if (!has_qemu_img())
        return;
    set_up(&fixture, cluster, size, backing, middle);
    change_at_random(&fixture, ROUNDS, TRUE);
    check_against_qemu(&fixture);
    open_image(&fixture); /* and once more, on what is there */
    change_at_random(&fixture, ROUNDS, TRUE);
    check_against_qemu(&fixture);
    tear_down(&fixture);
}

static void test_random_alone(void)
{
    run_random("64k", SIZE, 0, FALSE);
}

static void test_random_on_a_raw_base(void)
{
    run_random("64k", SIZE, SIZE, FALSE);
}

static void test_random_on_a_shorter_base(void)
{
    run_random("64k", SIZE + 512 * 3, SIZE / 2 + 1024, FALSE);
}

static void test_random_on_a_chain(void)
{
    run_random("64k", SIZE, SIZE, TRUE);
}

static void test_random_small_clusters(void)
{
    run_random("1k", SIZE, SIZE, FALSE);
}

static void test_random_large_clusters(void)
{
    run_random("2M", SIZE + 4096, SIZE, FALSE);
}

/* What is in the file at any moment is what a killed process leaves. */
static void test_killed_at_any_time(void)
{
    Fixture fixture = {0};
    if (!has_qemu_img())
        return;
    set_up(&fixture, "4k", SIZE, SIZE, FALSE);
    g_autofree char *copy = folder_path(fixture.folder, "copy.qcow2");
    for (unsigned i = 0; i < 15; i++) {
        change_at_random(&fixture, 40, FALSE);
        g_assert_cmpint(run("cp %s %s", fixture.path, copy), ==, 0);
        int code = run("qemu-img check -q %s", copy);
        g_assert_true(code == 0 || code == 3); /* 3: leaks, and nothing worse */
        g_autofree uint8_t *found = convert(&fixture, copy);
        for (uint64_t k = 0; k < fixture.size; k++)
            if (!fixture.zeroed[k] && found[k] != fixture.shadow[k])
                g_assert_cmpuint(found[k], ==, fixture.flushed[k]);
        flush(&fixture);
        g_assert_cmpint(run("cp %s %s", fixture.path, copy), ==, 0);
        g_assert_cmpint(run("qemu-img check -q %s", copy), ==, 0);
        g_autofree uint8_t *now = convert(&fixture, copy);
        assert_same(now, fixture.shadow, fixture.size);
    }
    check_against_qemu(&fixture);
    tear_down(&fixture);
}

/* More tables than there is room for in memory: 1 KiB of entries each. */
static void test_tables_make_room(void)
{
    Fixture fixture = {0};
    if (!has_qemu_img())
        return;
    set_up(&fixture, "1k", 48U << 20, 0, FALSE);
    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t offset = 0; offset < fixture.size; offset += 128 << 10)
            write_random(&fixture, offset + round * 1024, 512);
    compare_random(&fixture, 0, fixture.size);
    check_against_qemu(&fixture);
    tear_down(&fixture);
}

static void test_discarded_room_goes_back(void)
{
    Fixture fixture = {0};
    struct stat before, after;
    if (!has_qemu_img())
        return;
    set_up(&fixture, "64k", SIZE, 0, FALSE);
    write_random(&fixture, 0, SIZE);
    memset(fixture.shadow, 'x', SIZE);
    struct iovec all = {fixture.shadow, SIZE};
    g_assert_cmpint(fixture.image->ops->write(fixture.image, 0, &all, 1), ==, 0);
    flush(&fixture);
    g_assert_cmpint(fstat(fixture.fds[0], &before), ==, 0);
    discard_random(&fixture, 0, SIZE);
    g_assert_cmpint(fstat(fixture.fds[0], &after), ==, 0);
    g_assert_cmpint(after.st_blocks, <, before.st_blocks / 4);
    g_assert_cmpint(fixture.shadow[SIZE / 2], ==, 0);
    check_against_qemu(&fixture);
    tear_down(&fixture);
}

/* A guest that writes and discards for ever gets the clusters that it gave up. */
static void test_file_of_a_guest_that_discards_is_bounded(void)
{
    Fixture fixture = {0};
    struct stat first, last;
    if (!has_qemu_img())
        return;
    set_up(&fixture, "4k", SIZE, 0, FALSE);
    for (unsigned round = 0; round < 8; round++) {
        for (uint64_t offset = 0; offset + 65536 <= SIZE; offset += 65536)
            write_random(&fixture, offset, 65536);
        flush(&fixture);
        g_assert_cmpint(fstat(fixture.fds[0], round == 0 ? &first : &last), ==, 0);
        discard_random(&fixture, 0, SIZE);
        flush(&fixture);
    }
    g_assert_cmpint(last.st_size, ==, first.st_size);
    g_assert_cmpint(last.st_blocks, <, first.st_blocks + first.st_blocks / 8); /* the host's own */
    check_against_qemu(&fixture);
    tear_down(&fixture);
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

static void test_refuses_another_backing(void)
{
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_autofree char *path = folder_path(folder, "a.qcow2");
    g_autofree char *base = folder_path(folder, "base");
    write_pattern(base, 4096);
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s 1M", path), ==, 0);
    g_autofree char *text = try_open(path, TRUE);
    g_assert_nonnull(strstr(text, "backed by nothing"));
    g_assert_cmpint(run("qemu-img create -q -f qcow2 -b %s -F raw %s 1M", base, path), ==, 0);
    assert_refused(path, "was not given");
}

static void test_compressed_clusters_are_an_error(void)
{
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_autofree char *path = folder_path(folder, "a.qcow2");
    g_autofree char *raw = folder_path(folder, "a.raw");
    uint8_t bytes[512];
    write_pattern(raw, 1 << 20);
    g_assert_cmpint(run("qemu-img convert -c -f raw -O qcow2 %s %s", raw, path), ==, 0);
    VmmImage *image = NULL;
    int fd = open_file(path, O_RDWR);
    g_assert_cmpint(vmm_qcow2_open(&image, &fd, 1, false, NULL), ==, 0);
    struct iovec part = {bytes, sizeof bytes};
    g_assert_cmpint(image->ops->read(image, 0, &part, 1), ==, -EIO);
    g_assert_cmpint(image->ops->write(image, 0, &part, 1), ==, -EIO);
    vmm_image_close(image);
    close(fd);
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
    g_test_add_func("/qcow2/refused-backing", test_refuses_another_backing);
    g_test_add_func("/qcow2/compressed", test_compressed_clusters_are_an_error);
    return g_test_run();
}
