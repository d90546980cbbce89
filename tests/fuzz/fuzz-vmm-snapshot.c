/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a snapshot's state: as a whole file, and, since a checksum stands before the rest,
 * as the sections that follow it, read by the devices.
 */
#include <string.h>

#include <glib.h>

#include "fuzz.h"
#include "vmm/power.h"
#include "vmm/serial.h"
#include "vmm/snapshot.h"

static void set_nothing(void *owner, bool level)
{
    (void)owner;
    (void)level;
}

static void check_reader(const VmmStateReader *reader)
{
    g_assert_cmpuint(reader->at, <=, reader->length);
    g_assert_true((reader->failed == 0) == (reader->why.text[0] == '\0'));
}

static void try_devices(const uint8_t *data, size_t size)
{
    VmmStateReader reader;
    VmmSerial serial = {0};
    VmmPower power = {.set_interrupt = set_nothing};
    uint8_t value = 0;
    vmm_state_reader_init(&reader, data, size);
    vmm_serial_load(&serial, &reader);
    check_reader(&reader);
    g_assert_cmpuint(serial.fifo_used, <=, VMM_SERIAL_FIFO);
    while (vmm_serial_room(&serial) < VMM_SERIAL_FIFO)
        vmm_serial_ops.read(&serial, 0, &value, 1), serial.line_control = 0;
    vmm_power_load(&power, &reader);
    check_reader(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VmmStateReader reader;
    VmmError error = {""};
    if (vmm_snapshot_open(&reader, data, size, &error) == 0)
        check_reader(&reader);
    else
        g_assert_cmpstr(error.text, !=, "");
    try_devices(data, size);
    return 0;
}
