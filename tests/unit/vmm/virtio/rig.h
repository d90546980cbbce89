/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver for tests, an honest one unless told otherwise: guest memory, a loop, and a device's
 * registers as a guest reaches them. The rings stand where rig_start() puts them; tests that lie
 * write into them by themselves.
 */
#pragma once

#include <glib.h>
#include <linux/virtio_mmio.h>

#include "vmm/virtio/mmio.h"

#define RIG_MEMORY (4ULL << 20)
#define RIG_RINGS 0x10000ULL /* of queue 0; those of the next RIG_RING_ROOM further on */
#define RIG_RING_ROOM 0x8000ULL
#define RIG_DRIVER_AREA 0x4000ULL /* in a queue's room */
#define RIG_DEVICE_AREA 0x6000ULL
#define RIG_DATA 0x100000ULL /* from here on memory is the test's */

#define RIG_DRIVER_OK 0xf /* and all before it */

typedef struct {
    uint64_t gpa;
    uint32_t length;
    gboolean is_writable;
} RigBuffer;

typedef struct {
    uint16_t size;
    uint16_t next_descriptor;
    uint16_t available;
    uint16_t used;
} RigQueue;

typedef struct {
    VmmMemory *memory;
    VmmLoop *loop;
    VmmBus bus;
    VmmMmio *mmio;
    unsigned n_interrupts;
    RigQueue queues[VMM_VIRTIO_QUEUES_MAX];
} Rig;

Rig *rig_new(void);
/* Puts the device, which it takes, on the bus. */
void rig_attach(Rig *rig, VmmVirtio *device);
void rig_free(Rig *rig);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

uint32_t rig_read(Rig *rig, uint32_t offset);
void rig_write(Rig *rig, uint32_t offset, uint32_t value);
/* An access of any width, anywhere in the device's range. */
uint64_t rig_peek(Rig *rig, uint32_t offset, unsigned size);
void rig_poke(Rig *rig, uint32_t offset, uint64_t value, unsigned size);

/* The handshake up to DRIVER_OK with these features and VERSION_1, all queues at most 64 long. */
void rig_start(Rig *rig, uint64_t features);
/* The handshake up to FEATURES_OK. */
void rig_negotiate(Rig *rig, uint64_t features);
void rig_setup_queue(Rig *rig, unsigned queue, uint16_t size);

uint64_t rig_descriptors(unsigned queue);
uint64_t rig_driver_area(unsigned queue);
uint64_t rig_device_area(unsigned queue);

/* Writes one descriptor of the queue's table. */
void rig_describe(Rig *rig, unsigned queue, uint16_t index, uint64_t gpa, uint32_t length,
                  uint16_t flags, uint16_t next);
/* Makes a head available, without a notification. */
void rig_offer(Rig *rig, unsigned queue, uint16_t head);
/* A chain of these buffers, offered; returns its head. */
uint16_t rig_add(Rig *rig, unsigned queue, const RigBuffer *buffers, unsigned n);
void rig_kick(Rig *rig, unsigned queue);

/* Takes the next used element, if there is one. */
gboolean rig_take_used(Rig *rig, unsigned queue, uint32_t *head, uint32_t *written);
/* Runs the loop until there is one; fails the test after 20 seconds. Returns its `written`. */
uint32_t rig_wait_used(Rig *rig, unsigned queue);
/* Runs the loop until `is_so` says so; fails the test after 20 seconds. */
void rig_wait(Rig *rig, gboolean (*is_so)(void *data), void *data);

/* A pointer into guest memory. */
void *rig_at(Rig *rig, uint64_t gpa, uint64_t length);
void rig_put(Rig *rig, uint64_t gpa, const void *bytes, uint64_t length);

uint32_t rig_status(Rig *rig);
gboolean rig_needs_reset(Rig *rig);
