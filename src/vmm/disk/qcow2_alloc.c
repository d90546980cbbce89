/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New clusters come from the file's end, one after the other, and each is referenced once. So the
 * reference counts that are not in the file yet are a row of ones, and none are kept in memory.
 *
 * What lost its last reference is not allocated again here, and stays as it is: a disk that was
 * compressed and is written anew goes behind it.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/disk/qcow2.h"

#define ONES 2048 /* reference counts written at once */
#define PIECE 512 /* entries of the table read at once */

/* Reference counts in one block. */
static uint64_t per_block(const VmmQcow2 *image)
{
    return image->cluster_size / sizeof(uint16_t);
}

/* Where a block is; 0: there is none. */
static int find_block(const VmmQcow2 *image, uint64_t block, uint64_t *offset)
{
    uint64_t entry = 0;
    if (block >= image->refcount_entries)
        return -ENOSPC;
    int failed = vmm_image_pread_bytes(
        image->image.fd, image->refcount_table + block * sizeof entry, &entry, sizeof entry);
    *offset = be64toh(entry);
    if (!failed && *offset % image->cluster_size != 0)
        failed = -EIO;
    return failed;
}

/* The last block that is there, or -ENOENT. The table is read piece by piece from its end. */
static int64_t last_block(const VmmQcow2 *image)
{
    uint64_t piece[PIECE];
    for (uint64_t end = image->refcount_entries; end > 0;) {
        uint64_t start = (end - 1) / PIECE * PIECE, n = end - start;
        int failed =
            vmm_image_pread_bytes(image->image.fd, image->refcount_table + start * sizeof *piece,
                                  piece, n * sizeof *piece);
        if (failed)
            return failed;
        while (n > 0 && piece[n - 1] == 0)
            n--;
        if (n > 0)
            return (int64_t)(start + n - 1);
        end = start;
    }
    return -ENOENT;
}

/* One past the last cluster that a block counts a reference to; 0: it counts none. */
static int end_of_block(const VmmQcow2 *image, uint64_t block, uint64_t *end)
{
    uint64_t offset, n = per_block(image);
    int failed = find_block(image, block, &offset);
    uint16_t *counts = failed ? NULL : malloc(image->cluster_size);
    *end = 0;
    if (!counts)
        return failed ? failed : -ENOMEM;
    failed = vmm_image_pread_bytes(image->image.fd, offset, counts, image->cluster_size);
    while (!failed && n > 0 && counts[n - 1] == 0)
        n--;
    if (n > 0)
        *end = block * per_block(image) + n;
    free(counts);
    return failed;
}

/* Behind everything that is counted, and behind everything that is there, counted or not. */
int vmm_qcow2_find_free(VmmQcow2 *image)
{
    off_t size = lseek(image->image.fd, 0, SEEK_END);
    uint64_t counted = 0;
    if (size < 0)
        return -errno;
    int64_t block = last_block(image);
    if (block < 0)
        return block == -ENOENT ? -EIO : (int)block;
    int failed = end_of_block(image, (uint64_t)block, &counted);
    uint64_t there = ((uint64_t)size + image->cluster_size - 1) >> image->cluster_bits;
    image->next_free = counted > there ? counted : there;
    image->counted = image->next_free;
    image->known_block = UINT64_MAX;
    return failed;
}

/* A block that counts itself. It is whole on the medium before the table points to it. */
static int add_block(VmmQcow2 *image, uint64_t block)
{
    uint64_t offset = image->next_free << image->cluster_bits;
    uint64_t entry = htobe64(offset);
    uint16_t one = htobe16(1);
    uint64_t itself = image->next_free % per_block(image) * sizeof one;
    int fd = image->image.fd;
    int failed = vmm_image_pwrite_zeros(fd, offset, image->cluster_size);
    if (!failed)
        failed = vmm_image_pwrite_bytes(fd, offset + itself, &one, sizeof one);
    if (!failed && fdatasync(fd) < 0)
        failed = -errno;
    if (!failed)
        failed = vmm_image_pwrite_bytes(fd, image->refcount_table + block * sizeof entry, &entry,
                                        sizeof entry);
    if (!failed)
        image->next_free++;
    return failed;
}

/* Makes the next free cluster one that can be counted. */
static int prepare_block(VmmQcow2 *image)
{
    for (;;) {
        uint64_t offset, block = image->next_free / per_block(image);
        if (block == image->known_block)
            return 0;
        int failed = find_block(image, block, &offset);
        if (failed)
            return failed;
        if (offset != 0) {
            image->known_block = block;
            return 0;
        }
        failed = add_block(image, block);
        if (failed)
            return failed;
    }
}

int vmm_qcow2_allocate(VmmQcow2 *image, uint64_t *offset)
{
    int failed = prepare_block(image);
    if (failed)
        return failed;
    if (image->next_free >= VMM_QCOW2_FILE_MAX >> image->cluster_bits)
        return -ENOSPC;
    *offset = image->next_free++ << image->cluster_bits;
    return 0;
}

void vmm_qcow2_unallocate(VmmQcow2 *image, uint64_t offset)
{
    uint64_t last = image->next_free - 1;
    if (image->counted <= last && offset == last << image->cluster_bits)
        image->next_free--;
}

void vmm_qcow2_drop_reference(const VmmQcow2 *image, uint64_t offset)
{
    uint64_t block, cluster = offset >> image->cluster_bits;
    uint16_t count;
    if (find_block(image, cluster / per_block(image), &block) != 0 || block == 0)
        return;
    block += cluster % per_block(image) * sizeof count;
    if (vmm_image_pread_bytes(image->image.fd, block, &count, sizeof count) != 0 || count == 0)
        return;
    count = htobe16((uint16_t)(be16toh(count) - 1));
    vmm_image_pwrite_bytes(image->image.fd, block, &count, sizeof count);
}

static int write_ones(const VmmQcow2 *image, uint64_t offset, uint64_t n)
{
    uint16_t ones[ONES];
    int failed = 0;
    for (size_t i = 0; i < ONES; i++)
        ones[i] = htobe16(1);
    while (!failed && n > 0) {
        uint64_t some = n < ONES ? n : ONES;
        failed = vmm_image_pwrite_bytes(image->image.fd, offset, ones, some * sizeof *ones);
        offset += some * sizeof *ones;
        n -= some;
    }
    return failed;
}

int vmm_qcow2_write_refcounts(VmmQcow2 *image)
{
    while (image->counted < image->next_free) {
        uint64_t offset, in_block = image->counted % per_block(image);
        uint64_t n = per_block(image) - in_block;
        if (n > image->next_free - image->counted)
            n = image->next_free - image->counted;
        int failed = find_block(image, image->counted / per_block(image), &offset);
        if (!failed && offset == 0)
            failed = -EIO;
        if (!failed)
            failed = write_ones(image, offset + in_block * sizeof(uint16_t), n);
        if (failed)
            return failed;
        image->counted += n;
    }
    return 0;
}
