/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing through the tables. A cluster that is written first time, which one that is compressed
 * also is, is written whole, with what stood there before around the new bytes, and only then
 * pointed to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/disk/qcow2.h"

#define PIECE 65536U /* zeros in memory, for ranges that are not whole clusters */

/* Fills a part of the buffer, which may be empty, with what stands at its place in the cluster. */
static int fill(VmmQcow2 *image, const VmmQcow2Stretch *was, uint64_t offset, struct iovec part)
{
    return part.iov_len == 0 ? 0 : vmm_qcow2_read(image, was, offset, &part, 1);
}

/* One cluster whole: `parts` at their place, the rest as it was. They end in that cluster. */
static int write_whole(VmmQcow2 *image, const VmmQcow2Stretch *was, uint64_t host, uint64_t offset,
                       const struct iovec *parts, unsigned n)
{
    uint64_t inside = offset & (image->cluster_size - 1), start = offset - inside;
    uint64_t end = inside + vmm_parts_length(parts, n);
    struct iovec all[VMM_IMAGE_PARTS_MAX];
    unsigned k = 0;
    if (n + 2 > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    if (!image->buffer)
        image->buffer = malloc(image->cluster_size);
    if (!image->buffer)
        return -ENOMEM;
    struct iovec before = {image->buffer, inside};
    struct iovec behind = {image->buffer + end, image->cluster_size - end};
    int failed = fill(image, was, start, before);
    if (!failed)
        failed = fill(image, was, start + end, behind);
    if (failed)
        return failed;
    if (before.iov_len > 0)
        all[k++] = before;
    memcpy(all + k, parts, n * sizeof *parts);
    k += n;
    if (behind.iov_len > 0)
        all[k++] = behind;
    return vmm_image_pwrite(image->image.fd, host, all, k);
}

static int set_entry(VmmQcow2 *image, const VmmQcow2Stretch *was, uint64_t offset, uint64_t entry)
{
    pthread_mutex_lock(&image->lock);
    int failed = vmm_qcow2_set(image, offset >> image->cluster_bits, entry);
    if (!failed && was->kind == VMM_QCOW2_IS_COMPRESSED)
        vmm_qcow2_let_go(image, was->compressed);
    pthread_mutex_unlock(&image->lock);
    return failed;
}

static int allocate(VmmQcow2 *image, uint64_t *host)
{
    pthread_mutex_lock(&image->lock);
    int failed = vmm_qcow2_allocate(image, host);
    pthread_mutex_unlock(&image->lock);
    return failed;
}

static void unallocate(VmmQcow2 *image, uint64_t host)
{
    pthread_mutex_lock(&image->lock);
    vmm_qcow2_unallocate(image, host);
    pthread_mutex_unlock(&image->lock);
}

/* A write, inside one cluster, to one that has no data of its own yet. */
static int write_first(VmmQcow2 *image, const VmmQcow2Stretch *was, uint64_t offset,
                       const struct iovec *parts, unsigned n)
{
    uint64_t host = was->host & ~(image->cluster_size - 1);
    if (host && !was->is_ours)
        return -EIO;
    int failed = host ? 0 : allocate(image, &host);
    if (failed)
        return failed;
    failed = write_whole(image, was, host, offset, parts, n);
    if (!failed)
        failed = set_entry(image, was, offset, host | VMM_QCOW2_OURS);
    if (failed && !was->host)
        unallocate(image, host);
    return failed;
}

int vmm_qcow2_write(VmmImage *base, uint64_t offset, const struct iovec *parts, unsigned n)
{
    VmmQcow2 *image = vmm_qcow2_of(base);
    struct iovec some[VMM_IMAGE_PARTS_MAX];
    uint64_t length = vmm_parts_length(parts, n);
    int failed = 0;
    VmmQcow2Stretch stretch;
    if (n + 2 > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    for (uint64_t done = 0; !failed && done < length; done += stretch.length) {
        uint64_t at = offset + done;
        uint64_t to_end = image->cluster_size - (at & (image->cluster_size - 1));
        failed = vmm_qcow2_find(image, at, length - done, &stretch);
        if (failed)
            return failed;
        if (stretch.kind != VMM_QCOW2_IS_DATA && stretch.length > to_end)
            stretch.length = to_end;
        unsigned k = vmm_parts_slice(parts, n, done, stretch.length, some);
        if (stretch.kind != VMM_QCOW2_IS_DATA)
            failed = write_first(image, &stretch, at, some, k);
        else if (!stretch.is_ours)
            failed = -EIO; /* shared with a snapshot inside the image, which is refused */
        else
            failed = vmm_image_pwrite(base->fd, stretch.host, some, k);
    }
    return failed;
}

/* A range inside one cluster that is not all of it. */
static int write_zeros(VmmQcow2 *image, uint64_t offset, uint64_t length)
{
    static uint8_t zeros[PIECE];
    int failed = 0;
    while (!failed && length > 0) {
        uint64_t n = length < PIECE ? length : PIECE;
        failed = vmm_qcow2_write(&image->image, offset, &(struct iovec){zeros, n}, 1);
        offset += n;
        length -= n;
    }
    return failed;
}

/* Gives the room of a cluster back; what cannot be given stays. */
static void punch(const VmmQcow2 *image, uint64_t host)
{
    if (fallocate(image->image.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)host,
                  (off_t)image->cluster_size) < 0)
        return;
}

/* A whole cluster. */
static int zero_cluster(VmmQcow2 *image, const VmmQcow2Stretch *was, uint64_t offset, bool unmap)
{
    uint64_t host = was->host;
    if (host && !was->is_ours)
        return -EIO;
    int failed = set_entry(image, was, offset, VMM_QCOW2_ZERO | (host ? host | VMM_QCOW2_OURS : 0));
    if (!failed && host && unmap)
        punch(image, host);
    return failed;
}

/* Walks over the clusters that a range touches, but for those that read as zeros already. Those
 * that it does not cover are left out by a discard. */
static int clear(VmmQcow2 *image, uint64_t offset, uint64_t length, bool unmap, bool is_discard)
{
    uint64_t end = offset + length;
    int failed = 0;
    VmmQcow2Stretch stretch;
    for (; !failed && offset < end; offset += stretch.length) {
        uint64_t inside = offset & (image->cluster_size - 1);
        failed = vmm_qcow2_find(image, offset, end - offset, &stretch);
        if (failed)
            return failed;
        if (stretch.kind == VMM_QCOW2_IS_ZERO ||
            (stretch.kind == VMM_QCOW2_IS_ABSENT && (is_discard || !image->backing)))
            continue;
        if (stretch.length > image->cluster_size - inside)
            stretch.length = image->cluster_size - inside;
        bool reaches_end = inside + stretch.length == image->cluster_size ||
                           offset + stretch.length == image->image.size;
        if (inside == 0 && reaches_end)
            failed = zero_cluster(image, &stretch, offset, unmap);
        else if (!is_discard)
            failed = write_zeros(image, offset, stretch.length);
    }
    return failed;
}

int vmm_qcow2_zero(VmmImage *base, uint64_t offset, uint64_t length, bool unmap)
{
    return clear(vmm_qcow2_of(base), offset, length, unmap, false);
}

int vmm_qcow2_discard(VmmImage *base, uint64_t offset, uint64_t length)
{
    return clear(vmm_qcow2_of(base), offset, length, true, true);
}
