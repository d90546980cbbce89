/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM holds of a machine, for a snapshot: vCPUs, interrupt controllers, timer, clock.
 *
 * The order of loading is KVM's: CPUID before anything that it allows, the local APIC before the
 * MSRs, whose TSC deadline needs the APIC's timer mode, and pending events last. A snapshot is for
 * the CPU it was made on: its CPUID must be what this host would give.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/x86.h"

#define XSAVE_MAX (64U << 10)

/* Parts of a vCPU that are one plain struct each, in the order of loading. Where KVM lacks what a
 * part needs, zeros stand in its place. */
static const struct {
    const char *name;
    unsigned long get, set;
    uint32_t size;
    long capability; /* 0: every KVM has it */
} PARTS[] = {
    {"mp-state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state)},
    {"regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs)},
    {"sregs", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs)},
    {"xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), KVM_CAP_XCRS},
    {"debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs)},
    {"lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state)},
};
#define N_PARTS (sizeof PARTS / sizeof *PARTS)

typedef union {
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
} Part;

static void save_fails(VmmStateWriter *writer)
{
    if (!writer->failed)
        writer->failed = errno ? -errno : -EIO;
}

/* --- CPUID --- */

static void save_cpuid(VmmMachine *machine, VmmStateWriter *writer)
{
    struct kvm_cpuid2 *table = x86_cpuid(machine, 0);
    if (table == NULL) {
        errno = ENOMEM;
        save_fails(writer);
        return;
    }
    vmm_state_begin(writer, "cpuid", 1);
    vmm_state_put_u32(writer, table->nent);
    vmm_state_put_bytes(writer, table->entries, table->nent * sizeof table->entries[0]);
    vmm_state_end(writer);
    free(table);
}

static void compare_cpuid(VmmStateReader *reader, const struct kvm_cpuid2 *ours)
{
    uint32_t n = vmm_state_get_u32(reader);
    for (uint32_t i = 0; i < n && !reader->failed; i++) {
        struct kvm_cpuid_entry2 theirs;
        vmm_state_get_bytes(reader, &theirs, sizeof theirs);
        if (!reader->failed &&
            (i >= ours->nent || memcmp(&theirs, &ours->entries[i], sizeof theirs) != 0))
            vmm_state_refuse(reader, "it was made on another kind of CPU (leaf 0x%x differs)",
                             theirs.function);
    }
    if (!reader->failed && n < ours->nent)
        vmm_state_refuse(reader, "it was made on another kind of CPU");
}

static void load_cpuid(VmmMachine *machine, VmmStateReader *reader)
{
    struct kvm_cpuid2 *ours = x86_cpuid(machine, 0);
    vmm_state_enter(reader, "cpuid", 1);
    if (ours)
        compare_cpuid(reader, ours);
    else
        vmm_state_refuse(reader, "no memory");
    vmm_state_leave(reader);
    free(ours);
}

/* --- registers of the vector units --- */

static uint32_t xsave_size(const VmmMachine *machine)
{
    int size = vmm_kvm_can(&machine->kvm, KVM_CAP_XSAVE2);
    return size > (int)sizeof(struct kvm_xsave) ? (uint32_t)size : sizeof(struct kvm_xsave);
}

static void save_xsave(const VmmVcpu *vcpu, VmmStateWriter *writer)
{
    uint32_t size = xsave_size(vcpu->machine);
    bool is_large = size > sizeof(struct kvm_xsave);
    void *area = calloc(1, size);
    errno = ENOMEM;
    if (area == NULL || ioctl(vcpu->fd, is_large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area) < 0)
        save_fails(writer);
    vmm_state_put_u32(writer, size);
    vmm_state_put_bytes(writer, area, area ? size : 0);
    free(area);
}

static void load_xsave(const VmmVcpu *vcpu, VmmStateReader *reader)
{
    uint32_t size = vmm_state_get_u32(reader);
    if (size != xsave_size(vcpu->machine) || size > XSAVE_MAX)
        vmm_state_refuse(reader, "vector registers of %u bytes", size);
    void *area = reader->failed ? NULL : calloc(1, size);
    if (area == NULL) {
        vmm_state_refuse(reader, "no memory");
        return;
    }
    vmm_state_get_bytes(reader, area, size);
    if (!reader->failed && ioctl(vcpu->fd, KVM_SET_XSAVE, area) < 0)
        vmm_state_refuse(reader, "KVM does not take the vector registers");
    free(area);
}

/* --- vCPUs --- */

static void save_events(const VmmVcpu *vcpu, VmmStateWriter *writer)
{
    struct kvm_vcpu_events events = {0};
    if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
        save_fails(writer);
    vmm_state_put_bytes(writer, &events, sizeof events);
}

static void load_events(const VmmVcpu *vcpu, VmmStateReader *reader)
{
    struct kvm_vcpu_events events;
    vmm_state_get_bytes(reader, &events, sizeof events);
    if (!reader->failed && ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
        vmm_state_refuse(reader, "KVM does not take the pending events");
}

static bool has_part(const VmmVcpu *vcpu, size_t i)
{
    return PARTS[i].capability == 0 || vmm_kvm_can(&vcpu->machine->kvm, PARTS[i].capability) > 0;
}

static void save_vcpu(const VmmVcpu *vcpu, VmmStateWriter *writer)
{
    int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
    vmm_state_begin(writer, "vcpu", 1);
    vmm_state_put_u32(writer, khz > 0 ? (uint32_t)khz : 0);
    for (size_t i = 0; i < N_PARTS; i++) {
        Part part;
        memset(&part, 0, sizeof part);
        if (has_part(vcpu, i) && ioctl(vcpu->fd, PARTS[i].get, &part) < 0)
            save_fails(writer);
        vmm_state_put_bytes(writer, &part, PARTS[i].size);
    }
    save_xsave(vcpu, writer);
    x86_save_msrs(vcpu, writer);
    save_events(vcpu, writer);
    vmm_state_end(writer);
}

/* The guest measured its clock once: it must go on at the same rate. */
static void load_frequency(const VmmVcpu *vcpu, VmmStateReader *reader)
{
    uint32_t khz = vmm_state_get_u32(reader);
    int ours = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
    if (khz == 0 || ours < 0 || (uint32_t)ours == khz)
        return;
    uint32_t apart = khz > (uint32_t)ours ? khz - (uint32_t)ours : (uint32_t)ours - khz;
    bool is_close = apart <= khz / 4000; /* 250 ppm, what a clock's correction takes */
    if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (long)khz) < 0 && !is_close)
        vmm_state_refuse(reader, "its CPU counts %u kHz, this host's %d", khz, ours);
}

static void load_part(const VmmVcpu *vcpu, VmmStateReader *reader, size_t i)
{
    Part part;
    vmm_state_get_bytes(reader, &part, PARTS[i].size);
    if (!reader->failed && has_part(vcpu, i) && ioctl(vcpu->fd, PARTS[i].set, &part) < 0)
        vmm_state_refuse(reader, "KVM does not take %s of vCPU %u", PARTS[i].name, vcpu->index);
}

static void load_vcpu(const VmmVcpu *vcpu, VmmStateReader *reader)
{
    vmm_state_enter(reader, "vcpu", 1);
    load_frequency(vcpu, reader);
    for (size_t i = 0; i < N_PARTS && !reader->failed; i++)
        load_part(vcpu, reader, i);
    load_xsave(vcpu, reader);
    x86_load_msrs(vcpu, reader);
    load_events(vcpu, reader);
    vmm_state_leave(reader);
}

/* --- what the kernel emulates --- */

static void save_chips(const VmmMachine *machine, VmmStateWriter *writer)
{
    struct kvm_pit_state2 pit;
    struct kvm_clock_data clock;
    memset(&pit, 0, sizeof pit);
    memset(&clock, 0, sizeof clock);
    vmm_state_begin(writer, "chips", 1);
    for (uint32_t id = 0; id < KVM_NR_IRQCHIPS; id++) {
        struct kvm_irqchip chip;
        memset(&chip, 0, sizeof chip);
        chip.chip_id = id;
        if (ioctl(machine->kvm.vm, KVM_GET_IRQCHIP, &chip) < 0)
            save_fails(writer);
        vmm_state_put_bytes(writer, &chip, sizeof chip);
    }
    if (ioctl(machine->kvm.vm, KVM_GET_PIT2, &pit) < 0 ||
        ioctl(machine->kvm.vm, KVM_GET_CLOCK, &clock) < 0)
        save_fails(writer);
    vmm_state_put_bytes(writer, &pit, sizeof pit);
    vmm_state_put_u64(writer, clock.clock);
    vmm_state_end(writer);
}

static void load_irqchips(const VmmMachine *machine, VmmStateReader *reader)
{
    for (uint32_t id = 0; id < KVM_NR_IRQCHIPS; id++) {
        struct kvm_irqchip chip;
        vmm_state_get_bytes(reader, &chip, sizeof chip);
        if (!reader->failed &&
            (chip.chip_id != id || ioctl(machine->kvm.vm, KVM_SET_IRQCHIP, &chip) < 0))
            vmm_state_refuse(reader, "KVM does not take interrupt controller %u", id);
    }
}

static void load_chips(const VmmMachine *machine, VmmStateReader *reader)
{
    struct kvm_pit_state2 pit;
    struct kvm_clock_data clock = {0};
    vmm_state_enter(reader, "chips", 1);
    load_irqchips(machine, reader);
    vmm_state_get_bytes(reader, &pit, sizeof pit);
    if (!reader->failed && ioctl(machine->kvm.vm, KVM_SET_PIT2, &pit) < 0)
        vmm_state_refuse(reader, "KVM does not take the timer");
    clock.clock = vmm_state_get_u64(reader);
    if (!reader->failed && ioctl(machine->kvm.vm, KVM_SET_CLOCK, &clock) < 0)
        vmm_state_refuse(reader, "KVM does not take the clock");
    vmm_state_leave(reader);
}

void x86_save_kvm(VmmMachine *machine, VmmStateWriter *writer)
{
    int failed = x86_ask_msrs(machine);
    if (failed && !writer->failed)
        writer->failed = failed;
    if (writer->failed)
        return;
    save_cpuid(machine, writer);
    save_chips(machine, writer);
    for (unsigned i = 0; i < machine->n_vcpus; i++)
        save_vcpu(&machine->vcpus[i], writer);
}

void x86_load_kvm(VmmMachine *machine, VmmStateReader *reader)
{
    load_cpuid(machine, reader);
    load_chips(machine, reader);
    for (unsigned i = 0; i < machine->n_vcpus && !reader->failed; i++)
        load_vcpu(&machine->vcpus[i], reader);
}
