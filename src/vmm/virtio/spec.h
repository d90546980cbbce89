/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and layouts of Virtio 1.2 that more than one file needs. Those of the devices come from the
 * kernel's headers (linux/virtio_*.h).
 */
#pragma once

#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

/* Split virtqueues, 2.7. */
typedef struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
} VirtqDescriptor;

_Static_assert(sizeof(VirtqDescriptor) == 16, "as the specification has it");

#define VIRTQ_DESC_NEXT 1
#define VIRTQ_DESC_WRITE 2
#define VIRTQ_DESC_INDIRECT 4

#define VIRTQ_AVAIL_NO_INTERRUPT 1

/* Offsets in the driver's and the device's area. */
#define VIRTQ_FLAGS 0
#define VIRTQ_INDEX 2
#define VIRTQ_RING 4
#define VIRTQ_USED_ELEMENT 8

#define VIRTIO_BIT(n) (1ULL << (n))
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX 29
