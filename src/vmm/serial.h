/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial port with a 16550A behind it, as every PC kernel and unikernel writes to before anything
 * else works. What the guest sends goes out at once; what it is sent waits in the receiver's FIFO.
 *
 * With the VM's lock held.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/irq.h"
#include "vmm/state.h"

#define VMM_SERIAL_FIFO 16
#define VMM_SERIAL_PORTS 8

typedef struct {
    /* Set by the owner; any may be NULL. */
    VmmIrq irq;
    void (*output)(void *owner, uint8_t byte);
    void (*has_room)(void *owner); /* the FIFO has room again */
    void *owner;
    /* The registers. */
    uint8_t interrupts_enabled, line_control, modem_control, fifo_control, scratch;
    uint8_t divisor[2];
    uint8_t fifo[VMM_SERIAL_FIFO];
    unsigned fifo_used;
    bool has_overrun;
    bool is_sent; /* the transmitter is empty and the driver was not told */
    bool was_pending;
} VmmSerial;

/* As after a reset; keeps what the owner set. */
void vmm_serial_reset(VmmSerial *serial);

/* VMM_SERIAL_PORTS ports of one byte; wider accesses reach the first one only. */
extern const VmmBusOps vmm_serial_ops;

/* How many bytes vmm_serial_input() takes now. Those beyond are lost, as on a wire. */
size_t vmm_serial_room(const VmmSerial *serial);
void vmm_serial_input(VmmSerial *serial, const uint8_t *bytes, size_t length);

void vmm_serial_save(const VmmSerial *serial, VmmStateWriter *writer);
void vmm_serial_load(VmmSerial *serial, VmmStateReader *reader);
