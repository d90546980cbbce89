/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that go on from a snapshot, and snapshots that are refused: with the reason, and with
 * nothing of them in KVM. */
#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "state-edit.h"
#include "vm-fixture.h"
#include "vmm/arch/x86_64/kvm_state.h"
#include "vmm/snapshot.h"

#define BEGIN "{\"execute\": \"qmp_capabilities\"}"

/* A guest that counts in memory, with a device of random numbers, was saved. */
typedef struct {
    int state, memory; /* files */
    gsize counted;
} Snapshot;

static void expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        g_error("no %s in %s", part, text);
}

/* False, and the test is skipped, where KVM is not there. */
static gboolean snapshot_make(Snapshot *snapshot)
{
    Vm vm;
    VmmError error = {""};
    if (!vm_init(&vm))
        return FALSE;
    VM_SET_KERNEL(&vm, pvh_counter);
    *snapshot = (Snapshot){.state = vm_file(0), .memory = vm_file(0)};
    vm.options.has_rng = true;
    vm_build(&vm);
    vm.wanted = 30;
    vm_run(&vm);
    pthread_mutex_lock(&vm.vm.machine.lock);
    vmm_vm_stop(&vm.vm);
    if (vmm_snapshot_save(&vm.vm, snapshot->state, snapshot->memory, &error))
        g_error("%s", error.text);
    pthread_mutex_unlock(&vm.vm.machine.lock);
    snapshot->counted = vm.output->len;
    vm_free(&vm);
    return TRUE;
}

static void snapshot_close(const Snapshot *snapshot)
{
    close(snapshot->state);
    close(snapshot->memory);
}

/* A machine of the same kind, with the snapshot's memory, that waits for its state. */
static void init_waiting(Vm *vm, const Snapshot *snapshot)
{
    g_assert_true(vm_init(vm));
    vm->options.waits_for_snapshot = true;
    vm->options.has_rng = true;
    vm->options.memory_fd = dup(snapshot->memory);
    vm->options.memory_is_private = true;
}

/* --- going on --- */

static void test_snapshot_goes_on_where_it_was(void)
{
    Snapshot snapshot;
    if (!snapshot_make(&snapshot))
        return;
    for (int clone = 0; clone < 3; clone++) {
        Vm vm;
        init_waiting(&vm, &snapshot);
        vm.options.waits_for_snapshot = false;
        vm.options.restore = snapshot.state;
        vm_build(&vm);
        vm.wanted = 20;
        vm_run(&vm);
        for (gsize i = 0; i < 20; i++)
            g_assert_cmphex((uint8_t)vm.output->str[i], ==, (snapshot.counted + i) & 0xff);
        vm_free(&vm);
    }
    snapshot_close(&snapshot);
}

