/* SPDX-License-Identifier: Apache-2.0 */
/* Whole transfers between scattered memory and a file. */
#include <errno.h>
#include <unistd.h>

#include "vmm/disk/image.h"

typedef ssize_t (*Transfer)(int fd, const struct iovec *parts, int n, off_t offset);

/* Until all is done, nothing moves any more, or it fails. Returns the bytes or a negative errno. */
static int64_t transfer_all(Transfer transfer, int fd, uint64_t offset, const struct iovec *parts,
                            unsigned n)
{
    uint64_t length = vmm_parts_length(parts, n), done = 0;
    if (offset > INT64_MAX - length)
        return -EFBIG;
    while (done < length) {
        struct iovec rest[VMM_IMAGE_PARTS_MAX];
        unsigned left = vmm_parts_slice(parts, n, done, length - done, rest);
        ssize_t moved = transfer(fd, rest, (int)left, (off_t)(offset + done));
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return -errno;
        if (moved == 0)
            break;
        done += (uint64_t)moved;
    }
    return (int64_t)done;
}

int vmm_image_pread(int fd, uint64_t offset, const struct iovec *parts, unsigned n)
{
    struct iovec rest[VMM_IMAGE_PARTS_MAX];
    if (n > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    int64_t done = transfer_all(preadv, fd, offset, parts, n);
    if (done < 0)
        return (int)done;
    vmm_parts_zero(rest, vmm_parts_slice(parts, n, (uint64_t)done, UINT64_MAX, rest));
    return 0;
}

int vmm_image_pwrite(int fd, uint64_t offset, const struct iovec *parts, unsigned n)
{
    if (n > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    int64_t done = transfer_all(pwritev, fd, offset, parts, n);
    if (done < 0)
        return (int)done;
    return (uint64_t)done == vmm_parts_length(parts, n) ? 0 : -EIO;
}

int vmm_image_pread_bytes(int fd, uint64_t offset, void *bytes, uint64_t length)
{
    return vmm_image_pread(fd, offset, &(struct iovec){bytes, length}, 1);
}

int vmm_image_pwrite_bytes(int fd, uint64_t offset, const void *bytes, uint64_t length)
{
    return vmm_image_pwrite(fd, offset, &(struct iovec){(void *)bytes, length}, 1);
}

int vmm_image_pwrite_zeros(int fd, uint64_t offset, uint64_t length)
{
    static uint8_t zeros[65536]; /* not const: it takes no room in the program then */
    int failed = 0;
    while (!failed && length > 0) {
        uint64_t n = length < sizeof zeros ? length : sizeof zeros;
        failed = vmm_image_pwrite_bytes(fd, offset, zeros, n);
        offset += n;
        length -= n;
    }
    return failed;
}

void vmm_image_close(VmmImage *image)
{
    if (image)
        image->ops->close(image);
}
