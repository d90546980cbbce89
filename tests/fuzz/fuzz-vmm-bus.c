/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any accesses of a guest to the ports: the serial port and the power registers on a bus, with
 * input from outside in between. Six bytes an access: what, two of the address, size, two of data.
 */
#include <string.h>

#include <glib.h>

#include "fuzz.h"
#include "vmm/bus.h"
#include "vmm/power.h"
#include "vmm/serial.h"

#define ACCESS 6
#define ACCESSES_MAX 4096

static void on_end(void *owner)
{
    ++*(unsigned *)owner;
}

static void on_level(void *owner, bool level)
{
    *(unsigned *)owner += level;
}

static void on_byte(void *owner, uint8_t byte)
{
    *(unsigned *)owner += byte;
}

static void access_bus(VmmBus *bus, const uint8_t *bytes, VmmSerial *serial)
{
    static const uint16_t bases[] = {0x3f8, 0x600, 0x60, 0xcf8};
    unsigned size = 1U << (bytes[3] & 3);
    uint64_t address = bases[bytes[0] >> 6] + (bytes[1] & 0x1f), data = 0;
    if (bytes[0] & 0x20)
        address = (uint64_t)bytes[1] << 8 | bytes[2];
    memcpy(&data, bytes + 4, 2);
    switch (bytes[0] & 3) {
    case 0:
        vmm_bus_read(bus, address, &data, size);
        break;
    case 1:
    case 2:
        vmm_bus_write(bus, address, &data, size);
        break;
    default:
        vmm_serial_input(serial, bytes, vmm_serial_room(serial) < ACCESS ? 1 : ACCESS);
    }
    g_assert_cmpuint(vmm_serial_room(serial), <=, VMM_SERIAL_FIFO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned count = 0;
    VmmBus bus = {0};
    VmmSerial serial = {.output = on_byte, .has_room = on_end, .owner = &count};
    VmmPower power = {
        .switch_off = on_end, .reset = on_end, .set_interrupt = on_level, .owner = &count};
    vmm_serial_reset(&serial);
    vmm_power_reset(&power);
    g_assert_cmpint(vmm_bus_add(&bus, 0x3f8, VMM_SERIAL_PORTS, &vmm_serial_ops, &serial), ==, 0);
    g_assert_cmpint(vmm_power_add(&power, &bus), ==, 0);
    for (size_t at = 0; at + ACCESS <= size && at < ACCESS * ACCESSES_MAX; at += ACCESS)
        access_bus(&bus, data + at, &serial);
    return 0;
}
