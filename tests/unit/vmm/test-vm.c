/* SPDX-License-Identifier: Apache-2.0 */
/* Whole guests: boot, control, reset. */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "elf-kernel.h"
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

/* --- every command's answer --- */

typedef struct {
    const char *command, *answer; /* between {} */
} Exchange;

#define EXECUTE(name) "\"execute\": \"" name "\""
#define DONE "\"return\": {}"
#define REFUSED(class, why) "\"error\": {\"class\": \"" class "\", \"desc\": \"" why "\"}"
#define STATUS(is_running, name)                                                                   \
    "\"return\": {\"running\": " is_running ", \"singlestep\": false, \"status\": \"" name "\"}"

/* What a command is answered with, whatever events are told beside it. */
static void expect_answers(Vm *vm, const Exchange *exchanges, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        g_autofree char *command = g_strdup_printf("{%s}", exchanges[i].command);
        g_autofree char *wanted = g_strdup_printf("{%s}", exchanges[i].answer);
        g_auto(GStrv) lines = g_strsplit(vm_command(vm, command), "\r\n", -1);
        guint at = 0;
        while (lines[at] && strstr(lines[at], "\"event\""))
            at++;
        g_assert_cmpstr(lines[at], ==, wanted);
    }
}

static void test_each_command_is_answered(void)
{
    static const Exchange exchanges[] = {
        {EXECUTE("query-status"), REFUSED("CommandNotFound", "qmp_capabilities comes first")},
        {EXECUTE("qmp_capabilities"), DONE},
        {EXECUTE("query-status"), STATUS("false", "paused")},
        {EXECUTE("query-commands"),
         "\"return\": [{\"name\": \"qmp_capabilities\"}, {\"name\": \"query-status\"}, "
         "{\"name\": \"query-commands\"}, {\"name\": \"stop\"}, {\"name\": \"cont\"}, "
         "{\"name\": \"system_powerdown\"}, {\"name\": \"system_reset\"}, {\"name\": \"quit\"}, "
         "{\"name\": \"balloon\"}, {\"name\": \"query-balloon\"}, {\"name\": \"getfd\"}, "
         "{\"name\": \"closefd\"}, {\"name\": \"snapshot-save\"}, {\"name\": "
         "\"snapshot-load\"}, {\"name\": \"query-blockstats\"}, {\"name\": "
         "\"query-refused\"}]"},
        {EXECUTE("query-blockstats"), "\"return\": []"},
        {EXECUTE("query-balloon"), "\"return\": {\"actual\": 8388608, \"reported\": 0}"},
        {EXECUTE("balloon"), REFUSED("GenericError", "'value' must be a number of bytes")},
        {EXECUTE("balloon") ", \"arguments\": {\"value\": 8388609}",
         REFUSED("GenericError", "the machine does not have so much memory")},
        {EXECUTE("balloon") ", \"arguments\": {\"value\": 4194304}", DONE},
        {EXECUTE("system_reset"), DONE},
        {EXECUTE("cont"), DONE},
        {EXECUTE("query-status"), STATUS("true", "running")},
        {EXECUTE("stop") ", \"id\": 5", DONE ", \"id\": 5"},
        {EXECUTE("query-status"), STATUS("false", "paused")},
        {EXECUTE("snapshot-load"),
         REFUSED("GenericError", "only a machine that waits for a snapshot loads one")},
        {EXECUTE("system_powerdown"), DONE},
        {EXECUTE("quit"), DONE},
        {EXECUTE("query-status"), STATUS("false", "shutdown")},
    };
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_counter);
    vm.options.has_balloon = true;
    vm_build(&vm);
    expect_answers(&vm, exchanges, G_N_ELEMENTS(exchanges));
    vm_free(&vm);
}

static void test_nothing_is_done_to_a_guest_that_is_not_there(void)
{
    static const Exchange exchanges[] = {
        {EXECUTE("qmp_capabilities"), DONE},
        {EXECUTE("query-status"), STATUS("false", "inmigrate")},
        {EXECUTE("system_powerdown"), REFUSED("GenericError", "there is no guest yet")},
        {EXECUTE("system_reset"), REFUSED("GenericError", "there is no guest yet")},
        {EXECUTE("cont"),
         REFUSED("GenericError", "there is no guest yet: snapshot-load comes first")},
        {EXECUTE("query-balloon"), REFUSED("GenericError", "the guest has no balloon")},
        {EXECUTE("balloon"), REFUSED("GenericError", "the guest has no balloon")},
    };
    Vm vm;
    if (!vm_init(&vm))
        return;
    vm.options.waits_for_snapshot = true;
    vm_build(&vm);
    expect_answers(&vm, exchanges, G_N_ELEMENTS(exchanges));
    vm_free(&vm);
}

