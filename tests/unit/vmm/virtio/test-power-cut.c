/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2 image whose host loses its power. What is written is recorded; a cut keeps all that was
 * written before the last sync that had ended, and of what came after it any part, in any order.
 * Whatever is left must be an image in which nothing is damaged and nothing that was flushed is
 * lost, and that can be gone on with.
 *
 * The calls that change a file stand here in place of the C library's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "image-fixture.h"

#define SIZE (2U << 20)
#define ROUNDS 8
#define CHANGES 25
#define CUTS 6
#define SECTOR 512

typedef struct {
    uint64_t offset;
    uint64_t length;
    uint8_t *bytes; /* NULL: they became zeros */
    unsigned epoch; /* syncs that had ended before */
} Op;

static GArray *ops; /* recorded while it is there */
static unsigned epoch;

static void clear_op(gpointer data)
{
    g_free(((Op *)data)->bytes);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset);
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset)
{
    ssize_t written = syscall(SYS_pwritev, fd, parts, n, offset, 0);
    if (written <= 0 || !ops)
        return written;
    Op op = {(uint64_t)offset, (uint64_t)written, g_malloc((gsize)written), epoch};
    gsize at = 0;
    for (int i = 0; i < n && at < op.length; i++) {
        gsize some = MIN(parts[i].iov_len, op.length - at);
        memcpy(op.bytes + at, parts[i].iov_base, some);
        at += some;
    }
    g_array_append_val(ops, op);
    return written;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length);
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    int failed = (int)syscall(SYS_fallocate, fd, mode, offset, length);
    Op op = {(uint64_t)offset, (uint64_t)length, NULL, epoch};
    if (failed == 0 && ops)
        g_array_append_val(ops, op);
    return failed;
}

int fdatasync(int fd)
{
    epoch++;
    return 0;
}

typedef struct {
    Folder *folder;
    char *path;
    int fd;
    VmmImage *image;
    uint8_t *shadow;
    uint8_t *flushed;
    uint8_t *touched; /* since the last flush */
} Fixture;

static void open_image(Fixture *fixture)
{
    VmmError error = {""};
    int failed = vmm_qcow2_open(&fixture->image, &fixture->fd, 1, false, &error);
    g_assert_cmpstr(error.text, ==, "");
    g_assert_cmpint(failed, ==, 0);
}

static void set_up(Fixture *fixture, const char *cluster, gboolean is_compressed)
{
    *fixture = (Fixture){.folder = folder_new()};
    fixture->path = folder_path(fixture->folder, "a.qcow2");
    g_autofree char *raw = folder_path(fixture->folder, "a.raw");
    if (is_compressed)
        image_write_mixture(raw, SIZE);
    int code = is_compressed
                   ? run("qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=%s %s %s", cluster,
                         raw, fixture->path)
                   : run("qemu-img create -q -f qcow2 -o cluster_size=%s %s %u", cluster,
                         fixture->path, SIZE);
    g_assert_cmpint(code, ==, 0);
    fixture->fd = open_file(fixture->path, O_RDWR);
    fixture->shadow = g_malloc0(SIZE);
    fixture->touched = g_malloc0(SIZE);
    open_image(fixture);
    struct iovec all = {fixture->shadow, SIZE};
    g_assert_cmpint(fixture->image->ops->read(fixture->image, 0, &all, 1), ==, 0);
    fixture->flushed = g_memdup2(fixture->shadow, SIZE);
}

static void tear_down(Fixture *fixture)
{
    close(fixture->fd);
    folder_free(fixture->folder);
    g_free(fixture->path);
    g_free(fixture->shadow);
    g_free(fixture->flushed);
    g_free(fixture->touched);
}

/* Returns what the image said. */
static int change(Fixture *fixture)
{
    uint64_t offset = (uint64_t)g_test_rand_int_range(0, SIZE / SECTOR) * SECTOR;
    uint64_t length = (uint64_t)g_test_rand_int_range(1, 64) * SECTOR;
    length = MIN(length, SIZE - offset);
    g_autofree uint8_t *bytes = g_malloc(length);
    memset(bytes, g_test_rand_int_range(1, 256), length);
    struct iovec part = {bytes, length};
    gboolean is_write = g_test_rand_int_range(0, 4) > 0;
    int failed = is_write ? fixture->image->ops->write(fixture->image, offset, &part, 1)
                          : fixture->image->ops->zero(fixture->image, offset, length, true);
    memset(fixture->touched + offset, 1, length);
    if (!is_write)
        memset(bytes, 0, length);
    if (!failed)
        memcpy(fixture->shadow + offset, bytes, length);
    return failed;
}

static void flush(Fixture *fixture)
{
    g_assert_cmpint(fixture->image->ops->flush(fixture->image), ==, 0);
    memcpy(fixture->flushed, fixture->shadow, SIZE);
    memset(fixture->touched, 0, SIZE);
}

/* All of one operation, or the first sectors of it. */
static void apply(GByteArray *file, const Op *op, gboolean may_tear)
{
    uint64_t length = op->length, torn = (uint64_t)g_test_rand_int_range(0, 9) * SECTOR;
    if (may_tear && g_test_rand_bit() && torn < length)
        length = torn;
    if (length > 0 && op->offset + length > file->len) {
        guint before = file->len;
        g_byte_array_set_size(file, (guint)(op->offset + length));
        memset(file->data + before, 0, file->len - before);
    }
    if (length > 0 && op->bytes)
        memcpy(file->data + op->offset, op->bytes, length);
    else if (length > 0)
        memset(file->data + op->offset, 0, length);
}

