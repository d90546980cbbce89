/* SPDX-License-Identifier: Apache-2.0 */
/* Whole guests: boot, control, reset. */
#include <glib.h>
#include <string.h>

#include "vm-fixture.h"

#define BEGIN "{\"execute\": \"qmp_capabilities\"}"

static void expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        g_error("no %s in %s", part, text);
}

static void boot_and_expect(Vm *vm, const char *output)
{
    vm_build(vm);
    vm_run(vm);
    g_assert_cmpstr(vm->vm.machine.why.text, ==, "");
    g_assert_cmpint(vm->vm.state, ==, VMM_VM_SHUTDOWN);
    g_assert_cmpstr(vm->output->str, ==, output);
    vm_free(vm);
}

static void test_boots_by_pvh(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh);
    vm.options.command_line = "quiet";
    boot_and_expect(&vm, "PVquiet");
}

static void test_finds_acpi(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_acpi);
    boot_and_expect(&vm, "RSD PTR ");
}

static void test_boots_in_long_mode(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    vm_set_kernel(&vm, guest_long_mode, guest_long_mode_end, FALSE);
    boot_and_expect(&vm, "LHdrS");
}

static void test_names_devices_on_the_command_line(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh);
    vm.options.command_line = "x";
    vm.options.has_rng = true;
    vm.options.name_virtio = true;
    boot_and_expect(&vm, "PVx virtio_mmio.device=512@0xd0000000:16");
}

static void test_reads_memory_mapped_registers(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_mmio);
    vm.options.has_rng = true;
    boot_and_expect(&vm, "\xff\xff\xffv");
}

/* The end of a guest that KVM cannot go on with, with the place where it was. */
static void test_guest_that_cannot_go_on(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_nowhere);
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    vm_run(&vm);
    g_assert_cmpstr(vm.output->str, ==, "n");
    g_assert_cmpint(vm.vm.state, ==, VMM_VM_FAILED);
    expect_text(vm.vm.machine.why.text, "vCPU 0 stopped at 0xc8000000 (exit reason 17, 1)");
    expect_text(vm.sent->str,
                "\"SHUTDOWN\", \"data\": {\"guest\": false, \"reason\": \"host-error\"}");
    vm_free(&vm);
}

static void test_reset_boots_the_kernel_again(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_reset);
    boot_and_expect(&vm, "ab");
}

static void test_reset_ends_where_no_reboot_is_wanted(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_reset);
    vm.options.no_reboot = true;
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    vm_run(&vm);
    g_assert_cmpstr(vm.output->str, ==, "a");
    expect_text(vm.sent->str,
                "\"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}");
    vm_free(&vm);
}

static void test_control_rules_the_guest(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_counter);
    vm_build(&vm);
    expect_text(vm.sent->str, "{\"QMP\": {\"version\": {\"qemu\": {");
    expect_text(vm_command(&vm, "{\"execute\": \"stop\"}"), "CommandNotFound");
    expect_text(vm_command(&vm, BEGIN), "{\"return\": {}}\r\n");
    vm.wanted = 10;
    vm_run(&vm);
    expect_text(vm_command(&vm, "{\"execute\":\"query-status\",\"id\":7}"),
                "\"status\": \"running\"}, \"id\": 7}");
    expect_text(vm_command(&vm, "{\"execute\":\"stop\",\"id\":\"x\"}"), "\"id\": \"x\"}");
    expect_text(vm.sent->str, "\"event\": \"STOP\"}");
    gsize length = vm.output->len;
    expect_text(vm_command(&vm, "{\"execute\":\"query-status\"}"), "\"status\": \"paused\"");
    g_assert_cmpuint(vm.output->len, ==, length);
    vm.wanted = length + 10;
    expect_text(vm_command(&vm, "{\"execute\":\"cont\"}"), "\"event\": \"RESUME\"");
    vm_run(&vm);
    expect_text(vm_command(&vm, "{\"execute\":\"system_powerdown\"}"), "\"event\": \"POWERDOWN\"");
    expect_text(vm_command(&vm, "{\"execute\":\"quit\"}"),
                "\"data\": {\"guest\": false, \"reason\": \"host-qmp-quit\"}");
    g_assert_cmpint(vm.vm.state, ==, VMM_VM_SHUTDOWN);
    vm_free(&vm);
}

