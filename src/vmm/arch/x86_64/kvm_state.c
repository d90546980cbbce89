/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM holds of a machine, asked and given.
 *
 * The order of giving is KVM's: CPUID before anything that it allows (it is set when a vCPU is
 * made), the local APIC before the MSRs, whose TSC deadline needs the APIC's timer mode, and
 * pending events last. What this host cannot do at all, another frequency, comes before everything.
 */
#include "vmm/arch/x86_64/kvm_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* Parts of a vCPU that are one plain struct each, in the order of giving. Where KVM lacks what a
 * part needs, zeros stay in its place. */
static const struct {
    const char *name;
    unsigned long get, set;
    size_t offset;
    long capability; /* 0: every KVM has it */
} PARTS[] = {
#define PART(field) offsetof(X86VcpuState, field)
    {"mp-state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, PART(mp_state)},
    {"regs", KVM_GET_REGS, KVM_SET_REGS, PART(regs)},
    {"sregs", KVM_GET_SREGS, KVM_SET_SREGS, PART(sregs)},
    {"xcrs", KVM_GET_XCRS, KVM_SET_XCRS, PART(xcrs), KVM_CAP_XCRS},
    {"debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, PART(debugregs)},
    {"lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, PART(lapic)},
#undef PART
};
#define N_PARTS (sizeof PARTS / sizeof *PARTS)

static bool has_part(const VmmVcpu *vcpu, size_t i)
{
    return PARTS[i].capability == 0 || vmm_kvm_can(&vcpu->machine->kvm, PARTS[i].capability) > 0;
}

static int ask(int fd, unsigned long request, void *data)
{
    return ioctl(fd, request, data) < 0 ? -errno : 0;
}

/* --- asking --- */

static int read_chips(X86State *state, const VmmMachine *machine)
{
    int vm = machine->kvm.vm, failed = 0;
    struct kvm_clock_data clock = {0};
    for (uint32_t id = 0; id < KVM_NR_IRQCHIPS && !failed; id++) {
        state->chips[id].chip_id = id;
        failed = ask(vm, KVM_GET_IRQCHIP, &state->chips[id]);
    }
    if (!failed)
        failed = ask(vm, KVM_GET_PIT2, &state->pit);
    if (!failed)
        failed = ask(vm, KVM_GET_CLOCK, &clock);
    state->clock = clock.clock;
    return failed;
}

static int read_vcpu(X86VcpuState *state, const VmmVcpu *vcpu, uint32_t xsave_size)
{
    bool is_large = xsave_size > sizeof(struct kvm_xsave);
    int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), failed = 0;
    state->khz = khz > 0 ? (uint32_t)khz : 0;
    for (size_t i = 0; i < N_PARTS && !failed; i++)
        if (has_part(vcpu, i))
            failed = ask(vcpu->fd, PARTS[i].get, (uint8_t *)state + PARTS[i].offset);
    if (!failed)
        failed = ask(vcpu->fd, is_large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state->xsave);
    if (failed)
        return failed;
    state->msrs = x86_read_msrs(vcpu);
    return state->msrs ? ask(vcpu->fd, KVM_GET_VCPU_EVENTS, &state->events) : -ENOMEM;
}

int x86_state_read(X86State *state, VmmMachine *machine)
{
    int failed = x86_ask_msrs(machine);
    if (!failed)
        failed = read_chips(state, machine);
    for (unsigned i = 0; i < state->n_vcpus && !failed; i++)
        failed = read_vcpu(&state->vcpus[i], &machine->vcpus[i], state->xsave_size);
    return failed;
}

/* --- giving --- */

/* The guest measured its clock once: it must go on at the same rate. */
static int set_frequency(uint32_t khz, const VmmVcpu *vcpu, VmmError *error)
{
    int ours = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
    if (khz == 0 || ours < 0 || (uint32_t)ours == khz)
        return 0;
    uint32_t apart = khz > (uint32_t)ours ? khz - (uint32_t)ours : (uint32_t)ours - khz;
    bool is_close = apart <= khz / 4000; /* 250 ppm, what a clock's correction takes */
    if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (long)khz) < 0 && !is_close)
        return vmm_error(error, -EINVAL, "its CPU counts %u kHz, this host's %d", khz, ours);
    return 0;
}

static int set_chips(const X86State *state, const VmmMachine *machine, VmmError *error)
{
    int vm = machine->kvm.vm;
    struct kvm_clock_data clock = {.clock = state->clock};
    for (uint32_t id = 0; id < KVM_NR_IRQCHIPS; id++)
        if (ioctl(vm, KVM_SET_IRQCHIP, &state->chips[id]) < 0)
            return vmm_error_errno(error, -errno, "KVM does not take interrupt controller %u", id);
    if (ioctl(vm, KVM_SET_PIT2, &state->pit) < 0)
        return vmm_error_errno(error, -errno, "KVM does not take the timer");
    if (ioctl(vm, KVM_SET_CLOCK, &clock) < 0)
        return vmm_error_errno(error, -errno, "KVM does not take the clock");
    return 0;
}

static int set_vcpu(const X86VcpuState *state, const VmmVcpu *vcpu, VmmError *error)
{
    for (size_t i = 0; i < N_PARTS; i++)
        if (has_part(vcpu, i) &&
            ioctl(vcpu->fd, PARTS[i].set, (const uint8_t *)state + PARTS[i].offset) < 0)
            return vmm_error_errno(error, -errno, "KVM does not take %s of vCPU %u", PARTS[i].name,
                                   vcpu->index);
    if (ioctl(vcpu->fd, KVM_SET_XSAVE, state->xsave) < 0)
        return vmm_error_errno(error, -errno, "KVM does not take the vector registers");
    int failed = x86_write_msrs(vcpu, state->msrs, error);
    if (!failed && ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &state->events) < 0)
        failed = vmm_error_errno(error, -errno, "KVM does not take the pending events");
    return failed;
}

int x86_state_apply(const X86State *state, const VmmMachine *machine, VmmError *error)
{
    int failed = 0;
    for (unsigned i = 0; i < state->n_vcpus && !failed; i++)
        failed = set_frequency(state->vcpus[i].khz, &machine->vcpus[i], error);
    if (!failed)
        failed = set_chips(state, machine, error);
    for (unsigned i = 0; i < state->n_vcpus && !failed; i++)
        failed = set_vcpu(&state->vcpus[i], &machine->vcpus[i], error);
    return failed;
}
