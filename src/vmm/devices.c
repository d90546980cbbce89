/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each device gets a page of registers, a line, and a bell per queue: the kernel turns the guest's
 * notifications into events of the loop, so that a vCPU does not leave the guest for them.
 */
#include "vmm/devices.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/disk/disk.h"
#include "vmm/seccomp.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"

#define AGENT_PORT "stead.agent.0" /* as the guest finds it in /dev/virtio-ports */

static void on_bell(void *data, uint32_t events)
{
    const VmmBell *bell = data;
    uint64_t count;
    (void)events;
    if (read(bell->fd, &count, sizeof count) == sizeof count)
        vmm_mmio_notify(bell->mmio, bell->queue);
}

static int add_bell(VmmVm *vm, VmmSlot *slot, uint64_t base, unsigned queue)
{
    VmmBell *bell = &slot->bells[slot->n_bells];
    bell->mmio = slot->mmio;
    bell->queue = queue;
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell->fd < 0)
        return -errno;
    slot->n_bells++;
    int failed = vmm_kvm_ioeventfd(&vm->machine.kvm, bell->fd, base + VMM_MMIO_QUEUE_NOTIFY, queue);
    return failed ? failed : vmm_loop_add(vm->machine.loop, bell->fd, EPOLLIN, on_bell, bell, NULL);
}

/* The device is the slot's, also on failure. */
static int add_device(VmmVm *vm, VmmVirtio *device, VmmError *error)
{
    unsigned n_queues = device->ops->n_queues;
    uint64_t base;
    uint32_t gsi;
    VmmIrq irq;
    if (vm->n_slots == VMM_VIRTIO_MAX || vmm_arch_virtio_place(vm->n_slots, &base, &gsi)) {
        vmm_virtio_free(device);
        return vmm_error(error, -ENOSPC, "more than %u virtio devices", vm->n_slots);
    }
    VmmSlot *slot = &vm->slots[vm->n_slots];
    int failed = vmm_machine_irq(&vm->machine, gsi, &irq, error);
    if (!failed)
        failed = vmm_mmio_new(&slot->mmio, device, irq);
    if (failed) {
        vmm_virtio_free(device);
        return failed;
    }
    vm->n_slots++;
    failed = vmm_bus_add(&vm->machine.mmio, base, VMM_MMIO_SIZE, &vmm_mmio_ops, slot->mmio);
    for (unsigned i = 0; !failed && i < n_queues; i++)
        failed = add_bell(vm, slot, base, i);
    return failed ? vmm_error_errno(error, failed, "cannot place a virtio device") : 0;
}

static int disk_format(const char *name, VmmDiskFormat *format)
{
    bool is_qcow2 = name && strcmp(name, "qcow2") == 0;
    *format = is_qcow2 ? VMM_DISK_QCOW2 : VMM_DISK_RAW;
    return is_qcow2 || name == NULL || strcmp(name, "raw") == 0 ? 0 : -EINVAL;
}

static int add_disk(VmmVm *vm, const VmmDiskOption *option, VmmError *error)
{
    VmmDiskOptions disk_options = {
        .n_fds = option->fds.n,
        .is_read_only = option->is_read_only,
        .prepare_thread = vm->options->no_seccomp ? NULL : vmm_seccomp_seal_disk,
    };
    VmmBlkOptions blk_options = {
        .serial = option->serial,
        .bytes_per_second = option->bytes_per_second,
        .operations_per_second = option->operations_per_second,
    };
    VmmVirtio *device;
    memcpy(disk_options.fds, option->fds.fds, sizeof disk_options.fds);
    if (disk_format(option->format, &disk_options.format))
        return vmm_error(error, -EINVAL, "format=%s is not known", option->format);
    int failed = vmm_disk_new(&blk_options.disk, vm->machine.loop, &disk_options, error);
    if (failed)
        return failed;
    failed = vmm_blk_new(&device, vm->memory, vm->machine.loop, &blk_options);
    if (failed) {
        vmm_disk_free(blk_options.disk);
        return vmm_error_errno(error, failed, "no disk device");
    }
    return add_device(vm, device, error);
}

