/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that claims to be a qcow2 image: 16 bytes that choose what is done to it, then the file.
 * Whatever its tables say, only it is written to, and it stays of a size that fits what was done.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "fuzz.h"
#include "vmm/disk/image.h"

#define STEPS 16
#define FILE_MAX (1 << 20)
#define BYTES 8192
#define GROWTH_MAX                                                                                 \
    (64 << 20) /* 16 steps of at most two clusters and two tables of 2 MiB, rounded */

static void step(VmmImage *image, uint8_t what, unsigned number)
{
    static uint8_t bytes[BYTES];
    uint64_t length = 512ULL << (what >> 3 & 3);
    uint64_t room = image->size > length ? image->size - length : 0;
    uint64_t offset = number * (room / STEPS) / 512 * 512;
    struct iovec part = {bytes, length};
    VmmExtent extent;
    if (image->size < length)
        return;
    switch (what & 7) {
    case 0:
    case 1:
        image->ops->write(image, offset, &part, 1);
        break;
    case 2:
        image->ops->zero(image, offset, length, what & 32);
        break;
    case 3:
        image->ops->discard(image, offset, length);
        break;
    case 4:
        image->ops->flush(image);
        break;
    case 5:
        image->ops->map(image, offset, length, what & 32, &extent);
        break;
    default:
        image->ops->read(image, offset, &part, 1);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VmmImage *image = NULL;
    VmmError error = {""};
    struct stat info;
    if (size < STEPS || size > FILE_MAX)
        return 0;
    int fd = memfd_create("image", MFD_CLOEXEC);
    size_t length = size - STEPS;
    g_assert_cmpint(pwrite(fd, data + STEPS, length, 0), ==, (ssize_t)length);
    int failed = vmm_qcow2_open(&image, &fd, 1, data[0] & 64, &error);
    g_assert_true(failed == 0 ? image != NULL : error.text[0] != '\0');
    for (unsigned i = 0; !failed && i < STEPS; i++)
        if (!image->is_read_only || (data[i] & 7) > 4)
            step(image, data[i], i);
    vmm_image_close(image);
    g_assert_cmpint(fstat(fd, &info), ==, 0);
    g_assert_cmpint(info.st_blocks * 512, <=, (goffset)length + GROWTH_MAX);
    close(fd);
    return 0;
}
