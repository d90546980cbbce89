/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two levels of tables: the first is in memory as a whole, the second ones in slices, the least
 * recently used of which makes room. A slice that has changes is committed before it goes.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/disk/qcow2.h"

#define L1_OFFSET VMM_QCOW2_OFFSET
#define L1_KNOWN (VMM_QCOW2_OFFSET | VMM_QCOW2_OURS)

bool vmm_qcow2_is_cluster(const VmmQcow2 *image, uint64_t offset)
{
    return offset != 0 && offset % image->cluster_size == 0 &&
           offset >> image->cluster_bits < image->next_free;
}

/* Entries of a second table. */
static uint64_t per_table(const VmmQcow2 *image)
{
    return image->cluster_size / sizeof(uint64_t);
}

/* Where the slice is that has a cluster's entry; *offset 0: there is no table for it. */
static int locate(const VmmQcow2 *image, uint64_t cluster, uint64_t *offset)
{
    uint64_t index = cluster / per_table(image);
    uint64_t in_table = cluster % per_table(image) * sizeof(uint64_t);
    *offset = 0;
    if (index >= image->l1_entries)
        return -EIO;
    uint64_t entry = image->l1[index];
    if (entry == 0)
        return 0;
    if (entry & ~L1_KNOWN || !vmm_qcow2_is_cluster(image, entry & L1_OFFSET))
        return -EIO;
    *offset = (entry & L1_OFFSET) + in_table / image->slice_size * image->slice_size;
    return 0;
}

static VmmQcow2Slice *find_slice(VmmQcow2 *image, uint64_t offset)
{
    if (image->recent && image->recent->offset == offset)
        return image->recent;
    for (size_t i = 0; i < VMM_QCOW2_SLICES; i++)
        if (image->slices[i].offset == offset)
            return &image->slices[i];
    return NULL;
}

static int write_slice(VmmQcow2 *image, VmmQcow2Slice *slice)
{
    int failed =
        vmm_image_pwrite_bytes(image->image.fd, slice->offset, slice->entries, image->slice_size);
    if (!failed)
        slice->is_dirty = false;
    return failed;
}

static int write_l1(VmmQcow2 *image)
{
    int failed = 0;
    for (; !failed && image->l1_dirty_from < image->l1_dirty_to; image->l1_dirty_from++) {
        uint64_t entry = htobe64(image->l1[image->l1_dirty_from]);
        uint64_t offset = image->l1_offset + image->l1_dirty_from * sizeof entry;
        failed = vmm_image_pwrite_bytes(image->image.fd, offset, &entry, sizeof entry);
        if (failed)
            break;
    }
    return failed;
}

int vmm_qcow2_commit(VmmQcow2 *image)
{
    if (!image->is_dirty)
        return 0;
    int failed = vmm_qcow2_write_refcounts(image);
    if (!failed && fdatasync(image->image.fd) < 0)
        failed = -errno;
    for (size_t i = 0; !failed && i < VMM_QCOW2_SLICES; i++)
        if (image->slices[i].is_dirty)
            failed = write_slice(image, &image->slices[i]);
    if (!failed)
        failed = write_l1(image);
    if (!failed)
        image->is_dirty = false;
    return failed;
}

/* One that is free, or was not used for the longest time. */
static int make_room(VmmQcow2 *image, VmmQcow2Slice **slice)
{
    VmmQcow2Slice *oldest = &image->slices[0];
    for (size_t i = 0; i < VMM_QCOW2_SLICES && oldest->offset != 0; i++)
        if (image->slices[i].offset == 0 || image->slices[i].used_at < oldest->used_at)
            oldest = &image->slices[i];
    int failed = oldest->is_dirty ? vmm_qcow2_commit(image) : 0;
    if (failed)
        return failed;
    if (!oldest->entries)
        oldest->entries = malloc(image->slice_size);
    oldest->offset = 0;
    *slice = oldest;
    return oldest->entries ? 0 : -ENOMEM;
}

static int load_slice(VmmQcow2 *image, uint64_t offset, bool may_block, VmmQcow2Slice **slice)
{
    *slice = find_slice(image, offset);
    if (!*slice) {
        int failed = may_block ? make_room(image, slice) : -EAGAIN;
        if (!failed)
            failed = vmm_image_pread_bytes(image->image.fd, offset, (*slice)->entries,
                                           image->slice_size);
        if (failed)
            return failed;
        (*slice)->offset = offset;
    }
    (*slice)->used_at = ++image->clock;
    image->recent = *slice;
    return 0;
}

static uint64_t *entry_of(const VmmQcow2 *image, const VmmQcow2Slice *slice, uint64_t cluster)
{
    return &slice->entries[cluster % (image->slice_size / sizeof(uint64_t))];
}

int vmm_qcow2_get(VmmQcow2 *image, uint64_t cluster, bool may_block, uint64_t *entry)
{
    VmmQcow2Slice *slice;
    uint64_t offset;
    *entry = 0;
    int failed = locate(image, cluster, &offset);
    if (failed || offset == 0)
        return failed;
    failed = load_slice(image, offset, may_block, &slice);
    if (failed)
        return failed;
    *entry = be64toh(*entry_of(image, slice, cluster));
    return 0;
}

static void mark_l1(VmmQcow2 *image, uint32_t index)
{
    bool was_clean = image->l1_dirty_from >= image->l1_dirty_to;
    if (was_clean || index < image->l1_dirty_from)
        image->l1_dirty_from = index;
    if (was_clean || index >= image->l1_dirty_to)
        image->l1_dirty_to = index + 1;
    image->is_dirty = true;
}

/* A new table is empty in the file before it is pointed to. */
static int add_table(VmmQcow2 *image, uint64_t cluster)
{
    uint32_t index = (uint32_t)(cluster / per_table(image));
    uint64_t table;
    int failed = vmm_qcow2_allocate(image, &table);
    if (failed)
        return failed;
    failed = vmm_image_pwrite_zeros(image->image.fd, table, image->cluster_size);
    if (failed) {
        vmm_qcow2_unallocate(image, table);
        return failed;
    }
    image->l1[index] = table | VMM_QCOW2_OURS;
    mark_l1(image, index);
    return 0;
}

int vmm_qcow2_set(VmmQcow2 *image, uint64_t cluster, uint64_t entry)
{
    VmmQcow2Slice *slice;
    uint64_t offset;
    int failed = locate(image, cluster, &offset);
    if (!failed && offset == 0) {
        failed = add_table(image, cluster);
        if (!failed)
            failed = locate(image, cluster, &offset);
    }
    if (!failed)
        failed = load_slice(image, offset, true, &slice);
    if (failed)
        return failed;
    *entry_of(image, slice, cluster) = htobe64(entry);
    slice->is_dirty = true;
    image->is_dirty = true;
    return 0;
}
