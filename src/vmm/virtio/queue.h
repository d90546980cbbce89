/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, from the device's side. The driver sets its size and the addresses of its
 * three areas while it is not ready; vmm_queue_start() checks them once and for all, and what the
 * driver writes later is read as indices that are bounded on every use.
 *
 * Everything here is called with the VM's lock held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"
#include "vmm/state.h"
#include "vmm/virtio/chain.h"

#define VMM_QUEUE_SIZE_MAX 256

typedef struct {
    /* Set by the driver through the transport. */
    uint16_t size;
    uint64_t descriptors;
    uint64_t driver; /* the available ring */
    uint64_t device; /* the used ring */
    /* Ours. */
    uint16_t max; /* what the device takes as size */
    bool is_ready;
    bool has_event_index;
    bool has_signalled; /* `signalled` holds something */
    uint16_t next_available;
    uint16_t next_used;
    uint16_t signalled; /* next_used when the driver was interrupted last */
    uint16_t in_flight; /* chains taken and not given back */
    const VmmMemory *memory;
    uint8_t *descriptor_table; /* host pointers, while ready */
    uint8_t *available;
    uint8_t *used;
} VmmQueue;

void vmm_queue_init(VmmQueue *queue, const VmmMemory *memory, uint16_t max);

/* Forgets everything but what vmm_queue_init() set. */
void vmm_queue_reset(VmmQueue *queue);

/* Makes it ready. -EINVAL when its size is not a power of two up to `max`, or an area is misaligned
 * or not wholly inside one region of memory; the queue is then as before. */
int vmm_queue_start(VmmQueue *queue, bool has_event_index);

/*
 * Takes the next available chain. 1: `chain` is filled. 0: there is none; the driver will notify
 * when it adds one. -EPROTO: the driver broke the rules (see vmm_chain_follow(); also an index that
 * leapt, or more chains than the queue has entries): the device needs a reset.
 * A queue that is not ready has none.
 */
int vmm_queue_pop(VmmQueue *queue, VmmChain *chain);

/* Undoes the last vmm_queue_pop() whose chain has not been given back: it is available again. */
void vmm_queue_unpop(VmmQueue *queue);

/* Gives a chain back; `written` bytes of its writable parts were filled, from their start on. */
void vmm_queue_push(VmmQueue *queue, uint16_t head, uint32_t written);

/* The same for chains that must be seen at once: fill entry 0, 1, ... and then publish them. */
void vmm_queue_fill(VmmQueue *queue, uint16_t entry, uint16_t head, uint32_t written);
void vmm_queue_publish(VmmQueue *queue, uint16_t n);

/* Whether the driver wants to be interrupted for what was given back since it was asked last. */
bool vmm_queue_wants_interrupt(VmmQueue *queue);

/* Into and from an open section. No chain may be in flight. Loading bounds all that it reads and
 * refuses what vmm_queue_start() would. */
void vmm_queue_save(const VmmQueue *queue, VmmStateWriter *writer);
void vmm_queue_load(VmmQueue *queue, VmmStateReader *reader, bool has_event_index);
