/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain of descriptors as a device works on it: host pointers into the guest's memory, each
 * checked, the readable parts before the writable ones. Its bytes can change while they are looked
 * at: copy what a decision depends on once, with vmm_chain_read().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/memory.h"

#define VMM_CHAIN_MAX 256 /* descriptors of one chain, direct and indirect ones together */

typedef struct {
    uint16_t head; /* what the used ring calls it */
    uint16_t n_readable;
    uint16_t n_writable;
    uint32_t readable; /* bytes */
    uint32_t writable;
    struct iovec parts[VMM_CHAIN_MAX]; /* n_readable of them, then n_writable */
} VmmChain;

/*
 * Follows the chain that begins with descriptor `head` of a table of `size` descriptors in host
 * memory. Returns 0, or -EPROTO for what no driver may do: an index beyond the table, a chain that
 * loops or is longer than VMM_CHAIN_MAX, a buffer of no bytes or outside of memory, a readable
 * buffer after a writable one, more than UINT32_MAX bytes a direction, an indirect table that is
 * nested, empty, not a multiple of descriptors, or followed by another descriptor.
 */
int vmm_chain_follow(VmmChain *chain, const VmmMemory *memory, const void *table, uint16_t size,
                     uint16_t head);

/* Copies from the readable parts, from byte `offset` of them on; returns how many bytes there were,
 * at most `length`. */
uint32_t vmm_chain_read(const VmmChain *chain, uint32_t offset, void *to, uint32_t length);

/* Copies into the writable parts; returns how many bytes had room. */
uint32_t vmm_chain_write(const VmmChain *chain, uint32_t offset, const void *from, uint32_t length);
