/* SPDX-License-Identifier: Apache-2.0 */
/* Tiny guests on the host's KVM: each way out of the guest, and each way back in. */
#include <string.h>

#include "machine-fixture.h"
#include "vmm/state.h"

static void expect_off(Fixture *fixture, const void *bytes, gsize length)
{
    fixture_run(fixture);
    g_assert_cmpint(fixture->request, ==, VMM_REQUEST_SHUTDOWN);
    fixture_expect(fixture, bytes, length);
}

static void test_serial_output(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, hello);
    expect_off(&fixture, "hi", 2);
    fixture_free(&fixture);
}

static void test_every_width(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, widths);
    expect_off(&fixture, "\xed\xcb\xed\x87\xed", 5);
    fixture_free(&fixture);
}

static void test_string_instructions(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, strings);
    /* What was written last is "efgh"; each read turns it over. */
    expect_off(&fixture, "\x9a\x9a\x9a\x99\x9a\x99\x98\x97", 8);
    g_assert_cmpuint(fixture.echoed, ==, 8 + 4 + 2);
    fixture_free(&fixture);
}

static void test_unknown_port_reads_as_all_ones(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, unknown_port);
    expect_off(&fixture, "\xff\xff\xff", 3);
    g_assert_cmpuint(fixture.machine.ports.unknown_reads, ==, 3);
    g_assert_cmpuint(fixture.machine.ports.unknown_writes, ==, 1);
    fixture_free(&fixture);
}

typedef struct {
    const uint8_t *start, *end;
} Guest;

static void test_reset(const void *data)
{
    const Guest *guest = data;
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    fixture_load(&fixture, guest->start, guest->end);
    fixture_run(&fixture);
    g_assert_cmpstr(fixture.machine.why.text, ==, "");
    g_assert_cmpint(fixture.request, ==, VMM_REQUEST_RESET);
    fixture_free(&fixture);
}

static void test_power_button(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, power_button);
    fixture.wanted = 1;
    fixture_run(&fixture);
    fixture_expect(&fixture, "r", 1);
    fixture.wanted = 0;
    vmm_arch_press_power(&fixture.machine);
    expect_off(&fixture, "0", 1);
    fixture_free(&fixture);
}

static void test_pause_and_resume(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, counter);
    for (int round = 0; round < 5; round++) {
        fixture.wanted = fixture.output->len + 50;
        fixture_run(&fixture);
    }
    /* No byte was lost or said twice on the way. */
    for (guint i = 0; i < fixture.output->len; i++)
        g_assert_cmphex(fixture.output->data[i], ==, i & 0xff);
    fixture_free(&fixture);
}

static void test_serial_input(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, echo);
    vmm_serial_input(&fixture.serial, (const uint8_t *)"abcq", 4);
    expect_off(&fixture, "abc", 3);
    fixture_free(&fixture);
}

/* The second vCPU waits to be woken, which nobody does, and is no hindrance to a pause. */
static void test_a_vcpu_that_waits(void)
{
    Fixture fixture;
    if (!fixture_init(&fixture, 2))
        return;
    FIXTURE_LOAD(&fixture, hello);
    expect_off(&fixture, "hi", 2);
    fixture_free(&fixture);
}

static void test_halted_guest_can_be_ended(void)
{
    Fixture fixture;
    VmmError error;
    if (!fixture_init(&fixture, 1))
        return;
    FIXTURE_LOAD(&fixture, halt);
    pthread_mutex_lock(&fixture.machine.lock);
    g_assert_cmpint(vmm_machine_start(&fixture.machine, &error), ==, 0);
    vmm_machine_resume(&fixture.machine);
    vmm_machine_pause(&fixture.machine);
    pthread_mutex_unlock(&fixture.machine.lock);
    fixture_free(&fixture);
}

/* A guest goes on in another machine where it was stopped in the first. */
static void test_state_moves_to_another_machine(void)
{
    Fixture from, to;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    VmmError error;
    if (!fixture_init(&from, 1))
        return;
    FIXTURE_LOAD(&from, counter);
    from.wanted = 20;
    fixture_run(&from);
    vmm_arch_save(&from.machine, &writer);
    g_assert_cmpint(writer.failed, ==, 0);
    g_assert_true(fixture_init(&to, 1));
    g_assert_cmpint(vmm_memory_write(to.memory, 0, vmm_memory_at(from.memory, 0, FIXTURE_MEMORY),
                                     FIXTURE_MEMORY),
                    ==, 0);
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    vmm_arch_load(&to.machine, &reader);
    g_assert_cmpstr(reader.why.text, ==, "");
    g_assert_cmpint(vmm_arch_apply(&to.machine, &error), ==, 0);
    to.wanted = 20;
    fixture_run(&to);
    for (guint i = 0; i < to.output->len; i++)
        g_assert_cmphex(to.output->data[i], ==, (from.output->len + i) & 0xff);
    vmm_state_writer_free(&writer);
    fixture_free(&from);
    fixture_free(&to);
}

static void add_reset(const char *name, const uint8_t *start, const uint8_t *end)
{
    Guest *guest = g_new(Guest, 1);
    *guest = (Guest){start, end};
    g_test_add_data_func_full(name, guest, test_reset, g_free);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/machine/serial-output", test_serial_output);
    g_test_add_func("/vmm/machine/every-width", test_every_width);
    g_test_add_func("/vmm/machine/string-instructions", test_string_instructions);
    g_test_add_func("/vmm/machine/unknown-port", test_unknown_port_reads_as_all_ones);
    add_reset("/vmm/machine/reset/keyboard", guest_reset_keyboard, guest_reset_keyboard_end);
    add_reset("/vmm/machine/reset/acpi", guest_reset_acpi, guest_reset_acpi_end);
    add_reset("/vmm/machine/reset/fast", guest_reset_fast, guest_reset_fast_end);
    add_reset("/vmm/machine/reset/triple-fault", guest_triple_fault, guest_triple_fault_end);
    g_test_add_func("/vmm/machine/power-button", test_power_button);
    g_test_add_func("/vmm/machine/pause-and-resume", test_pause_and_resume);
    g_test_add_func("/vmm/machine/serial-input", test_serial_input);
    g_test_add_func("/vmm/machine/waiting-vcpu", test_a_vcpu_that_waits);
    g_test_add_func("/vmm/machine/halted", test_halted_guest_can_be_ended);
    g_test_add_func("/vmm/machine/state-moves", test_state_moves_to_another_machine);
    return g_test_run();
}