#define FD_NAMED(command, name) EXECUTE(command) ", \"arguments\": {\"fdname\": \"" name "\"}"

static void test_descriptors_have_names_until_they_are_closed(void)
{
    static const Exchange before[] = {
        {EXECUTE("qmp_capabilities"), DONE},
        {FD_NAMED("getfd", "a"), REFUSED("GenericError", "no descriptor came along")},
    };
    static const Exchange after[] = {
        {FD_NAMED("getfd", "a"), DONE},
        {FD_NAMED("closefd", "b"), REFUSED("GenericError", "no descriptor is named 'b'")},
        {FD_NAMED("closefd", "a"), DONE},
        {FD_NAMED("closefd", "a"), REFUSED("GenericError", "no descriptor is named 'a'")},
    };
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh);
    vm_build(&vm);
    expect_answers(&vm, before, G_N_ELEMENTS(before));
    int fd = vm_file(0);
    vmm_qmp_receive(vm.qmp, fd);
    expect_answers(&vm, after, G_N_ELEMENTS(after));
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    vm_free(&vm);
}

static void test_what_nobody_answered_is_counted(void)
{
    static const Exchange exchanges[] = {
        {EXECUTE("query-refused"), "\"return\": {\"port-reads\": 0, \"port-writes\": 0, "
                                   "\"mmio-reads\": 3, \"mmio-writes\": 1, \"virtio\": 0}"},
    };
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_mmio);
    vm.options.has_rng = true;
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    vm_run(&vm);
    expect_answers(&vm, exchanges, G_N_ELEMENTS(exchanges));
    vm_free(&vm);
}

static void test_reset_from_outside_begins_anew(void)
{
    struct kvm_regs regs;
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_counter);
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    vm.wanted = 10;
    vm_run(&vm);
    vm_command(&vm, "{\"execute\": \"stop\"}");
    expect_text(vm_command(&vm, "{\"execute\": \"system_reset\"}"),
                "\"RESET\", \"data\": {\"guest\": false, \"reason\": \"host-qmp-system-reset\"}");
    g_assert_cmpint(ioctl(vm.vm.machine.vcpus[0].fd, KVM_GET_REGS, &regs), ==, 0);
    g_assert_cmphex(regs.rip, ==, KERNEL_ADDRESS);
    vm_command(&vm, "{\"execute\": \"cont\"}");
    vm.wanted = vm.output->len + 10;
    vm_run(&vm);
    vm_free(&vm);
}

static void test_reset_from_outside_ends_where_no_reboot_is_wanted(void)
{
    Vm vm;
    if (!vm_init(&vm))
        return;
    VM_SET_KERNEL(&vm, pvh_counter);
    vm.options.no_reboot = true;
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    expect_text(vm_command(&vm, "{\"execute\": \"system_reset\"}"),
                "\"SHUTDOWN\", \"data\": {\"guest\": false, \"reason\": "
                "\"host-qmp-system-reset\"}");
    g_assert_cmpint(vm.vm.state, ==, VMM_VM_SHUTDOWN);
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
    g_test_add_func("/vmm/vm/reset", test_reset_boots_the_kernel_again);
    g_test_add_func("/vmm/vm/no-reboot", test_reset_ends_where_no_reboot_is_wanted);
    g_test_add_func("/vmm/vm/control/rules", test_control_rules_the_guest);
    g_test_add_func("/vmm/vm/shutdown-event", test_guest_shutdown_is_an_event);
    g_test_add_func("/vmm/vm/control/nonsense", test_control_survives_nonsense);
    g_test_add_func("/vmm/vm/control/answers", test_each_command_is_answered);
    g_test_add_func("/vmm/vm/control/no-guest", test_nothing_is_done_to_a_guest_that_is_not_there);
    g_test_add_func("/vmm/vm/control/descriptors",
                    test_descriptors_have_names_until_they_are_closed);
    g_test_add_func("/vmm/vm/control/refused", test_what_nobody_answered_is_counted);
    g_test_add_func("/vmm/vm/control/reset", test_reset_from_outside_begins_anew);
    g_test_add_func("/vmm/vm/control/reset-ends",
                    test_reset_from_outside_ends_where_no_reboot_is_wanted);
    return g_test_run();
}
