/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device has, whatever it does: features, queues, a configuration space and a
 * life that its driver rules. A device embeds VmmVirtio as its first member, fills what stands
 * under "set by the device", and is then driven by a transport (mmio.h).
 *
 * Everything runs with the VM's lock held, in the loop's thread or in a vCPU's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/loop.h"
#include "vmm/memory.h"
#include "vmm/state.h"
#include "vmm/virtio/queue.h"
#include "vmm/virtio/spec.h"

#define VMM_VIRTIO_QUEUES_MAX 8
#define VMM_VIRTIO_CONFIG_MAX 256

/* A device goes on with its other work after so many chains of one queue, and comes back. */
#define VMM_VIRTIO_BATCH 256

typedef struct VmmVirtio VmmVirtio;

/* Any but notify may be NULL. */
typedef struct {
    const char *name; /* of its section of the state; at most 11 characters */
    uint32_t id;
    unsigned n_queues;
    uint16_t queue_sizes[VMM_VIRTIO_QUEUES_MAX]; /* at most VMM_QUEUE_SIZE_MAX */
    /* The driver is ready: features and queues are settled. */
    void (*activate)(VmmVirtio *device);
    /* The driver's notification, only while the device is live. */
    void (*notify)(VmmVirtio *device, unsigned queue);
    /* The driver wrote to the configuration space; the range lies inside it. */
    void (*write_config)(VmmVirtio *device, uint32_t offset, const void *data, unsigned size);
    /* Ends all work: no chain is touched after it. The queues are reset after it. */
    void (*reset)(VmmVirtio *device);
    /* Ends or undoes what is under way, such that no chain is in flight, and starts nothing new
     * until resume; used around saving. */
    void (*pause)(VmmVirtio *device);
    void (*resume)(VmmVirtio *device);
    /* The device's own state, into and from an open section. The queues are loaded before. */
    void (*save)(VmmVirtio *device, VmmStateWriter *writer);
    void (*load)(VmmVirtio *device, VmmStateReader *reader);
    void (*free)(VmmVirtio *device);
} VmmVirtioOps;

/* How a device reaches its transport. */
typedef struct {
    void (*interrupt)(void *self, uint32_t reason); /* VIRTIO_MMIO_INT_... */
    void (*fail)(void *self);
    void *self;
} VmmVirtioTransport;

struct VmmVirtio {
    /* Set by the device, with zeros elsewhere. */
    const VmmVirtioOps *ops;
    VmmMemory *memory;
    VmmLoop *loop;
    uint64_t offered; /* features; vmm_virtio_init() adds those of every device */
    const uint8_t *config;
    uint32_t config_size; /* at most VMM_VIRTIO_CONFIG_MAX */
    /* Ruled by the transport. */
    uint64_t features; /* that the driver took */
    bool is_live;      /* activated, and not failed */
    bool is_paused;
    VmmQueue queues[VMM_VIRTIO_QUEUES_MAX];
    VmmVirtioTransport transport;
    uint32_t again; /* queues to be looked at once more, one bit each */
    VmmSource *again_timer;
};

/* After the device set its part: the last step of its making. 0, or a negative errno and the device
 * was freed. */
int vmm_virtio_init(VmmVirtio *made, VmmVirtio **device);
/* The device and all it owns; NULL is fine. */
void vmm_virtio_free(VmmVirtio *device);

bool vmm_virtio_has(const VmmVirtio *device, unsigned feature);

/* Hands a notification to the device, when it is live and has such a queue. */
void vmm_virtio_notify(VmmVirtio *device, unsigned queue);

/* Notifies the queue from the loop later: for work that was cut off after VMM_VIRTIO_BATCH. */
void vmm_virtio_again(VmmVirtio *device, unsigned queue);

/* vmm_queue_pop() of a queue; fails the device when the driver broke the rules. True: a chain. */
bool vmm_virtio_pop(VmmVirtio *device, unsigned queue, VmmChain *chain);

/* Gives a chain back and interrupts the driver if it wants to be. */
void vmm_virtio_push(VmmVirtio *device, unsigned queue, const VmmChain *chain, uint32_t written);

/* Interrupts the driver if it wants to be, for chains that were pushed to the queue itself. */
void vmm_virtio_signal(VmmVirtio *device, unsigned queue);

/* The configuration space changed. */
void vmm_virtio_config_changed(VmmVirtio *device);

/* The driver broke the rules: the device stops until it is reset. */
void vmm_virtio_fail(VmmVirtio *device);

/* See the ops. Resuming looks at every queue once. */
void vmm_virtio_pause(VmmVirtio *device);
void vmm_virtio_resume(VmmVirtio *device);
