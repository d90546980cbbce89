/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing through the tables, a stretch of equal clusters at a time. A cluster that is
 * written first time is written whole, with what stood there before around the new bytes, and only
 * then pointed to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/disk/qcow2.h"

#define PIECE 65536U /* zeros in memory, for ranges that are not whole clusters */

typedef enum {
    ABSENT, /* the backing image's, or zeros */
    ZERO,
    DATA,
} Kind;

/* Bytes of the disk that have one kind, and for data follow each other in the file. */
typedef struct {
    Kind kind;
    uint64_t host; /* of the first byte; 0: no cluster is allocated */
    bool is_ours;
    uint64_t length;
} Stretch;

static VmmQcow2 *of_image(VmmImage *image)
{
    return (VmmQcow2 *)image;
}

static int decode(const VmmQcow2 *image, uint64_t entry, Stretch *stretch)
{
    uint64_t host = entry & VMM_QCOW2_OFFSET;
    if (entry & ~(VMM_QCOW2_OFFSET | VMM_QCOW2_OURS | VMM_QCOW2_ZERO) ||
        (host != 0 && !vmm_qcow2_is_cluster(image, host)))
        return -EIO;
    stretch->host = host;
    stretch->is_ours = entry & VMM_QCOW2_OURS;
    stretch->kind = entry & VMM_QCOW2_ZERO ? ZERO : host ? DATA : ABSENT;
    return 0;
}

static int look_up(VmmQcow2 *image, uint64_t cluster, bool may_block, Stretch *stretch)
{
    uint64_t entry;
    int failed = vmm_qcow2_get(image, cluster, may_block, &entry);
    return failed ? failed : decode(image, entry, stretch);
}

static bool goes_on(const Stretch *first, const Stretch *next, uint64_t distance)
{
    if (first->kind != next->kind || first->is_ours != next->is_ours)
        return false;
    return first->kind != DATA || next->host == first->host + distance;
}

/* The stretch that the range begins with, cut to the range. With the lock held. */
static int find_stretch(VmmQcow2 *image, uint64_t offset, uint64_t length, bool may_block,
                        Stretch *stretch)
{
    uint64_t cluster = offset >> image->cluster_bits;
    uint64_t inside = offset & (image->cluster_size - 1);
    uint64_t reach = image->cluster_size;
    int failed = look_up(image, cluster, may_block, stretch);
    if (failed)
        return failed;
    while (reach - inside < length) {
        Stretch next;
        if (look_up(image, ++cluster, may_block, &next) || !goes_on(stretch, &next, reach))
            break;
        reach += image->cluster_size;
    }
    stretch->length = reach - inside < length ? reach - inside : length;
    if (stretch->host)
        stretch->host += inside;
    return 0;
}

static int find_stretch_locked(VmmQcow2 *image, uint64_t offset, uint64_t length, Stretch *stretch)
{
    pthread_mutex_lock(&image->lock);
    int failed = find_stretch(image, offset, length, true, stretch);
    pthread_mutex_unlock(&image->lock);
    return failed;
}

static bool map_backing(const VmmQcow2 *image, uint64_t offset, uint64_t length, VmmExtent *extent)
{
    VmmImage *backing = image->backing;
    *extent = (VmmExtent){.fd = -1, .length = length};
    if (!backing || offset >= backing->size)
        return true;
    uint64_t there = backing->size - offset;
    return backing->ops->map(backing, offset, there < length ? there : length, false, extent);
}

static bool map(VmmImage *base, uint64_t offset, uint64_t length, bool is_write, VmmExtent *extent)
{
    VmmQcow2 *image = of_image(base);
    Stretch stretch;
    if (pthread_mutex_trylock(&image->lock) != 0)
        return false;
    int failed = find_stretch(image, offset, length, false, &stretch);
    pthread_mutex_unlock(&image->lock);
    if (failed || (is_write && !(stretch.kind == DATA && stretch.is_ours)))
        return false;
    if (stretch.kind == ABSENT)
        return map_backing(image, offset, stretch.length, extent);
    *extent = (VmmExtent){
        .fd = stretch.kind == DATA ? base->fd : -1,
        .offset = stretch.host,
        .length = stretch.length,
    };
    return true;
}

/* Beyond the backing image's end there are zeros. */
static int read_backing(VmmQcow2 *image, uint64_t offset, const struct iovec *parts, unsigned n)
{
    struct iovec some[VMM_IMAGE_PARTS_MAX];
    uint64_t length = vmm_parts_length(parts, n), there = 0;
    VmmImage *backing = image->backing;
    if (backing && offset < backing->size)
        there = backing->size - offset < length ? backing->size - offset : length;
    vmm_parts_zero(some, vmm_parts_slice(parts, n, there, length - there, some));
    if (there == 0)
        return 0;
    return backing->ops->read(backing, offset, some, vmm_parts_slice(parts, n, 0, there, some));
}

