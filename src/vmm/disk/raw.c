/* SPDX-License-Identifier: Apache-2.0 */
/* A file or block device that is the disk, byte for byte. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/disk/image.h"

static bool map(VmmImage *image, uint64_t offset, uint64_t length, bool is_write, VmmExtent *extent)
{
    *extent = (VmmExtent){.fd = image->fd, .offset = offset, .length = length};
    return true;
}

static int read_parts(VmmImage *image, uint64_t offset, const struct iovec *parts, unsigned n)
{
    return vmm_image_pread(image->fd, offset, parts, n);
}

static int write_parts(VmmImage *image, uint64_t offset, const struct iovec *parts, unsigned n)
{
    return vmm_image_pwrite(image->fd, offset, parts, n);
}

static int allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    int failed;
    do
        failed = fallocate(fd, mode, (off_t)offset, (off_t)length) < 0 ? errno : 0;
    while (failed == EINTR);
    return -failed;
}

/* File systems that can do neither get zeros written. */
static int zero(VmmImage *image, uint64_t offset, uint64_t length, bool unmap)
{
    int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    int failed = allocate(image->fd, mode | FALLOC_FL_KEEP_SIZE, offset, length);
    return failed ? vmm_image_pwrite_zeros(image->fd, offset, length) : 0;
}

/* A wish that need not be met. */
static int discard(VmmImage *image, uint64_t offset, uint64_t length)
{
    allocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    return 0;
}

static int flush(VmmImage *image)
{
    return fdatasync(image->fd) < 0 ? -errno : 0;
}

static int close_image(VmmImage *image)
{
    free(image);
    return 0;
}

static const VmmImageOps ops = {
    .map = map,
    .read = read_parts,
    .write = write_parts,
    .zero = zero,
    .discard = discard,
    .flush = flush,
    .close = close_image,
};

int vmm_raw_open(VmmImage **image, int fd, bool is_read_only, VmmError *error)
{
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return vmm_error_errno(error, -errno, "the size of the disk is not known");
    VmmImage *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (VmmImage){
        .ops = &ops,
        .size = (uint64_t)size,
        .is_read_only = is_read_only,
        .flush_is_sync = true,
        .fd = fd,
    };
    *image = made;
    return 0;
}
