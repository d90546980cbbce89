/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small PC: interrupt controllers and timer in the kernel, one serial port, ACPI's fixed power
 * registers, virtio devices in a row. Ports are x86's own, so their exits are taken here.
 */
#include "vmm/arch/arch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"

/* Lines of the interrupt controller that no device of a PC has by custom. */
static const uint8_t VIRTIO_GSIS[] = {16, 17, 18, 19, 20, 21, 22, 23, 5,
                                      6,  7,  10, 11, 12, 13, 14, 15};

static int ask_cpuid(VmmMachine *machine)
{
    size_t size = sizeof(struct kvm_cpuid2) + X86_CPUID_MAX * sizeof(struct kvm_cpuid_entry2);
    struct kvm_cpuid2 *table = calloc(1, size);
    if (table == NULL)
        return -ENOMEM;
    machine->arch->host_cpuid = table;
    table->nent = X86_CPUID_MAX;
    return ioctl(machine->kvm.device, KVM_GET_SUPPORTED_CPUID, table) < 0 ? -errno : 0;
}

int vmm_arch_new(VmmMachine *machine, VmmError *error)
{
    int vm = machine->kvm.vm;
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    machine->arch = calloc(1, sizeof *machine->arch);
    if (machine->arch == NULL)
        return vmm_error_errno(error, -ENOMEM, "no room for the machine");
    if (ioctl(vm, KVM_SET_TSS_ADDR, (long)X86_TSS) < 0)
        return vmm_error_errno(error, -errno, "KVM_SET_TSS_ADDR");
    if (ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0)
        return vmm_error_errno(error, -errno, "KVM does not make interrupt controllers");
    if (ioctl(vm, KVM_CREATE_PIT2, &pit) < 0)
        return vmm_error_errno(error, -errno, "KVM does not make a timer");
    int failed = ask_cpuid(machine);
    return failed ? vmm_error_errno(error, failed, "KVM_GET_SUPPORTED_CPUID") : 0;
}

void vmm_arch_free(VmmMachine *machine)
{
    if (machine->arch == NULL)
        return;
    free(machine->arch->host_cpuid);
    free(machine->arch->msrs);
    x86_state_free(machine->arch->loaded);
    free(machine->arch);
    machine->arch = NULL;
}

static void switch_off(void *owner)
{
    vmm_machine_request(owner, VMM_REQUEST_SHUTDOWN);
}

static void reset(void *owner)
{
    vmm_machine_request(owner, VMM_REQUEST_RESET);
}

static void set_acpi_interrupt(void *owner, bool level)
{
    VmmMachine *machine = owner;
    vmm_kvm_irq_line(&machine->kvm, X86_ACPI_GSI, level);
}

int vmm_arch_add_platform(VmmMachine *machine, VmmSerial *serial, VmmError *error)
{
    VmmArch *arch = machine->arch;
    arch->serial = serial;
    arch->power = (VmmPower){
        .switch_off = switch_off,
        .reset = reset,
        .set_interrupt = set_acpi_interrupt,
        .owner = machine,
    };
    vmm_serial_reset(serial);
    int failed = vmm_machine_irq(machine, X86_SERIAL_GSI, &serial->irq, error);
    if (failed)
        return failed;
    failed =
        vmm_bus_add(&machine->ports, X86_SERIAL_PORT, VMM_SERIAL_PORTS, &vmm_serial_ops, serial);
    if (!failed)
        failed = vmm_power_add(&arch->power, &machine->ports);
    return failed ? vmm_error_errno(error, failed, "no room on the port bus") : 0;
}

int vmm_arch_virtio_place(unsigned number, uint64_t *base, uint32_t *gsi)
{
    if (number >= sizeof VIRTIO_GSIS)
        return -ENOSPC;
    *base = X86_VIRTIO + (uint64_t)number * X86_VIRTIO_STEP;
    *gsi = VIRTIO_GSIS[number];
    return 0;
}

/* String instructions come as several accesses of one width to one port. */
static void port_access(VmmVcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    VmmBus *ports = &vcpu->machine->ports;
    uint64_t total = (uint64_t)run->io.size * run->io.count;
    size_t room = vcpu->machine->kvm.run_size;
    if (run->io.data_offset > room || total > room - run->io.data_offset) {
        vmm_machine_fail(vcpu->machine, "KVM told of more port data than it shares");
        return;
    }
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        if (run->io.direction == KVM_EXIT_IO_OUT)
            vmm_bus_write(ports, run->io.port, data, run->io.size);
        else
            vmm_bus_read(ports, run->io.port, data, run->io.size);
    }
}

bool vmm_arch_take_exit(VmmVcpu *vcpu)
{
    if (vcpu->run->exit_reason != KVM_EXIT_IO)
        return false;
    port_access(vcpu);
    return true;
}

uint64_t vmm_arch_instruction(VmmVcpu *vcpu)
{
    struct kvm_regs regs = {0};
    return ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

void vmm_arch_resumed(VmmVcpu *vcpu)
{
    /* Fails for a guest without kvmclock, which has no watchdog to be told either. */
    ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

void vmm_arch_press_power(VmmMachine *machine)
{
    vmm_power_press_button(&machine->arch->power);
}

static void save_kvm(VmmMachine *machine, VmmStateWriter *writer)
{
    X86State *state = x86_state_new(machine);
    int failed = state ? x86_state_read(state, machine) : -ENOMEM;
    if (failed && !writer->failed)
        writer->failed = failed;
    if (!writer->failed)
        x86_state_put(state, writer);
    x86_state_free(state);
}

void vmm_arch_save(VmmMachine *machine, VmmStateWriter *writer)
{
    save_kvm(machine, writer);
    vmm_serial_save(machine->arch->serial, writer);
    vmm_power_save(&machine->arch->power, writer);
}

void vmm_arch_load(VmmMachine *machine, VmmStateReader *reader)
{
    VmmArch *arch = machine->arch;
    x86_state_free(arch->loaded);
    arch->loaded = x86_state_new(machine);
    if (arch->loaded)
        x86_state_get(arch->loaded, reader);
    else
        vmm_state_refuse(reader, "no memory");
    vmm_serial_load(arch->serial, reader);
    vmm_power_load(&arch->power, reader);
}

int vmm_arch_apply(VmmMachine *machine, VmmError *error)
{
    VmmArch *arch = machine->arch;
    int failed = x86_state_apply(arch->loaded, machine, error);
    x86_state_free(arch->loaded);
    arch->loaded = NULL;
    if (!failed)
        vmm_power_tell(&arch->power);
    return failed;
}
