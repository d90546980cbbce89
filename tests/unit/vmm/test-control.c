/* SPDX-License-Identifier: Apache-2.0 */
/* What each control command is answered with, and what it does. */
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
    vm.wanted = vm.output->len + 10;
    vm_command(&vm, "{\"execute\": \"cont\"}");
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
    g_test_add_func("/vmm/control/answers", test_each_command_is_answered);
    g_test_add_func("/vmm/control/no-guest", test_nothing_is_done_to_a_guest_that_is_not_there);
    g_test_add_func("/vmm/control/descriptors", test_descriptors_have_names_until_they_are_closed);
    g_test_add_func("/vmm/control/refused", test_what_nobody_answered_is_counted);
    g_test_add_func("/vmm/control/reset", test_reset_from_outside_begins_anew);
    g_test_add_func("/vmm/control/reset-ends",
                    test_reset_from_outside_ends_where_no_reboot_is_wanted);
    return g_test_run();
}