static int read_parts(VmmImage *base, uint64_t offset, const struct iovec *parts, unsigned n)
{
    VmmQcow2 *image = of_image(base);
    struct iovec some[VMM_IMAGE_PARTS_MAX];
    uint64_t length = vmm_parts_length(parts, n);
    int failed = 0;
    Stretch stretch;
    if (n > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    for (uint64_t done = 0; !failed && done < length; done += stretch.length) {
        failed = find_stretch_locked(image, offset + done, length - done, &stretch);
        if (failed)
            return failed;
        unsigned k = vmm_parts_slice(parts, n, done, stretch.length, some);
        if (stretch.kind == DATA)
            failed = vmm_image_pread(base->fd, stretch.host, some, k);
        else if (stretch.kind == ABSENT)
            failed = read_backing(image, offset + done, some, k);
        else
            vmm_parts_zero(some, k);
    }
    return failed;
}

/* Fills a part of the buffer with what the disk has at its place in the cluster. */
static int fill(VmmQcow2 *image, Kind kind, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    if (length == 0)
        return 0;
    if (kind == ABSENT)
        return read_backing(image, offset, &(struct iovec){bytes, length}, 1);
    memset(bytes, 0, length);
    return 0;
}

/* One cluster whole: `parts` at their place, the rest as it was. They end in that cluster. */
static int write_whole(VmmQcow2 *image, const Stretch *was, uint64_t host, uint64_t offset,
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
    int failed = fill(image, was->kind, start, image->buffer, inside);
    if (!failed)
        failed =
            fill(image, was->kind, start + end, image->buffer + end, image->cluster_size - end);
    if (failed)
        return failed;
    if (inside > 0)
        all[k++] = (struct iovec){image->buffer, inside};
    memcpy(all + k, parts, n * sizeof *parts);
    k += n;
    if (end < image->cluster_size)
        all[k++] = (struct iovec){image->buffer + end, image->cluster_size - end};
    return vmm_image_pwrite(image->image.fd, host, all, k);
}

static int set_entry(VmmQcow2 *image, uint64_t offset, uint64_t entry)
{
    pthread_mutex_lock(&image->lock);
    int failed = vmm_qcow2_set(image, offset >> image->cluster_bits, entry);
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
static int write_first(VmmQcow2 *image, const Stretch *was, uint64_t offset,
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
        failed = set_entry(image, offset, host | VMM_QCOW2_OURS);
    if (failed && !was->host)
        unallocate(image, host);
    return failed;
}

static int write_parts(VmmImage *base, uint64_t offset, const struct iovec *parts, unsigned n)
{
    VmmQcow2 *image = of_image(base);
    struct iovec some[VMM_IMAGE_PARTS_MAX];
    uint64_t length = vmm_parts_length(parts, n);
    int failed = 0;
    Stretch stretch;
    if (n + 2 > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    for (uint64_t done = 0; !failed && done < length; done += stretch.length) {
        uint64_t at = offset + done;
        uint64_t to_end = image->cluster_size - (at & (image->cluster_size - 1));
        failed = find_stretch_locked(image, at, length - done, &stretch);
        if (failed)
            return failed;
        if (stretch.kind != DATA && stretch.length > to_end)
            stretch.length = to_end;
        unsigned k = vmm_parts_slice(parts, n, done, stretch.length, some);
        if (stretch.kind != DATA)
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
        failed = write_parts(&image->image, offset, &(struct iovec){zeros, n}, 1);
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
static int zero_cluster(VmmQcow2 *image, const Stretch *was, uint64_t offset, bool unmap)
{
    uint64_t host = was->host;
    if (host && !was->is_ours)
        return -EIO;
    int failed = set_entry(image, offset, VMM_QCOW2_ZERO | (host ? host | VMM_QCOW2_OURS : 0));
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
    Stretch stretch;
    for (; !failed && offset < end; offset += stretch.length) {
        uint64_t inside = offset & (image->cluster_size - 1);
        failed = find_stretch_locked(image, offset, end - offset, &stretch);
        if (failed)
            return failed;
        if (stretch.kind == ZERO || (stretch.kind == ABSENT && (is_discard || !image->backing)))
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

static int zero(VmmImage *base, uint64_t offset, uint64_t length, bool unmap)
{
    return clear(of_image(base), offset, length, unmap, false);
}

static int discard(VmmImage *base, uint64_t offset, uint64_t length)
{
    return clear(of_image(base), offset, length, true, true);
}

static int commit(VmmQcow2 *image)
{
    pthread_mutex_lock(&image->lock);
    int failed = vmm_qcow2_commit(image);
    pthread_mutex_unlock(&image->lock);
    return failed;
}

static int flush(VmmImage *base)
{
    int failed = commit(of_image(base));
    return failed ? failed : fdatasync(base->fd) < 0 ? -errno : 0;
}

static int close_image(VmmImage *base)
{
    VmmQcow2 *image = of_image(base);
    int failed = base->is_read_only ? 0 : commit(image);
    vmm_image_close(image->backing);
    for (size_t i = 0; i < VMM_QCOW2_SLICES; i++)
        free(image->slices[i].entries);
    pthread_mutex_destroy(&image->lock);
    free(image->l1);
    free(image->buffer);
    free(image);
    return failed;
}

const VmmImageOps vmm_qcow2_ops = {
    .map = map,
    .read = read_parts,
    .write = write_parts,
    .zero = zero,
    .discard = discard,
    .flush = flush,
    .close = close_image,
};
