/* SPDX-License-Identifier: Apache-2.0 */
/* Whole guests: boot, control, reset, snapshots. */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "vm-fixture.h"
#include "vmm/snapshot.h"

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

/* A guest that counts in memory and is saved: its state and its memory's file. */
static void make_snapshot(int *state, int *memory, gsize *counted)
{
    Vm vm;
    VmmError error = {""};
    g_assert_true(vm_init(&vm));
    VM_SET_KERNEL(&vm, pvh_counter);
    *state = vm_file(0);
    *memory = vm_file(0);
    vm_build(&vm);
    vm.wanted = 30;
    vm_run(&vm);
    pthread_mutex_lock(&vm.vm.machine.lock);
    vmm_vm_stop(&vm.vm);
    if (vmm_snapshot_save(&vm.vm, *state, *memory, &error))
        g_error("%s", error.text);
    pthread_mutex_unlock(&vm.vm.machine.lock);
    *counted = vm.output->len;
    vm_free(&vm);
}

static gboolean no_kvm(void)
{
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        return FALSE;
    g_test_skip("no /dev/kvm");
    return TRUE;
}

static void test_snapshot_goes_on_where_it_was(void)
{
    int state, memory;
    gsize counted;
    if (no_kvm())
        return;
    make_snapshot(&state, &memory, &counted);
    for (int clone = 0; clone < 3; clone++) {
        Vm vm;
        g_assert_true(vm_init(&vm));
        vm.options.restore = state;
        vm.options.memory_fd = dup(memory);
        vm.options.memory_is_private = true;
        vm_build(&vm);
        vm.wanted = 20;
        vm_run(&vm);
        for (gsize i = 0; i < 20; i++)
            g_assert_cmphex((uint8_t)vm.output->str[i], ==, (counted + i) & 0xff);
        vm_free(&vm);
    }
    close(state);
    close(memory);
}

static void test_snapshot_is_loaded_on_command(void)
{
    int state, memory;
    gsize counted;
    Vm vm;
    if (no_kvm())
        return;
    make_snapshot(&state, &memory, &counted);
    g_assert_true(vm_init(&vm));
    vm.options.waits_for_snapshot = true;
    vm.options.memory_fd = memory;
    vm.options.memory_is_private = true;
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    expect_text(vm_command(&vm, "{\"execute\": \"query-status\"}"), "inmigrate");
    expect_text(vm_command(&vm, "{\"execute\": \"cont\"}"), "there is no guest yet");
    vmm_qmp_receive(vm.qmp, state);
    vm_command(&vm, "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"s\"}}");
    expect_text(vm_command(&vm, "{\"execute\": \"snapshot-load\", \"arguments\": {\"state\": "
                                "\"s\"}}"),
                "{\"return\": {}}");
    vm_command(&vm, "{\"execute\": \"cont\"}");
    vm.wanted = 5;
    vm_run(&vm);
    g_assert_cmphex((uint8_t)vm.output->str[0], ==, counted & 0xff);
    vm_free(&vm);
}

static char *why_refused(const void *bytes, gsize length, int memory, void (*change)(VmmOptions *))
{
    Vm vm;
    VmmError error = {""};
    g_assert_true(vm_init(&vm));
    vm.options.waits_for_snapshot = true;
    vm.options.memory_fd = dup(memory);
    vm.options.memory_is_private = true;
    if (change)
        change(&vm.options);
    vm_build(&vm);
    g_assert_cmpint(vmm_snapshot_load_bytes(&vm.vm, bytes, length, &error), <, 0);
    vm_free(&vm);
    return g_strdup(error.text);
}

static void expect_refused(const void *bytes, gsize length, int memory,
                           void (*change)(VmmOptions *), const char *why)
{
    g_autofree char *text = why_refused(bytes, length, memory, change);
    expect_text(text, why);
}

static void add_cpu(VmmOptions *options)
{
    options->cpus = 2;
}

static void take_memory(VmmOptions *options)
{
    options->memory /= 2;
}

static void add_device(VmmOptions *options)
{
    options->has_rng = true;
}

static GByteArray *read_state(int state)
{
    off_t size = lseek(state, 0, SEEK_END);
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_set_size(bytes, (guint)size);
    g_assert_cmpint(pread(state, bytes->data, bytes->len, 0), ==, bytes->len);
    return bytes;
}

static void test_snapshot_of_another_machine_is_refused(void)
{
    int state, memory;
    gsize counted;
    if (no_kvm())
        return;
    make_snapshot(&state, &memory, &counted);
    g_autoptr(GByteArray) bytes = read_state(state);
    expect_refused(bytes->data, bytes->len, memory, add_cpu, "with 1 vCPUs");
    expect_refused(bytes->data, bytes->len, memory, take_memory, "with 8 MiB of memory");
    expect_refused(bytes->data, bytes->len, memory, add_device, "with 0 virtio devices");
    close(state);
    close(memory);
}

static void test_damaged_snapshot_is_refused(void)
{
    int state, memory;
    gsize counted;
    VmmStateReader reader;
    VmmError error;
    if (no_kvm())
        return;
    make_snapshot(&state, &memory, &counted);
    g_autoptr(GByteArray) bytes = read_state(state);
    g_assert_cmpint(vmm_snapshot_open(&reader, bytes->data, bytes->len, &error), ==, 0);
    for (guint length = 0; length < bytes->len; length += 61)
        g_assert_cmpint(vmm_snapshot_open(&reader, bytes->data, length, &error), <, 0);
    for (guint at = 0; at < bytes->len; at += at < 64 ? 1 : 37) {
        bytes->data[at] ^= (guint8)(1 << at % 8);
        g_assert_cmpint(vmm_snapshot_open(&reader, bytes->data, bytes->len, &error), <, 0);
        bytes->data[at] ^= (guint8)(1 << at % 8);
    }
    expect_refused(bytes->data, 100, memory, NULL, "cut short");
    bytes->data[8]++;
    expect_refused(bytes->data, bytes->len, memory, NULL, "format 2");
    bytes->data[0]++;
    expect_refused(bytes->data, bytes->len, memory, NULL, "no snapshot of stead-vmm");
    close(state);
    close(memory);
}

static void test_shared_memory_needs_no_second_file(void)
{
    Vm vm;
    VmmError error = {""};
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_counter);
    vm.options.memory_fd = vm_file(VM_MEMORY);
    vm_build(&vm);
    int state = vm_file(0);
    g_assert_cmpint(vmm_snapshot_save(&vm.vm, state, -1, &error), ==, 0);
    vm.options.memory_is_private = true;
    g_assert_cmpint(vmm_snapshot_save(&vm.vm, state, -1, &error), <, 0);
    expect_text(error.text, "in no file");
    close(state);
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
    g_test_add_func("/vmm/vm/snapshot/goes-on", test_snapshot_goes_on_where_it_was);
    g_test_add_func("/vmm/vm/snapshot/on-command", test_snapshot_is_loaded_on_command);
    g_test_add_func("/vmm/vm/snapshot/another-machine",
                    test_snapshot_of_another_machine_is_refused);
    g_test_add_func("/vmm/vm/snapshot/damaged", test_damaged_snapshot_is_refused);
    g_test_add_func("/vmm/vm/snapshot/shared-memory", test_shared_memory_needs_no_second_file);
    return g_test_run();
}
