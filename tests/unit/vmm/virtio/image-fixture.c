/* SPDX-License-Identifier: Apache-2.0 */
#include "image-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 1500
#define LENGTH_MAX (300U << 10)

void image_write_pattern(const char *path, uint64_t size)
{
    g_autofree uint8_t *bytes = g_malloc(size);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(1 + i / 512 % 255);
    g_assert_true(g_file_set_contents(path, (char *)bytes, (gssize)size, NULL));
}

void image_write_mixture(const char *path, uint64_t size)
{
    static const uint8_t masks[] = {0x01, 0x0f, 0xff, 0x00, 0x3f, 0x03, 0x00};
    g_autofree uint8_t *bytes = g_malloc(size);
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)g_rand_int(rand) & masks[i / 29000 % sizeof masks];
    g_assert_true(g_file_set_contents(path, (char *)bytes, (gssize)size, NULL));
}

/* Its content is in the file with ".raw" behind the name. */
static void make_compressed(const ImageKind *kind, const char *path, uint64_t size)
{
    const char *compat = kind->is_old ? "0.10" : "1.1";
    g_autofree char *raw = g_strconcat(path, ".raw", NULL);
    image_write_mixture(raw, size);
    g_assert_cmpint(run("qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=%s,compat=%s %s %s",
                        kind->cluster, compat, raw, path),
                    ==, 0);
}

void image_open(ImageFixture *fixture)
{
    VmmError error = {""};
    int failed = vmm_qcow2_open(&fixture->image, fixture->fds, fixture->n_fds, false, &error);
    g_assert_cmpstr(error.text, ==, "");
    g_assert_cmpint(failed, ==, 0);
    g_assert_cmpuint(fixture->image->size, ==, fixture->size);
}

void image_read(ImageFixture *fixture, uint64_t offset, void *bytes, uint64_t length)
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

/* Whatever stands below the image. Returns its format; NULL: nothing does. */
static const char *make_backing(const ImageKind *kind, const char *base, const char *middle)
{
    if (kind->backing == 0)
        return NULL;
    const char *format = kind->is_compressed ? "qcow2" : "raw";
    if (kind->is_compressed)
        make_compressed(kind, base, kind->backing);
    else
        image_write_pattern(base, kind->backing);
    if (!kind->has_middle)
        return format;
    g_assert_cmpint(run("qemu-img create -q -f qcow2 -b %s -F %s %s %u", base, format, middle,
                        (unsigned)kind->size),
                    ==, 0);
    fill_middle(middle, base);
    if (kind->is_old)
        g_assert_cmpint(run("qemu-img amend -q -f qcow2 -o compat=0.10 %s", middle), ==, 0);
    return "qcow2";
}

static void make_image(const ImageKind *kind, const char *path, const char *below,
                       const char *format)
{
    if (kind->is_compressed && !format) {
        make_compressed(kind, path, kind->size);
        return;
    }
    g_autofree char *backing =
        format ? g_strdup_printf("-b %s -F %s ", below, format) : g_strdup("");
    g_assert_cmpint(run("qemu-img create -q -f qcow2 -o cluster_size=%s %s%s %u", kind->cluster,
                        backing, path, (unsigned)kind->size),
                    ==, 0);
}

void image_set_up(ImageFixture *fixture, const ImageKind *kind)
{
    *fixture = (ImageFixture){.folder = folder_new(), .size = kind->size};
    fixture->path = folder_path(fixture->folder, "top.qcow2");
    g_autofree char *base = folder_path(fixture->folder, "base");
    g_autofree char *middle = folder_path(fixture->folder, "middle.qcow2");
    const char *format = make_backing(kind, base, middle);
    make_image(kind, fixture->path, kind->has_middle ? middle : base, format);
    fixture->fds[fixture->n_fds++] = open_file(fixture->path, O_RDWR);
    if (kind->has_middle)
        fixture->fds[fixture->n_fds++] = open_file(middle, O_RDONLY);
    if (format)
        fixture->fds[fixture->n_fds++] = open_file(base, O_RDONLY);
    image_open(fixture);
    fixture->shadow = g_malloc0(kind->size);
    fixture->flushed = g_malloc0(kind->size);
    fixture->zeroed = g_malloc0(kind->size);
    image_read(fixture, 0, fixture->shadow, kind->size);
    memcpy(fixture->flushed, fixture->shadow, kind->size);
}