static int add_disks(VmmVm *vm, VmmError *error)
{
    int failed = 0;
    for (unsigned i = 0; !failed && i < vm->options->n_disks; i++) {
        VmmError why = {""};
        failed = add_disk(vm, &vm->options->disks[i], &why);
        if (failed)
            vmm_error(error, failed, "disk %u: %s", i, why.text);
    }
    return failed;
}

static int add_net(VmmVm *vm, const VmmNetOption *option, VmmError *error)
{
    VmmVirtio *device;
    VmmNetOptions options = {
        .fd = option->fd,
        .bytes_per_second = option->bytes_per_second,
        .packets_per_second = option->packets_per_second,
    };
    memcpy(options.mac, option->mac, sizeof options.mac);
    int failed = vmm_net_new(&device, vm->memory, vm->machine.loop, &options);
    return failed ? vmm_error_errno(error, failed, "no network device")
                  : add_device(vm, device, error);
}

static int add_nets(VmmVm *vm, VmmError *error)
{
    int failed = 0;
    for (unsigned i = 0; !failed && i < vm->options->n_nets; i++)
        failed = add_net(vm, &vm->options->nets[i], error);
    return failed;
}

static void on_balloon(void *owner)
{
    vmm_vm_tell(owner, VMM_EVENT_BALLOON);
}

static int add_balloon(VmmVm *vm, VmmError *error)
{
    VmmVirtio *device;
    VmmBalloonOptions options = {.changed = on_balloon, .owner = vm};
    if (!vm->options->has_balloon)
        return 0;
    int failed = vmm_balloon_new(&device, vm->memory, vm->machine.loop, &options);
    if (failed)
        return vmm_error_errno(error, failed, "no balloon device");
    failed = add_device(vm, device, error);
    vm->balloon = failed ? NULL : device;
    return failed;
}

static int add_rng(VmmVm *vm, VmmError *error)
{
    VmmVirtio *device;
    if (!vm->options->has_rng)
        return 0;
    int failed = vmm_rng_new(&device, vm->memory, vm->machine.loop);
    return failed ? vmm_error_errno(error, failed, "no random number device")
                  : add_device(vm, device, error);
}

static void log_console(void *owner, const void *bytes, size_t length)
{
    const VmmVm *vm = owner;
    vmm_log_write(vm->log, bytes, length);
}

static void on_agent_port(void *owner, bool is_open)
{
    VmmVm *vm = owner;
    vm->is_agent_open = is_open;
    vmm_vm_tell(vm, VMM_EVENT_AGENT);
}

static int add_console(VmmVm *vm, VmmError *error)
{
    VmmVirtio *device;
    VmmConsoleOptions options = {
        .console = vm->options->console,
        .named = vm->options->agent,
        .name = AGENT_PORT,
        .log = vm->log ? log_console : NULL,
        .opened = on_agent_port,
        .owner = vm,
    };
    if (!vm->options->has_console && vm->options->agent < 0)
        return 0;
    int failed = vmm_console_new(&device, vm->memory, vm->machine.loop, &options);
    return failed ? vmm_error_errno(error, failed, "no console device")
                  : add_device(vm, device, error);
}

int vmm_devices_add(VmmVm *vm, VmmError *error)
{
    static int (*const adders[])(VmmVm * vm, VmmError * error) = {add_disks, add_nets, add_console,
                                                                  add_rng, add_balloon};
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof adders / sizeof *adders; i++)
        failed = adders[i](vm, error);
    return failed;
}

void vmm_devices_free(VmmVm *vm)
{
    for (unsigned i = 0; i < vm->n_slots; i++) {
        VmmSlot *slot = &vm->slots[i];
        for (unsigned j = 0; j < slot->n_bells; j++)
            close(slot->bells[j].fd);
        vmm_mmio_free(slot->mmio);
    }
    vm->n_slots = 0;
}
