/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that resets itself finds the machine as it was made: its state is kept from before the
 * first boot, loaded again, and the kernel is read from its file once more. Memory is not cleared,
 * as a warm reset does not.
 */
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/devices.h"
#include "vmm/seccomp.h"
#include "vmm/snapshot.h"

void vmm_vm_tell(VmmVm *vm, VmmEvent event)
{
    if (vm->on_event)
        vm->on_event(vm->listener, event);
}

static int boot(VmmVm *vm, VmmError *error)
{
    VmmBoot kernel = {
        .kernel = vm->options->kernel,
        .initrd = vm->options->initrd,
        .command_line = vm->options->command_line,
        .n_virtio = vm->n_slots,
        .name_virtio = vm->options->name_virtio,
    };
    return vmm_arch_boot(&vm->machine, &kernel, error);
}

/* The process ends with the reason in machine.why. */
static void fail(VmmVm *vm)
{
    vmm_vm_shut_down(vm, false, "host-error");
    vm->state = VMM_VM_FAILED;
}

static void on_request(void *data, VmmRequest request)
{
    VmmVm *vm = data;
    switch (request) {
    case VMM_REQUEST_NONE:
        break;
    case VMM_REQUEST_SHUTDOWN:
        vmm_vm_shut_down(vm, true, "guest-shutdown");
        break;
    case VMM_REQUEST_RESET:
        vmm_vm_reset(vm, true);
        break;
    case VMM_REQUEST_FAILED:
        fail(vm);
        break;
    }
}

static int add_memory(VmmVm *vm, VmmError *error)
{
    const VmmOptions *options = vm->options;
    int failed = vmm_memory_new(&vm->memory, options->memory, options->memory_fd,
                                !options->memory_is_private);
    if (failed == -EINVAL)
        return vmm_error(error, failed, "the memory's file is shorter than the memory");
    return failed ? vmm_error_errno(error, failed, "no memory for the guest") : 0;
}

static void on_congestion(void *owner, bool is_congested)
{
    VmmVm *vm = owner;
    vmm_machine_set_congested(&vm->machine, is_congested);
}

static int add_terminal(VmmVm *vm, VmmError *error)
{
    const VmmOptions *options = vm->options;
    VmmLogOptions log = {
        .where = options->log_folder,
        .name = options->log_name,
        .size = options->log_size,
        .backups = options->log_backups > UINT32_MAX ? UINT32_MAX : (unsigned)options->log_backups,
    };
    int failed = log.where >= 0 ? vmm_log_new(&vm->log, &log) : 0;
    if (failed)
        return vmm_error_errno(error, failed, "cannot log to %s", log.name);
    failed = vmm_arch_add_platform(&vm->machine, &vm->serial, error);
    if (failed)
        return failed;
    failed =
        vmm_terminal_new(&vm->terminal, vm->machine.loop, &vm->serial, options->serial, vm->log);
    if (failed)
        return vmm_error_errno(error, failed, "no serial port");
    vmm_terminal_on_congestion(vm->terminal, on_congestion, vm);
    return 0;
}

/* Nothing that cannot be booted is reset. */
static int keep_cold_state(VmmVm *vm, VmmError *error)
{
    if (vm->options->kernel < 0 || vm->options->no_reboot)
        return 0;
    vmm_arch_save(&vm->machine, &vm->cold);
    if (vm->cold.failed)
        return vmm_error_errno(error, vm->cold.failed, "cannot read the machine's state");
    return 0;
}

/* What runs in the machine: a snapshot, now or later, or a kernel. */
static int fill(VmmVm *vm, VmmError *error)
{
    if (vm->options->waits_for_snapshot)
        return 0;
    vm->state = VMM_VM_PAUSED;
    if (vm->options->restore >= 0)
        return vmm_snapshot_load(vm, vm->options->restore, error);
    return boot(vm, error);
}

