/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port and the power registers as a driver sees them, without a guest. */
#include <glib.h>
#include <string.h>

#include "vmm/power.h"
#include "vmm/serial.h"

typedef struct {
    VmmSerial serial;
    GString *sent;
    unsigned interrupts, rooms;
} Rig;

static void on_interrupt(void *self)
{
    ((Rig *)self)->interrupts++;
}

static void on_output(void *owner, uint8_t byte)
{
    g_string_append_c(((Rig *)owner)->sent, (char)byte);
}

static void on_room(void *owner)
{
    ((Rig *)owner)->rooms++;
}

static void rig_init(Rig *rig)
{
    *rig = (Rig){.sent = g_string_new("")};
    rig->serial = (VmmSerial){
        .irq = {on_interrupt, rig}, .output = on_output, .has_room = on_room, .owner = rig};
    vmm_serial_reset(&rig->serial);
    rig->rooms = 0;
}

static uint8_t get(Rig *rig, uint64_t offset)
{
    uint8_t value;
    vmm_serial_ops.read(&rig->serial, offset, &value, 1);
    return value;
}

static void put(Rig *rig, uint64_t offset, uint8_t value)
{
    vmm_serial_ops.write(&rig->serial, offset, &value, 1);
}

static void input(Rig *rig, const char *text)
{
    vmm_serial_input(&rig->serial, (const uint8_t *)text, strlen(text));
}

static void test_received_bytes_interrupt_once_each_time(void)
{
    Rig rig;
    rig_init(&rig);
    put(&rig, 1, 0x01);
    input(&rig, "ab");
    g_assert_cmpuint(rig.interrupts, ==, 1);
    g_assert_cmphex(get(&rig, 2), ==, 0x04);
    g_assert_cmphex(get(&rig, 5), ==, 0x61);
    g_assert_cmpint(get(&rig, 0), ==, 'a');
    g_assert_cmpuint(rig.rooms, ==, 0);
    g_assert_cmpint(get(&rig, 0), ==, 'b');
    g_assert_cmpuint(rig.rooms, ==, 1);
    g_assert_cmphex(get(&rig, 2), ==, 0x01);
    g_assert_cmphex(get(&rig, 5), ==, 0x60);
    input(&rig, "c");
    g_assert_cmpuint(rig.interrupts, ==, 2);
    g_string_free(rig.sent, TRUE);
}

static void test_too_many_bytes_are_an_overrun(void)
{
    Rig rig;
    rig_init(&rig);
    put(&rig, 1, 0x04);
    input(&rig, "0123456789abcdefX");
    g_assert_cmpuint(vmm_serial_room(&rig.serial), ==, 0);
    g_assert_cmpuint(rig.interrupts, ==, 1);
    g_assert_cmphex(get(&rig, 2), ==, 0x06);
    g_assert_cmphex(get(&rig, 5), ==, 0x63);
    g_assert_cmphex(get(&rig, 5), ==, 0x61);
    g_string_free(rig.sent, TRUE);
}

/* A driver that waits for an empty transmitter gets an interrupt for each byte, and one at first.
 */
static void test_sending_is_driven_by_interrupts(void)
{
    Rig rig;
    rig_init(&rig);
    put(&rig, 1, 0x02);
    g_assert_cmpuint(rig.interrupts, ==, 1);
    g_assert_cmphex(get(&rig, 2), ==, 0x02);
    g_assert_cmphex(get(&rig, 2), ==, 0x01);
    put(&rig, 0, 'x');
    put(&rig, 0, 'y');
    g_assert_cmpuint(rig.interrupts, ==, 3);
    g_assert_cmpstr(rig.sent->str, ==, "xy");
    g_string_free(rig.sent, TRUE);
}

/* As Linux looks whether there is a port. */
static void test_loop_is_as_on_a_real_port(void)
{
    Rig rig;
    rig_init(&rig);
    put(&rig, 4, 0x1a);
    g_assert_cmphex(get(&rig, 6) & 0xf0, ==, 0x90);
    put(&rig, 0, 'x');
    g_assert_cmpint(get(&rig, 0), ==, 'x');
    g_assert_cmpuint(rig.sent->len, ==, 0);
    put(&rig, 7, 0xa5);
    g_assert_cmphex(get(&rig, 7), ==, 0xa5);
    put(&rig, 2, 0x01);
    g_assert_cmphex(get(&rig, 2) & 0xc0, ==, 0xc0);
    g_string_free(rig.sent, TRUE);
}

static void test_divisor_hides_the_data(void)
{
    Rig rig;
    rig_init(&rig);
    put(&rig, 3, 0x83);
    put(&rig, 0, 0x01);
    put(&rig, 1, 0x02);
    g_assert_cmphex(get(&rig, 0), ==, 0x01);
    g_assert_cmphex(get(&rig, 1), ==, 0x02);
    put(&rig, 3, 0x03);
    g_assert_cmphex(get(&rig, 1), ==, 0x00);
    g_assert_cmpuint(rig.sent->len, ==, 0);
    g_string_free(rig.sent, TRUE);
}

