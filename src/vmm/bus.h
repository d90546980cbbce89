/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of devices: one for ports, one for memory-mapped registers. The guest chooses
 * every address and size; a device sees only accesses that lie wholly inside its range.
 *
 * Ranges are added before the guest runs. Dispatch is done with the VM's lock held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VMM_BUS_RANGES_MAX 64

/* `offset` counts from the range's base, size is 1, 2, 4 or 8, offset + size is inside the range.
 * A read fills all of `data`; data is in the guest's byte order. */
typedef struct {
    void (*read)(void *self, uint64_t offset, void *data, unsigned size);
    void (*write)(void *self, uint64_t offset, const void *data, unsigned size);
} VmmBusOps;

typedef struct {
    uint64_t base;
    uint64_t length;
    const VmmBusOps *ops;
    void *self;
} VmmBusRange;

/* Zero-filled: no device. `unknown_*` count the accesses that nobody answered. */
typedef struct {
    VmmBusRange ranges[VMM_BUS_RANGES_MAX]; /* by rising base, without overlap */
    unsigned n_ranges;
    uint64_t unknown_reads;
    uint64_t unknown_writes;
} VmmBus;

/* -EINVAL: empty or beyond the end of the address space; -EEXIST: overlaps; -ENOSPC: no room. */
int vmm_bus_add(VmmBus *bus, uint64_t base, uint64_t length, const VmmBusOps *ops, void *self);

/* What no device answers reads as all ones, as on a bus that nobody drives, and takes writes
 * without effect. Returns whether a device answered. `data` has room for size, at most 8, bytes. */
bool vmm_bus_read(VmmBus *bus, uint64_t address, void *data, unsigned size);
bool vmm_bus_write(VmmBus *bus, uint64_t address, const void *data, unsigned size);