int vmm_vm_init(VmmVm *vm, const VmmOptions *options, const VmmKvm *kvm, VmmError *error)
{
    *vm = (VmmVm){.options = options};
    VmmKvm taken = *kvm;
    int failed = add_memory(vm, error);
    if (failed) {
        vmm_kvm_close(&taken);
        return failed;
    }
    failed = vmm_machine_init(&vm->machine, kvm, vm->memory, (unsigned)options->cpus, error);
    if (failed) {
        vmm_memory_free(vm->memory);
        return failed;
    }
    vm->machine.on_request = on_request;
    vm->machine.on_request_data = vm;
    vm->machine.prepare_thread = options->no_seccomp ? NULL : vmm_seccomp_seal_vcpu;
    failed = add_terminal(vm, error);
    if (!failed)
        failed = vmm_devices_add(vm, error);
    if (!failed)
        failed = keep_cold_state(vm, error);
    if (!failed)
        failed = fill(vm, error);
    if (failed)
        vmm_vm_free(vm);
    return failed;
}

void vmm_vm_free(VmmVm *vm)
{
    pthread_mutex_lock(&vm->machine.lock);
    vmm_machine_pause(&vm->machine);
    vmm_terminal_free(vm->terminal);
    vmm_devices_free(vm);
    pthread_mutex_unlock(&vm->machine.lock);
    vmm_machine_free(&vm->machine);
    vmm_log_free(vm->log);
    vmm_state_writer_free(&vm->cold);
    vmm_memory_free(vm->memory);
}

int vmm_vm_start(VmmVm *vm, VmmError *error)
{
    return vmm_machine_start(&vm->machine, error);
}

void vmm_vm_begin(VmmVm *vm)
{
    if (!vm->options->is_paused)
        vmm_vm_continue(vm);
}

void vmm_vm_stop(VmmVm *vm)
{
    if (vm->state != VMM_VM_RUNNING)
        return;
    vmm_machine_pause(&vm->machine);
    for (unsigned i = 0; i < vm->n_slots; i++)
        vmm_mmio_pause(vm->slots[i].mmio);
    vm->state = VMM_VM_PAUSED;
    vmm_vm_tell(vm, VMM_EVENT_STOP);
}

void vmm_vm_continue(VmmVm *vm)
{
    if (vm->state != VMM_VM_PAUSED)
        return;
    vm->state = VMM_VM_RUNNING;
    for (unsigned i = 0; i < vm->n_slots; i++)
        vmm_mmio_resume(vm->slots[i].mmio);
    vmm_machine_resume(&vm->machine);
    vmm_vm_tell(vm, VMM_EVENT_RESUME);
}

void vmm_vm_power_button(VmmVm *vm)
{
    vmm_arch_press_power(&vm->machine);
    vmm_vm_tell(vm, VMM_EVENT_POWERDOWN);
}

void vmm_vm_shut_down(VmmVm *vm, bool by_guest, const char *reason)
{
    if (vm->state == VMM_VM_SHUTDOWN || vm->state == VMM_VM_FAILED)
        return;
    vmm_machine_pause(&vm->machine);
    vm->state = VMM_VM_SHUTDOWN;
    vm->by_guest = by_guest;
    vm->reason = reason;
    vmm_terminal_flush(vm->terminal);
    vmm_vm_tell(vm, VMM_EVENT_SHUTDOWN);
    vmm_loop_quit(vm->machine.loop);
}

static int load_cold_state(VmmVm *vm, VmmError *error)
{
    VmmStateReader reader;
    for (unsigned i = 0; i < vm->n_slots; i++)
        vmm_mmio_reset(vm->slots[i].mmio);
    vmm_state_reader_init(&reader, vm->cold.bytes, vm->cold.length);
    vmm_arch_load(&vm->machine, &reader);
    if (reader.failed)
        return vmm_error(error, reader.failed, "%s", reader.why.text);
    int failed = vmm_arch_apply(&vm->machine, error);
    return failed ? failed : boot(vm, error);
}

void vmm_vm_reset(VmmVm *vm, bool by_guest)
{
    bool was_running = vm->state == VMM_VM_RUNNING;
    const char *reason = by_guest ? "guest-reset" : "host-qmp-system-reset";
    if (vm->cold.length == 0) {
        vmm_vm_shut_down(vm, by_guest, reason);
        return;
    }
    vmm_machine_pause(&vm->machine);
    int failed = load_cold_state(vm, &vm->machine.why);
    if (failed) {
        fail(vm);
        return;
    }
    vm->by_guest = by_guest;
    vm->reason = reason;
    vmm_vm_tell(vm, VMM_EVENT_RESET);
    if (was_running)
        vmm_machine_resume(&vm->machine);
}
