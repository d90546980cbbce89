/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PM1 registers may be read and written in any width; each byte is handled by itself. There is
 * no way out of ACPI mode: SCI_EN always reads as set.
 */
#include "vmm/power.h"

#include <string.h>

#define STATUS_BUTTON 0x0100
#define STATUS_ALL 0x8731
#define ENABLE_ALL 0x0721
#define CONTROL_SCI 0x01
#define CONTROL_SLEEP_SHIFT 2 /* in the high byte */
#define CONTROL_SLEEP_MASK 7
#define CONTROL_SLEEP_NOW 0x20
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_PULSE_RESET 0xfe
#define FAST_RESET 0x92
#define FAST_RESET_NOW 0x01
#define FAST_RESET_A20 0x02
#define RESET_CPU 0x04

static void update(VmmPower *power)
{
    power->set_interrupt(power->owner, power->status & power->enabled);
}

static void event_read(void *self, uint64_t offset, void *data, unsigned size)
{
    const VmmPower *power = self;
    uint8_t bytes[] = {(uint8_t)power->status, (uint8_t)(power->status >> 8),
                       (uint8_t)power->enabled, (uint8_t)(power->enabled >> 8)};
    memcpy(data, bytes + offset, size);
}

/* A status bit is cleared by writing a one to it. */
static void event_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmPower *power = self;
    const uint8_t *bytes = data;
    for (unsigned i = 0; i < size; i++) {
        unsigned shift = (offset + i) % 2 * 8;
        if (offset + i < 2)
            power->status &= (uint16_t) ~(bytes[i] << shift);
        else
            power->enabled = (uint16_t)((power->enabled & 0xff00 >> shift) | bytes[i] << shift);
    }
    power->enabled &= ENABLE_ALL;
    update(power);
}

static void control_read(void *self, uint64_t offset, void *data, unsigned size)
{
    const uint8_t bytes[] = {CONTROL_SCI, 0};
    (void)self;
    memcpy(data, bytes + offset, size);
}

static void control_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmPower *power = self;
    if (offset + size < 2)
        return; /* only the low byte */
    uint8_t high = ((const uint8_t *)data)[1 - offset];
    unsigned type = high >> CONTROL_SLEEP_SHIFT & CONTROL_SLEEP_MASK;
    if ((high & CONTROL_SLEEP_NOW) && type == VMM_POWER_SLEEP_TYPE_OFF)
        power->switch_off(power->owner);
}

static void zero_read(void *self, uint64_t offset, void *data, unsigned size)
{
    (void)self;
    (void)offset;
    memset(data, 0, size);
}

static void fast_read(void *self, uint64_t offset, void *data, unsigned size)
{
    (void)self;
    (void)offset;
    memset(data, 0, size);
    *(uint8_t *)data = FAST_RESET_A20;
}

static void keyboard_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmPower *power = self;
    if (*(const uint8_t *)data == KEYBOARD_PULSE_RESET)
        power->reset(power->owner);
}

static void fast_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmPower *power = self;
    if (*(const uint8_t *)data & FAST_RESET_NOW)
        power->reset(power->owner);
}

static void reset_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmPower *power = self;
    if (*(const uint8_t *)data & RESET_CPU)
        power->reset(power->owner);
}

static const VmmBusOps event_ops = {event_read, event_write};
static const VmmBusOps control_ops = {control_read, control_write};
static const VmmBusOps keyboard_ops = {zero_read, keyboard_write};
static const VmmBusOps fast_ops = {fast_read, fast_write};
static const VmmBusOps reset_ops = {zero_read, reset_write};

int vmm_power_add(VmmPower *power, VmmBus *ports)
{
    static const struct {
        uint64_t port, length;
        const VmmBusOps *ops;
    } places[] = {
        {VMM_POWER_PM1_EVENT, 4, &event_ops},  {VMM_POWER_PM1_CONTROL, 2, &control_ops},
        {KEYBOARD_COMMAND, 1, &keyboard_ops},  {FAST_RESET, 1, &fast_ops},
        {VMM_POWER_RESET_PORT, 1, &reset_ops},
    };
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof places / sizeof *places; i++)
        failed = vmm_bus_add(ports, places[i].port, places[i].length, places[i].ops, power);
    return failed;
}

void vmm_power_reset(VmmPower *power)
{
    power->status = power->enabled = 0;
    update(power);
}

void vmm_power_press_button(VmmPower *power)
{
    power->status |= STATUS_BUTTON;
    update(power);
}

void vmm_power_save(const VmmPower *power, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "power", 1);
    vmm_state_put_u16(writer, power->status);
    vmm_state_put_u16(writer, power->enabled);
    vmm_state_end(writer);
}

void vmm_power_load(VmmPower *power, VmmStateReader *reader)
{
    vmm_state_enter(reader, "power", 1);
    power->status = vmm_state_get_u16(reader) & STATUS_ALL;
    power->enabled = vmm_state_get_u16(reader) & ENABLE_ALL;
    vmm_state_leave(reader);
}

void vmm_power_tell(VmmPower *power)
{
    update(power);
}
