/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading through the tables, a stretch of equal clusters at a time; what an image does as a whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/disk/qcow2.h"

VmmQcow2 *vmm_qcow2_of(VmmImage *image)
{
    return (VmmQcow2 *)image;
}

static int decode(const VmmQcow2 *image, uint64_t entry, VmmQcow2Stretch *stretch)
{
    uint64_t host = entry & VMM_QCOW2_OFFSET;
    *stretch = (VmmQcow2Stretch){.kind = VMM_QCOW2_IS_COMPRESSED, .compressed = entry};
    if (entry & VMM_QCOW2_COMPRESSED)
        return vmm_qcow2_is_compressed(image, entry) ? 0 : -EIO;
    if (entry & ~(VMM_QCOW2_OFFSET | VMM_QCOW2_OURS | VMM_QCOW2_ZERO) ||
        (host != 0 && !vmm_qcow2_is_cluster(image, host)))
        return -EIO;
    stretch->compressed = 0;
    stretch->host = host;
    stretch->is_ours = entry & VMM_QCOW2_OURS;
    stretch->kind = entry & VMM_QCOW2_ZERO ? VMM_QCOW2_IS_ZERO
                    : host                 ? VMM_QCOW2_IS_DATA
                                           : VMM_QCOW2_IS_ABSENT;
    return 0;
}

static int look_up(VmmQcow2 *image, uint64_t cluster, bool may_block, VmmQcow2Stretch *stretch)
{
    uint64_t entry;
    int failed = vmm_qcow2_get(image, cluster, may_block, &entry);
    return failed ? failed : decode(image, entry, stretch);
}

static bool goes_on(const VmmQcow2Stretch *first, const VmmQcow2Stretch *next, uint64_t distance)
{
    if (first->kind != next->kind || first->is_ours != next->is_ours ||
        first->kind == VMM_QCOW2_IS_COMPRESSED)
        return false;
    return first->kind != VMM_QCOW2_IS_DATA || next->host == first->host + distance;
}

/* The stretch that the range begins with, cut to the range. With the lock held. */
static int find_stretch(VmmQcow2 *image, uint64_t offset, uint64_t length, bool may_block,
                        VmmQcow2Stretch *stretch)
{
    uint64_t cluster = offset >> image->cluster_bits;
    uint64_t inside = offset & (image->cluster_size - 1);
    uint64_t reach = image->cluster_size;
    int failed = look_up(image, cluster, may_block, stretch);
    if (failed)
        return failed;
    while (reach - inside < length) {
        VmmQcow2Stretch next;
        if (look_up(image, ++cluster, may_block, &next) || !goes_on(stretch, &next, reach))
            break;
        reach += image->cluster_size;
    }
    stretch->length = reach - inside < length ? reach - inside : length;
    if (stretch->host)
        stretch->host += inside;
    return 0;
}

int vmm_qcow2_find(VmmQcow2 *image, uint64_t offset, uint64_t length, VmmQcow2Stretch *stretch)
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
    VmmQcow2 *image = vmm_qcow2_of(base);
    VmmQcow2Stretch stretch;
    if (pthread_mutex_trylock(&image->lock) != 0)
        return false;
    int failed = find_stretch(image, offset, length, false, &stretch);
    pthread_mutex_unlock(&image->lock);
    if (failed || stretch.kind == VMM_QCOW2_IS_COMPRESSED ||
        (is_write && !(stretch.kind == VMM_QCOW2_IS_DATA && stretch.is_ours)))
        return false;
    if (stretch.kind == VMM_QCOW2_IS_ABSENT)
        return map_backing(image, offset, stretch.length, extent);
    *extent = (VmmExtent){
        .fd = stretch.kind == VMM_QCOW2_IS_DATA ? base->fd : -1,
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

static int read_compressed(VmmQcow2 *image, uint64_t entry, uint64_t offset,
                           const struct iovec *parts, unsigned n)
{
    const uint8_t *cluster;
    int failed = vmm_qcow2_decompress(image, entry, &cluster);
    if (!failed)
        vmm_parts_fill(parts, n, cluster + (offset & (image->cluster_size - 1)));
    return failed;
}

int vmm_qcow2_read(VmmQcow2 *image, const VmmQcow2Stretch *stretch, uint64_t offset,
                   const struct iovec *parts, unsigned n)
{
    switch (stretch->kind) {
    case VMM_QCOW2_IS_ABSENT:
        return read_backing(image, offset, parts, n);
    case VMM_QCOW2_IS_DATA:
        return vmm_image_pread(image->image.fd, stretch->host, parts, n);
    case VMM_QCOW2_IS_COMPRESSED:
        return read_compressed(image, stretch->compressed, offset, parts, n);
    case VMM_QCOW2_IS_ZERO:
        break;
    }
    vmm_parts_zero(parts, n);
    return 0;
}

static int read_parts(VmmImage *base, uint64_t offset, const struct iovec *parts, unsigned n)
{
    VmmQcow2 *image = vmm_qcow2_of(base);
    struct iovec some[VMM_IMAGE_PARTS_MAX];
    uint64_t length = vmm_parts_length(parts, n);
    int failed = 0;
    VmmQcow2Stretch stretch;
    if (n > VMM_IMAGE_PARTS_MAX)
        return -EINVAL;
    for (uint64_t done = 0; !failed && done < length; done += stretch.length) {
        failed = vmm_qcow2_find(image, offset + done, length - done, &stretch);
        if (failed)
            return failed;
        unsigned k = vmm_parts_slice(parts, n, done, stretch.length, some);
        failed = vmm_qcow2_read(image, &stretch, offset + done, some, k);
    }
    return failed;
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
    VmmQcow2 *image = vmm_qcow2_of(base);
    int failed = commit(image);
    if (!failed && fdatasync(base->fd) < 0)
        failed = -errno;
    if (!failed)
        vmm_qcow2_drop_let_go(image);
    return failed;
}

static int close_image(VmmImage *base)
{
    VmmQcow2 *image = vmm_qcow2_of(base);
    int failed = base->is_read_only ? 0 : vmm_qcow2_has_let_go(image) ? flush(base) : commit(image);
    vmm_image_close(image->backing);
    for (size_t i = 0; i < VMM_QCOW2_SLICES; i++)
        free(image->slices[i].entries);
    pthread_mutex_destroy(&image->lock);
    free(image->l1);
    free(image->buffer);
    vmm_qcow2_compressed_free(image->compressed);
    free(image);
    return failed;
}

const VmmImageOps vmm_qcow2_ops = {
    .map = map,
    .read = read_parts,
    .write = vmm_qcow2_write,
    .zero = vmm_qcow2_zero,
    .discard = vmm_qcow2_discard,
    .flush = flush,
    .close = close_image,
};