/* Where the second CPU counts. */
static uint32_t read_counter(Vm *vm)
{
    uint32_t counter;
    memcpy(&counter, vmm_memory_at(vm->vm.memory, 0x9000, sizeof counter), sizeof counter);
    return counter;
}

/* The first wakes the second; both run, stop and go on. */
static void test_two_cpus_run(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_two);
    vm.options.cpus = 2;
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    vm.wanted = 20;
    vm_run(&vm);
    for (unsigned round = 0; round < 5; round++) {
        vm_command(&vm, "{\"execute\": \"stop\"}");
        g_assert_cmpuint(vm.vm.machine.n_parked, ==, 2);
        uint32_t counter = read_counter(&vm);
        gsize length = vm.output->len;
        expect_text(vm_command(&vm, "{\"execute\": \"query-status\"}"), "\"paused\"");
        g_assert_cmpuint(read_counter(&vm), ==, counter);
        g_assert_cmpuint(vm.output->len, ==, length);
        vm.wanted = length + 20;
        vm_command(&vm, "{\"execute\": \"cont\"}");
        vm_run(&vm);
        g_assert_cmpuint(read_counter(&vm), >, counter);
    }
    vm_command(&vm, "{\"execute\": \"stop\"}");
    g_assert_true(g_str_has_prefix(vm.output->str, "1--")); /* its number, once */
    g_assert_cmpuint(strspn(vm.output->str + 1, "-"), ==, vm.output->len - 1);
    vm_free(&vm);
}

static void test_guest_shutdown_is_an_event(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh);
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    vm_run(&vm);
    expect_text(vm.sent->str, "\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, "
                              "\"reason\": \"guest-shutdown\"}}");
    vm_free(&vm);
}

static void test_control_survives_nonsense(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh);
    vm_build(&vm);
    expect_text(vm_command(&vm, "hello\n"), "this is not JSON");
    expect_text(vm_command(&vm, "{\"execute\": }"), "this is not JSON");
    expect_text(vm_command(&vm, "{\"execute\": 5}"), "there is no command in it");
    expect_text(vm_command(&vm, "{\"execute\": \"rm\"}"), "CommandNotFound");
    vm_command(&vm, BEGIN);
    expect_text(vm_command(&vm, "{\"execute\": \"getfd\"}"), "'fdname' must be a string");
    expect_text(vm_command(&vm, "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": "
                                "\"none\"}}"),
                "no descriptor is named 'none'");
    expect_text(vm_command(&vm, "{\"execute\": \"snapshot-load\"}"), "waits for a snapshot");
    expect_text(vm_command(&vm, "{\"execute\": \"query-\\u0073tatus\"}"), "\"paused\"");
    g_autofree char *endless = g_strnfill(2 * VMM_QMP_LINE_MAX, '[');
    g_assert_cmpstr(vm_command(&vm, endless), ==, "");
    vm_free(&vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/vm/boot/pvh", test_boots_by_pvh);
    g_test_add_func("/vmm/vm/boot/acpi", test_finds_acpi);
    g_test_add_func("/vmm/vm/boot/long-mode", test_boots_in_long_mode);
    g_test_add_func("/vmm/vm/boot/command-line", test_names_devices_on_the_command_line);
    g_test_add_func("/vmm/vm/mmio", test_reads_memory_mapped_registers);
    g_test_add_func("/vmm/vm/nowhere", test_guest_that_cannot_go_on);
    g_test_add_func("/vmm/vm/reset", test_reset_boots_the_kernel_again);
    g_test_add_func("/vmm/vm/no-reboot", test_reset_ends_where_no_reboot_is_wanted);
    g_test_add_func("/vmm/vm/control", test_control_rules_the_guest);
    g_test_add_func("/vmm/vm/two-cpus", test_two_cpus_run);
    g_test_add_func("/vmm/vm/shutdown-event", test_guest_shutdown_is_an_event);
    g_test_add_func("/vmm/vm/control-nonsense", test_control_survives_nonsense);
    return g_test_run();
}