static void test_snapshot_is_loaded_on_command(void)
{
    Snapshot snapshot;
    Vm vm;
    if (!snapshot_make(&snapshot))
        return;
    init_waiting(&vm, &snapshot);
    vm_build(&vm);
    vm_command(&vm, BEGIN);
    expect_text(vm_command(&vm, "{\"execute\": \"query-status\"}"), "inmigrate");
    expect_text(vm_command(&vm, "{\"execute\": \"cont\"}"), "there is no guest yet");
    vmm_qmp_receive(vm.qmp, dup(snapshot.state));
    vm_command(&vm, "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"s\"}}");
    expect_text(vm_command(&vm, "{\"execute\": \"snapshot-load\", \"arguments\": {\"state\": "
                                "\"s\"}}"),
                "{\"return\": {}}");
    vm.wanted = 5;
    vm_command(&vm, "{\"execute\": \"cont\"}");
    vm_run(&vm);
    g_assert_cmphex((uint8_t)vm.output->str[0], ==, snapshot.counted & 0xff);
    vm_free(&vm);
    snapshot_close(&snapshot);
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

/* --- of another machine, or damaged --- */

static void expect_refused(const Snapshot *snapshot, const GByteArray *bytes,
                           void (*change)(VmmOptions *), const char *why)
{
    Vm vm;
    VmmError error = {""};
    init_waiting(&vm, snapshot);
    if (change)
        change(&vm.options);
    vm_build(&vm);
    g_assert_cmpint(vmm_snapshot_load_bytes(&vm.vm, bytes->data, bytes->len, &error), <, 0);
    expect_text(error.text, why);
    vm_free(&vm);
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
    options->has_balloon = true;
}

static void change_device(VmmOptions *options)
{
    options->has_rng = false;
    options->has_balloon = true;
}

static void test_snapshot_of_another_machine_is_refused(void)
{
    Snapshot snapshot;
    if (!snapshot_make(&snapshot))
        return;
    g_autoptr(GByteArray) bytes = state_read(snapshot.state);
    expect_refused(&snapshot, bytes, add_cpu, "with 1 vCPUs");
    expect_refused(&snapshot, bytes, take_memory, "with 8 MiB of memory");
    expect_refused(&snapshot, bytes, add_device, "with 1 virtio devices");
    expect_refused(&snapshot, bytes, change_device, "virtio device 0 is of another kind");
    snapshot_close(&snapshot);
}

static void test_damaged_snapshot_is_refused(void)
{
    Snapshot snapshot;
    VmmStateReader reader;
    VmmError error;
    if (!snapshot_make(&snapshot))
        return;
    g_autoptr(GByteArray) bytes = state_read(snapshot.state);
    g_assert_cmpint(vmm_snapshot_open(&reader, bytes->data, bytes->len, &error), ==, 0);
    for (guint length = 0; length < bytes->len; length += 61)
        g_assert_cmpint(vmm_snapshot_open(&reader, bytes->data, length, &error), <, 0);
    for (guint at = 0; at < bytes->len; at += at < 64 ? 1 : 37) {
        bytes->data[at] ^= (guint8)(1 << at % 8);
        g_assert_cmpint(vmm_snapshot_open(&reader, bytes->data, bytes->len, &error), <, 0);
        bytes->data[at] ^= (guint8)(1 << at % 8);
    }
    bytes->data[STATE_VERSION]++;
    expect_refused(&snapshot, bytes, NULL, "has format 3, this program reads 2");
    bytes->data[0]++;
    expect_refused(&snapshot, bytes, NULL, "no snapshot of stead-vmm");
    g_byte_array_set_size(bytes, 20);
    expect_refused(&snapshot, bytes, NULL, "cut short");
    snapshot_close(&snapshot);
}

/* --- changed by somebody who knows the format --- */

#define AT_EBX (4 + G_STRUCT_OFFSET(struct kvm_cpuid_entry2, ebx)) /* of the first leaf */
/* In a vCPU's section: the size of its vector registers, which follow; then the number of MSRs. */
#define AT_XSAVE                                                                                   \
    (4 + sizeof(struct kvm_mp_state) + sizeof(struct kvm_regs) + sizeof(struct kvm_sregs) +        \
     sizeof(struct kvm_xcrs) + sizeof(struct kvm_debugregs) + sizeof(struct kvm_lapic_state))

/* A number of 32 bits in a section, and what is added to it. */
typedef struct {
    const char *name, *section;
    gsize offset;
    guint32 add;
    const char *why;
    gboolean is_behind_xsave;
} Edit;

static const Edit EDITS[] = {
    {"leaf", "cpuid", AT_EBX, 1, "'cpuid': it was made on another kind of CPU (leaf 0x0 differs)"},
    {"fewer-leaves", "cpuid", 0, (guint32)-1, "'cpuid': it was made on another kind of CPU"},
    {"more-leaves", "cpuid", 0, 1, "'cpuid': it is cut short"},
    {"memory", "machine", 0, 4 << 20, "it is of a guest with 12 MiB of memory"},
    {"more-vcpus", "machine", 8, 1, "it is of a guest with 2 vCPUs"},
    {"no-vcpus", "machine", 8, (guint32)-1, "it is of a guest with 0 vCPUs"},
    {"more-devices", "machine", 12, 1, "it is of a guest with 2 virtio devices"},
    {"device", "machine", 16, 1, "its virtio device 0 is of another kind"},
    {"chip", "chips", 0, 1, "interrupt controller 1 stands in the place of 0"},
    {"vector-registers", "vcpu", AT_XSAVE, 8, "'vcpu': vector registers of"},
    {"more-msrs", "vcpu", AT_XSAVE, 1, "'vcpu': it is cut short", TRUE},
    {"many-msrs", "vcpu", AT_XSAVE, X86_MSRS_MAX, "MSRs", TRUE},
    {"fewer-msrs", "vcpu", AT_XSAVE, (guint32)-1, "'vcpu': it holds more than is known", TRUE},
    {"device-status", "vio-rng", 0, 2, "'vio-rng': no driver reaches that status"},
};

static guint32 number_at(const guint8 *at)
{
    guint32 value;
    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_LE(value);
}

static void add_at(guint8 *at, guint32 add)
{
    guint32 value = GUINT32_TO_LE(number_at(at) + add);
    memcpy(at, &value, sizeof value);
}

static GByteArray *edited(const Snapshot *snapshot, const Edit *edit)
{
    GByteArray *bytes = state_read(snapshot->state);
    guint8 *at = state_section(bytes, edit->section) + edit->offset;
    add_at(edit->is_behind_xsave ? at + 4 + number_at(at) : at, edit->add);
    state_mend(bytes);
    return bytes;
}

static void test_edited_snapshot_is_refused(const void *data)
{
    const Edit *edit = data;
    Snapshot snapshot;
    if (!snapshot_make(&snapshot))
        return;
    g_autoptr(GByteArray) bytes = edited(&snapshot, edit);
    expect_refused(&snapshot, bytes, NULL, edit->why);
    snapshot_close(&snapshot);
}

/* The last section is the one that is wrong. */
static void test_kvm_is_given_nothing_of_what_is_refused(void)
{
    static const Edit status = {"", "vio-rng", 0, 2, ""};
    struct kvm_regs before, after;
    Snapshot snapshot;
    VmmError error;
    Vm vm;
    if (!snapshot_make(&snapshot))
        return;
    g_autoptr(GByteArray) bytes = edited(&snapshot, &status);
    init_waiting(&vm, &snapshot);
    vm_build(&vm);
    int vcpu = vm.vm.machine.vcpus[0].fd;
    g_assert_cmpint(ioctl(vcpu, KVM_GET_REGS, &before), ==, 0);
    g_assert_cmpint(vmm_snapshot_load_bytes(&vm.vm, bytes->data, bytes->len, &error), <, 0);
    g_assert_cmpint(ioctl(vcpu, KVM_GET_REGS, &after), ==, 0);
    g_assert_cmpmem(&before, sizeof before, &after, sizeof after);
    g_autoptr(GByteArray) whole = state_read(snapshot.state);
    g_assert_cmpint(vmm_snapshot_load_bytes(&vm.vm, whole->data, whole->len, &error), ==, 0);
    g_assert_cmpint(ioctl(vcpu, KVM_GET_REGS, &after), ==, 0);
    g_assert_cmphex(after.rip, !=, before.rip);
    vm_free(&vm);
    snapshot_close(&snapshot);
}

/* Half of what it was, which no CPU's clock comes near: KVM makes it so, or the snapshot is
 * refused. Never does the guest go on with a clock that it did not measure. */
static void test_frequency_is_kept_or_refused(void)
{
    Snapshot snapshot;
    VmmError error = {""};
    Vm vm;
    if (!snapshot_make(&snapshot))
        return;
    g_autoptr(GByteArray) bytes = state_read(snapshot.state);
    guint8 *at = state_section(bytes, "vcpu");
    guint32 khz = number_at(at) / 2;
    add_at(at, -(number_at(at) - khz));
    state_mend(bytes);
    init_waiting(&vm, &snapshot);
    vm_build(&vm);
    int failed = vmm_snapshot_load_bytes(&vm.vm, bytes->data, bytes->len, &error);
    if (failed) {
        g_autofree char *why = g_strdup_printf("its CPU counts %u kHz, this host's", khz);
        expect_text(error.text, why);
    } else {
        /* KVM tells any frequency that it was told: only one that scales means it. */
        g_assert_cmpint(vmm_kvm_can(&vm.vm.machine.kvm, KVM_CAP_TSC_CONTROL), >, 0);
        g_assert_cmpint(ioctl(vm.vm.machine.vcpus[0].fd, KVM_GET_TSC_KHZ, 0), ==, khz);
    }
    g_test_message("%s", failed ? error.text : "KVM took the frequency");
    vm_free(&vm);
    snapshot_close(&snapshot);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/snapshot/goes-on", test_snapshot_goes_on_where_it_was);
    g_test_add_func("/vmm/snapshot/on-command", test_snapshot_is_loaded_on_command);
    g_test_add_func("/vmm/snapshot/shared-memory", test_shared_memory_needs_no_second_file);
    g_test_add_func("/vmm/snapshot/another-machine", test_snapshot_of_another_machine_is_refused);
    g_test_add_func("/vmm/snapshot/damaged", test_damaged_snapshot_is_refused);
    for (size_t i = 0; i < G_N_ELEMENTS(EDITS); i++) {
        g_autofree char *path = g_strdup_printf("/vmm/snapshot/edited/%s", EDITS[i].name);
        g_test_add_data_func(path, &EDITS[i], test_edited_snapshot_is_refused);
    }
    g_test_add_func("/vmm/snapshot/nothing-given", test_kvm_is_given_nothing_of_what_is_refused);
    g_test_add_func("/vmm/snapshot/frequency", test_frequency_is_kept_or_refused);
    return g_test_run();
}