static void test_state_is_kept(void)
{
    Rig rig, other;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    rig_init(&rig);
    rig_init(&other);
    put(&rig, 1, 0x01);
    input(&rig, "xy");
    vmm_serial_save(&rig.serial, &writer);
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    vmm_serial_load(&other.serial, &reader);
    g_assert_cmpint(reader.failed, ==, 0);
    g_assert_cmpint(get(&other, 0), ==, 'x');
    g_assert_cmpuint(other.interrupts, ==, 1);
    vmm_state_writer_free(&writer);
    g_string_free(rig.sent, TRUE);
    g_string_free(other.sent, TRUE);
}

/* --- power --- */

typedef struct {
    VmmPower power;
    VmmBus ports;
    unsigned offs, resets;
    bool level;
} PowerRig;

static void on_off(void *owner)
{
    ((PowerRig *)owner)->offs++;
}

static void on_reset(void *owner)
{
    ((PowerRig *)owner)->resets++;
}

static void on_level(void *owner, bool level)
{
    ((PowerRig *)owner)->level = level;
}

static void power_init(PowerRig *rig)
{
    *rig =
        (PowerRig){.power = {.switch_off = on_off, .reset = on_reset, .set_interrupt = on_level}};
    rig->power.owner = rig;
    g_assert_cmpint(vmm_power_add(&rig->power, &rig->ports), ==, 0);
}

static void out(PowerRig *rig, uint64_t port, uint32_t value, unsigned size)
{
    g_assert_true(vmm_bus_write(&rig->ports, port, &value, size));
}

static uint32_t in(PowerRig *rig, uint64_t port, unsigned size)
{
    uint32_t value = 0;
    g_assert_true(vmm_bus_read(&rig->ports, port, &value, size));
    return value;
}

static void test_only_s5_switches_off(void)
{
    PowerRig rig;
    power_init(&rig);
    for (unsigned type = 0; type < 8; type++)
        out(&rig, 0x604, type << 10 | 0x2000, 2);
    g_assert_cmpuint(rig.offs, ==, 1);
    out(&rig, 0x604, 5 << 10, 2);
    out(&rig, 0x604, 0xff, 1);
    g_assert_cmpuint(rig.offs, ==, 1);
    out(&rig, 0x605, 0x34, 1);
    g_assert_cmpuint(rig.offs, ==, 2);
    g_assert_cmphex(in(&rig, 0x604, 2), ==, 0x0001);
}

static void test_button_interrupts_until_it_is_cleared(void)
{
    PowerRig rig;
    power_init(&rig);
    vmm_power_press_button(&rig.power);
    g_assert_false(rig.level);
    out(&rig, 0x602, 0x100, 2);
    g_assert_true(rig.level);
    g_assert_cmphex(in(&rig, 0x600, 4), ==, 0x01000100);
    out(&rig, 0x600, 0x0001, 2);
    g_assert_true(rig.level);
    out(&rig, 0x601, 0x01, 1);
    g_assert_false(rig.level);
    g_assert_cmphex(in(&rig, 0x600, 4), ==, 0x01000000);
}

static void test_reset_ports_take_only_their_value(void)
{
    static const struct {
        uint16_t port;
        uint8_t value;
        unsigned resets;
    } writes[] = {{0x64, 0xfe, 1},  {0x64, 0xd1, 0}, {0xcf9, 0x06, 1},
                  {0xcf9, 0x02, 0}, {0x92, 0x01, 1}, {0x92, 0x02, 0}};
    for (size_t i = 0; i < G_N_ELEMENTS(writes); i++) {
        PowerRig rig;
        power_init(&rig);
        out(&rig, writes[i].port, writes[i].value, 1);
        g_assert_cmpuint(rig.resets, ==, writes[i].resets);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/serial/received", test_received_bytes_interrupt_once_each_time);
    g_test_add_func("/vmm/serial/overrun", test_too_many_bytes_are_an_overrun);
    g_test_add_func("/vmm/serial/sending", test_sending_is_driven_by_interrupts);
    g_test_add_func("/vmm/serial/loop", test_loop_is_as_on_a_real_port);
    g_test_add_func("/vmm/serial/divisor", test_divisor_hides_the_data);
    g_test_add_func("/vmm/serial/state", test_state_is_kept);
    g_test_add_func("/vmm/power/s5", test_only_s5_switches_off);
    g_test_add_func("/vmm/power/button", test_button_interrupts_until_it_is_cleared);
    g_test_add_func("/vmm/power/reset-ports", test_reset_ports_take_only_their_value);
    return g_test_run();
}
