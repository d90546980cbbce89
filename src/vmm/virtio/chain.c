/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each descriptor is copied once, and only the copy is judged. Every descriptor that is visited
 * takes one of the chain's parts, so the number of parts bounds the walk, whatever loops there are.
 */
#include "vmm/virtio/chain.h"

#include <errno.h>
#include <string.h>

#include "vmm/virtio/spec.h"

typedef struct {
    const VmmMemory *memory;
    const uint8_t *table;
    uint32_t size;
    bool is_indirect;
} Walk;

/* The barrier keeps the compiler from reading the guest's copy again. */
static VirtqDescriptor copy_descriptor(const Walk *walk, uint32_t index)
{
    VirtqDescriptor copy;
    memcpy(&copy, walk->table + (size_t)index * sizeof copy, sizeof copy);
    __asm__ volatile("" ::: "memory");
    copy.address = le64toh(copy.address);
    copy.length = le32toh(copy.length);
    copy.flags = le16toh(copy.flags);
    copy.next = le16toh(copy.next);
    return copy;
}

static int add_part(VmmChain *chain, const Walk *walk, const VirtqDescriptor *descriptor)
{
    bool is_writable = descriptor->flags & VIRTQ_DESC_WRITE;
    unsigned n = chain->n_readable + chain->n_writable;
    uint32_t *total = is_writable ? &chain->writable : &chain->readable;
    if (n == VMM_CHAIN_MAX || (!is_writable && chain->n_writable > 0))
        return -EPROTO;
    void *host = vmm_memory_at(walk->memory, descriptor->address, descriptor->length);
    if (!host || __builtin_add_overflow(*total, descriptor->length, total))
        return -EPROTO;
    chain->parts[n] = (struct iovec){.iov_base = host, .iov_len = descriptor->length};
    if (is_writable)
        chain->n_writable++;
    else
        chain->n_readable++;
    return 0;
}

/* Makes the walk go on in the table that the descriptor points to. */
static int enter_indirect(Walk *walk, const VirtqDescriptor *descriptor)
{
    uint32_t length = descriptor->length;
    if (walk->is_indirect || descriptor->flags & VIRTQ_DESC_NEXT ||
        length % sizeof(VirtqDescriptor) != 0 || length / sizeof(VirtqDescriptor) > UINT16_MAX)
        return -EPROTO;
    walk->table = vmm_memory_at(walk->memory, descriptor->address, length);
    walk->size = length / (uint32_t)sizeof(VirtqDescriptor);
    walk->is_indirect = true;
    return walk->table ? 0 : -EPROTO;
}

int vmm_chain_follow(VmmChain *chain, const VmmMemory *memory, const void *table, uint16_t size,
                     uint16_t head)
{
    Walk walk = {.memory = memory, .table = table, .size = size};
    VirtqDescriptor descriptor = {.flags = VIRTQ_DESC_NEXT, .next = head};
    chain->head = head;
    chain->n_readable = chain->n_writable = 0;
    chain->readable = chain->writable = 0;
    while (descriptor.flags & VIRTQ_DESC_NEXT) {
        if (descriptor.next >= walk.size)
            return -EPROTO;
        descriptor = copy_descriptor(&walk, descriptor.next);
        bool is_table = descriptor.flags & VIRTQ_DESC_INDIRECT;
        int failed =
            is_table ? enter_indirect(&walk, &descriptor) : add_part(chain, &walk, &descriptor);
        if (failed)
            return failed;
        if (is_table)
            descriptor = (VirtqDescriptor){.flags = VIRTQ_DESC_NEXT, .next = 0};
    }
    return 0;
}

/* As much of one part as the range [offset, offset + length) has in it, from its start on. */
static uint32_t piece(const struct iovec *part, uint32_t *offset, uint32_t length, uint8_t **at)
{
    uint32_t there = (uint32_t)part->iov_len;
    if (*offset >= there) {
        *offset -= there;
        return 0;
    }
    *at = (uint8_t *)part->iov_base + *offset;
    there -= *offset;
    *offset = 0;
    return there < length ? there : length;
}

uint32_t vmm_chain_read(const VmmChain *chain, uint32_t offset, void *to, uint32_t length)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < chain->n_readable && done < length; i++) {
        uint8_t *at = NULL;
        uint32_t n = piece(&chain->parts[i], &offset, length - done, &at);
        if (n > 0)
            memcpy((uint8_t *)to + done, at, n);
        done += n;
    }
    __asm__ volatile("" ::: "memory");
    return done;
}

uint32_t vmm_chain_write(const VmmChain *chain, uint32_t offset, const void *from, uint32_t length)
{
    const struct iovec *parts = chain->parts + chain->n_readable;
    uint32_t done = 0;
    for (unsigned i = 0; i < chain->n_writable && done < length; i++) {
        uint8_t *at = NULL;
        uint32_t n = piece(&parts[i], &offset, length - done, &at);
        if (n > 0)
            memcpy(at, (const uint8_t *)from + done, n);
        done += n;
    }
    return done;
}