void image_tear_down(ImageFixture *fixture)
{
    for (unsigned i = 0; i < fixture->n_fds; i++)
        close(fixture->fds[i]);
    folder_free(fixture->folder);
    g_free(fixture->path);
    g_free(fixture->shadow);
    g_free(fixture->flushed);
    g_free(fixture->zeroed);
}

uint8_t *image_convert(ImageFixture *fixture, const char *path)
{
    g_autofree char *raw = folder_path(fixture->folder, "out.raw");
    char *bytes = NULL;
    gsize length = 0;
    g_assert_cmpint(run("qemu-img convert -f qcow2 -O raw %s %s", path, raw), ==, 0);
    g_assert_true(g_file_get_contents(raw, &bytes, &length, NULL));
    g_assert_cmpuint(length, ==, fixture->size);
    return (uint8_t *)bytes;
}

void image_assert_same(const uint8_t *found, const uint8_t *expected, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (found[i] != expected[i])
            g_error("byte %" G_GUINT64_FORMAT ": %u instead of %u", i, found[i], expected[i]);
}

void image_write(ImageFixture *fixture, uint64_t offset, uint64_t length)
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

static void zero(ImageFixture *fixture, uint64_t offset, uint64_t length)
{
    gboolean unmap = g_test_rand_bit();
    memset(fixture->shadow + offset, 0, length);
    memset(fixture->zeroed + offset, 1, length);
    g_assert_cmpint(fixture->image->ops->zero(fixture->image, offset, length, unmap), ==, 0);
}

void image_discard(ImageFixture *fixture, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *after = g_malloc(length);
    g_assert_cmpint(fixture->image->ops->discard(fixture->image, offset, length), ==, 0);
    image_read(fixture, offset, after, length);
    for (uint64_t i = 0; i < length; i++) {
        g_assert_true(after[i] == 0 || after[i] == fixture->shadow[offset + i]);
        fixture->shadow[offset + i] = after[i];
    }
}

void image_compare(ImageFixture *fixture, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *found = g_malloc(length);
    VmmExtent extent;
    image_read(fixture, offset, found, length);
    image_assert_same(found, fixture->shadow + offset, length);
    /* The fast way, where there is one, finds the same. */
    if (!fixture->image->ops->map(fixture->image, offset, length, false, &extent))
        return;
    g_assert_cmpuint(extent.length, <=, length);
    memset(found, 0, length);
    if (extent.fd >= 0)
        g_assert_cmpint(pread(extent.fd, found, extent.length, (off_t)extent.offset), ==,
                        extent.length);
    image_assert_same(found, fixture->shadow + offset, extent.length);
}

void image_flush(ImageFixture *fixture)
{
    g_assert_cmpint(fixture->image->ops->flush(fixture->image), ==, 0);
    memcpy(fixture->flushed, fixture->shadow, fixture->size);
    memset(fixture->zeroed, 0, fixture->size);
}

void image_change(ImageFixture *fixture, unsigned rounds, gboolean with_discards)
{
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t sector = (uint64_t)g_test_rand_int_range(0, (int)(fixture->size / 512));
        uint64_t offset = sector * 512;
        uint64_t room = MIN(fixture->size - offset, LENGTH_MAX);
        uint64_t length = 512 * (uint64_t)g_test_rand_int_range(1, (int)(room / 512) + 1);
        int choice = g_test_rand_int_range(0, 100);
        if (choice < 40)
            image_write(fixture, offset, MIN(length, 20480));
        else if (choice < 50)
            image_write(fixture, offset, length);
        else if (choice < 60)
            zero(fixture, offset, length);
        else if (choice < 70 && with_discards)
            image_discard(fixture, offset, length);
        else if (choice < 72)
            image_flush(fixture);
        else
            image_compare(fixture, offset, length);
    }
}

void image_check(ImageFixture *fixture)
{
    vmm_image_close(fixture->image);
    g_assert_cmpint(run("qemu-img check -q %s", fixture->path), ==, 0);
    g_autofree uint8_t *found = image_convert(fixture, fixture->path);
    image_assert_same(found, fixture->shadow, fixture->size);
}

void image_run(const ImageKind *kind)
{
    ImageFixture fixture;
    if (!has_qemu_img())
        return;
    image_set_up(&fixture, kind);
    image_change(&fixture, ROUNDS, TRUE);
    image_check(&fixture);
    image_open(&fixture); /* and once more, on what is there */
    image_change(&fixture, ROUNDS, TRUE);
    image_check(&fixture);
    image_tear_down(&fixture);
}