/* The file as a cut before the n-th operation may leave it. */
static GByteArray *cut_at(const GByteArray *before, guint n)
{
    GByteArray *file = g_byte_array_new();
    unsigned last = n < ops->len ? g_array_index(ops, Op, n).epoch : epoch;
    g_byte_array_append(file, before->data, before->len);
    for (guint i = 0; i < n; i++) {
        const Op *op = &g_array_index(ops, Op, i);
        gboolean is_synced = op->epoch < last;
        if (is_synced || g_test_rand_bit())
            apply(file, op, !is_synced);
    }
    return file;
}

static void assert_sound(const char *path)
{
    int code = run("qemu-img check -q %s", path);
    g_assert_true(code == 0 || code == 3); /* 3: leaks, and nothing worse */
}

static void check_content(const Fixture *fixture, VmmImage *image, const uint8_t *touched)
{
    g_autofree uint8_t *found = g_malloc(SIZE);
    struct iovec part = {found, SIZE};
    g_assert_cmpint(image->ops->read(image, 0, &part, 1), ==, 0);
    for (uint64_t i = 0; i < SIZE; i++)
        if (!touched[i])
            g_assert_cmpuint(found[i], ==, fixture->flushed[i]);
}

static void check_cut(Fixture *fixture, const GByteArray *before, guint n)
{
    g_autoptr(GByteArray) file = cut_at(before, n);
    g_autofree char *path = folder_path(fixture->folder, "cut.qcow2");
    g_assert_true(g_file_set_contents(path, (const char *)file->data, (gssize)file->len, NULL));
    assert_sound(path);
    Fixture after = *fixture;
    GArray *recorded = g_steal_pointer(&ops); /* what follows is not the machine that was cut */
    after.fd = open_file(path, O_RDWR);
    after.shadow = g_memdup2(fixture->shadow, SIZE);
    after.touched = g_memdup2(fixture->touched, SIZE);
    open_image(&after);
    check_content(&after, after.image, after.touched);
    for (unsigned i = 0; i < 5; i++)
        g_assert_cmpint(change(&after), ==, 0);
    check_content(&after, after.image, after.touched);
    vmm_image_close(after.image);
    assert_sound(path);
    close(after.fd);
    g_free(after.shadow);
    g_free(after.touched);
    ops = recorded;
}

static void run_round(Fixture *fixture)
{
    char *bytes = NULL;
    gsize length = 0;
    g_assert_true(g_file_get_contents(fixture->path, &bytes, &length, NULL));
    GByteArray *before = g_byte_array_new_take((guint8 *)bytes, length);
    ops = g_array_new(FALSE, FALSE, sizeof(Op));
    g_array_set_clear_func(ops, clear_op);
    for (unsigned i = 0; i < CHANGES; i++)
        g_assert_cmpint(change(fixture), ==, 0);
    /* Cut before the flush, in it, and when its last sync has not ended. */
    g_assert_cmpint(fixture->image->ops->flush(fixture->image), ==, 0);
    for (unsigned i = 0; i < CUTS; i++)
        check_cut(fixture, before, ops->len - (guint)g_test_rand_int_range(0, (int)ops->len / 2));
    g_clear_pointer(&ops, g_array_unref);
    g_byte_array_unref(before);
    flush(fixture);
}

static void check_power_cuts(const char *cluster, gboolean is_compressed)
{
    Fixture fixture;
    if (!has_qemu_img())
        return;
    set_up(&fixture, cluster, is_compressed);
    for (unsigned i = 0; i < ROUNDS; i++)
        run_round(&fixture);
    vmm_image_close(fixture.image);
    g_assert_cmpint(run("qemu-img check -q %s", fixture.path), ==, 0);
    tear_down(&fixture);
}

static void test_power_cut(gconstpointer cluster)
{
    check_power_cuts(cluster, FALSE);
}

static void test_compressed(gconstpointer cluster)
{
    check_power_cuts(cluster, TRUE);
}

/* --- A host without room --- */

static void limit_files(rlim_t length)
{
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = length;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

/* Writes fail, and nothing else: what was there is there, and it goes on when there is room. */
static void test_no_room(void)
{
    Fixture fixture;
    unsigned failures = 0;
    if (!has_qemu_img())
        return;
    set_up(&fixture, "4k", FALSE);
    signal(SIGXFSZ, SIG_IGN);
    for (unsigned i = 0; i < CHANGES; i++)
        g_assert_cmpint(change(&fixture), ==, 0);
    flush(&fixture);
    limit_files((rlim_t)lseek(fixture.fd, 0, SEEK_END) + 10000);
    for (unsigned i = 0; i < 4 * CHANGES; i++)
        failures += change(&fixture) != 0;
    g_assert_cmpuint(failures, >, 0);
    check_content(&fixture, fixture.image, fixture.touched);
    fixture.image->ops->flush(fixture.image);
    assert_sound(fixture.path);
    limit_files(RLIM_INFINITY);
    check_content(&fixture, fixture.image, fixture.touched);
    for (unsigned i = 0; i < CHANGES; i++)
        g_assert_cmpint(change(&fixture), ==, 0);
    g_assert_cmpint(fixture.image->ops->flush(fixture.image), ==, 0);
    check_content(&fixture, fixture.image, fixture.touched);
    vmm_image_close(fixture.image);
    assert_sound(fixture.path);
    tear_down(&fixture);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/power-cut/64k", "64k", test_power_cut);
    g_test_add_data_func("/power-cut/4k", "4k", test_power_cut);
    g_test_add_data_func("/power-cut/1k", "1k", test_power_cut);
    g_test_add_data_func("/power-cut/compressed/64k", "64k", test_compressed);
    g_test_add_data_func("/power-cut/compressed/512", "512", test_compressed);
    g_test_add_func("/power-cut/no-room", test_no_room);
    return g_test_run();
}
