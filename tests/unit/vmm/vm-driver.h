/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that drives a virtio device: the test writes rings into its memory, and a list of what
 * the guest is to do with the device's registers, which it does in KVM (guests.S, pvh_driver).
 */
#pragma once

#include "vm-fixture.h"

#define DRIVER_DATA 0x600000ULL /* from here on memory is the test's */

typedef struct {
    uint64_t gpa;
    uint32_t length;
    gboolean is_writable;
} DriverBuffer;

typedef struct {
    Vm *vm;
    uint64_t base; /* of the device's registers */
    unsigned n_lines;
    unsigned n_notifications; /* that the guest makes */
    struct {
        uint16_t next_descriptor, available;
    } queues[VMM_VIRTIO_QUEUES_MAX];
} Driver;

/* Of a VM that was built and has pvh_driver for a kernel: the device in that slot. The guest routes
 * its interrupt to itself, and takes these features and the queues of the mask. */
void driver_init(Driver *driver, Vm *vm, unsigned slot, uint64_t features, unsigned queues);

void *driver_at(Driver *driver, uint64_t gpa, uint64_t length);

/* A chain of these buffers is there from the beginning. */
void driver_add(Driver *driver, unsigned queue, const DriverBuffer *buffers, unsigned n);

/* The guest's next step: */
void driver_write(Driver *driver, uint64_t address, uint32_t value);
void driver_write_register(Driver *driver, uint32_t offset, uint32_t value);
void driver_wait(Driver *driver, uint64_t address, uint32_t mask, uint32_t value);
void driver_notify(Driver *driver, unsigned queue);
/* Sleeps until it was interrupted so often, and looks until all chains of the queue are used. */
void driver_wait_interrupts(Driver *driver, uint32_t n);
void driver_wait_used(Driver *driver, unsigned queue);

/* Runs the guest to the list's end. */
void driver_run(Driver *driver);

/* What the used ring says of its n-th element. */
uint32_t driver_written(Driver *driver, unsigned queue, unsigned n);
/* How often the guest was interrupted. */
uint32_t driver_interrupts(Driver *driver);
