/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio over memory-mapped registers, version 2 (Virtio 1.2, 4.2): what the guest sees of a
 * device. The machine puts it on the bus, gives it an interrupt line, and may let the kernel turn
 * writes to its notification register into calls of vmm_mmio_notify().
 *
 * What a driver writes out of order, misaligned, in another width or to a register that does not
 * take it has no effect and is counted.
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/irq.h"
#include "vmm/virtio/device.h"

#define VMM_MMIO_SIZE 0x200        /* bytes on the bus */
#define VMM_MMIO_QUEUE_NOTIFY 0x50 /* takes a queue's number, 4 bytes wide */

typedef struct VmmMmio VmmMmio;

extern const VmmBusOps vmm_mmio_ops; /* self is a VmmMmio */

/* Takes the device over. 0 or -ENOMEM, then the device stays the caller's. */
int vmm_mmio_new(VmmMmio **mmio, VmmVirtio *device, VmmIrq irq);
/* And its device. NULL is fine. */
void vmm_mmio_free(VmmMmio *mmio);

VmmVirtio *vmm_mmio_device(const VmmMmio *mmio);

/* As if the driver had written the queue's number into the notification register. */
void vmm_mmio_notify(VmmMmio *mmio, unsigned queue);

/* A reset as by the driver: for a reset of the machine. */
void vmm_mmio_reset(VmmMmio *mmio);

/* Accesses without effect. */
uint64_t vmm_mmio_refused(const VmmMmio *mmio);

/* Around saving: no chain is in flight and none is taken in between. Resuming looks at every queue
 * and interrupts the driver once more when an interrupt had not been acknowledged. */
void vmm_mmio_pause(VmmMmio *mmio);
void vmm_mmio_resume(VmmMmio *mmio);

/*
 * Two sections of the state: the transport's and the device's. Save a paused device; a loaded
 * one is paused, whether or not it was before. Loading wants a device made with the same options;
 * it returns the reader's error, after which the device is as after a reset.
 */
int vmm_mmio_save(VmmMmio *mmio, VmmStateWriter *writer);
int vmm_mmio_load(VmmMmio *mmio, VmmStateReader *reader);
