/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of what KVM holds: CPUID, the chips that it emulates, each vCPU. They hold KVM's own
 * structs, which are its interface to programs and stay as they are. Nothing here asks the kernel
 * for anything: whatever bytes come, reading them changes no guest.
 *
 * A snapshot is for the CPU it was made on: its CPUID must be what this host would give.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/x86_64/kvm_state.h"
#include "vmm/arch/x86_64/x86.h"

/* --- memory --- */

static uint32_t xsave_size(const VmmMachine *machine)
{
    int size = vmm_kvm_can(&machine->kvm, KVM_CAP_XSAVE2);
    return size > (int)sizeof(struct kvm_xsave) ? (uint32_t)size : sizeof(struct kvm_xsave);
}

X86State *x86_state_new(const VmmMachine *machine)
{
    unsigned n = machine->n_vcpus;
    X86State *state = calloc(1, sizeof *state + n * sizeof state->vcpus[0]);
    if (state == NULL)
        return NULL;
    state->xsave_size = xsave_size(machine);
    state->cpuid = x86_cpuid(machine, 0);
    bool is_whole = state->cpuid;
    for (; is_whole && state->n_vcpus < n; state->n_vcpus++) {
        state->vcpus[state->n_vcpus].xsave = calloc(1, state->xsave_size);
        is_whole = state->vcpus[state->n_vcpus].xsave;
    }
    if (is_whole)
        return state;
    x86_state_free(state);
    return NULL;
}

void x86_state_free(X86State *state)
{
    for (unsigned i = 0; state && i < state->n_vcpus; i++) {
        free(state->vcpus[i].xsave);
        free(state->vcpus[i].msrs);
    }
    if (state)
        free(state->cpuid);
    free(state);
}

struct kvm_msrs *x86_new_msrs(uint32_t n)
{
    return calloc(1, sizeof(struct kvm_msrs) + n * sizeof(struct kvm_msr_entry));
}

/* --- CPUID --- */

static void put_cpuid(const struct kvm_cpuid2 *table, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "cpuid", 1);
    vmm_state_put_u32(writer, table->nent);
    vmm_state_put_bytes(writer, table->entries, table->nent * sizeof table->entries[0]);
    vmm_state_end(writer);
}

static void compare_cpuid(const struct kvm_cpuid2 *ours, VmmStateReader *reader)
{
    vmm_state_enter(reader, "cpuid", 1);
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
    vmm_state_leave(reader);
}

/* --- chips --- */

static void put_chips(const X86State *state, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "chips", 1);
    vmm_state_put_bytes(writer, state->chips, sizeof state->chips);
    vmm_state_put_bytes(writer, &state->pit, sizeof state->pit);
    vmm_state_put_u64(writer, state->clock);
    vmm_state_end(writer);
}

static void get_chips(X86State *state, VmmStateReader *reader)
{
    vmm_state_enter(reader, "chips", 1);
    vmm_state_get_bytes(reader, state->chips, sizeof state->chips);
    for (uint32_t id = 0; id < KVM_NR_IRQCHIPS && !reader->failed; id++)
        if (state->chips[id].chip_id != id)
            vmm_state_refuse(reader, "interrupt controller %u stands in the place of %u",
                             state->chips[id].chip_id, id);
    vmm_state_get_bytes(reader, &state->pit, sizeof state->pit);
    state->clock = vmm_state_get_u64(reader);
    vmm_state_leave(reader);
}

/* --- vCPUs --- */

/* What of one is a plain struct, in the order of the section. */
static const struct {
    size_t offset, size;
} PARTS[] = {
#define PART(field)                                                                                \
    {                                                                                              \
        offsetof(X86VcpuState, field), sizeof((X86VcpuState *)0)->field                            \
    }
    PART(mp_state), PART(regs), PART(sregs), PART(xcrs), PART(debugregs), PART(lapic),
#undef PART
};
#define N_PARTS (sizeof PARTS / sizeof *PARTS)

static void put_vcpu(const X86VcpuState *vcpu, uint32_t size, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "vcpu", 1);
    vmm_state_put_u32(writer, vcpu->khz);
    for (size_t i = 0; i < N_PARTS; i++)
        vmm_state_put_bytes(writer, (const uint8_t *)vcpu + PARTS[i].offset, PARTS[i].size);
    vmm_state_put_u32(writer, size);
    vmm_state_put_bytes(writer, vcpu->xsave, size);
    vmm_state_put_u32(writer, vcpu->msrs->nmsrs);
    for (uint32_t i = 0; i < vcpu->msrs->nmsrs; i++) {
        vmm_state_put_u32(writer, vcpu->msrs->entries[i].index);
        vmm_state_put_u64(writer, vcpu->msrs->entries[i].data);
    }
    vmm_state_put_bytes(writer, &vcpu->events, sizeof vcpu->events);
    vmm_state_end(writer);
}

static void get_msrs(X86VcpuState *vcpu, VmmStateReader *reader)
{
    uint32_t n = vmm_state_get_u32(reader);
    if (n > X86_MSRS_MAX)
        vmm_state_refuse(reader, "%u MSRs", n);
    vcpu->msrs = reader->failed ? NULL : x86_new_msrs(n);
    if (vcpu->msrs == NULL) {
        vmm_state_refuse(reader, "no memory");
        return;
    }
    vcpu->msrs->nmsrs = n;
    for (uint32_t i = 0; i < n; i++) {
        vcpu->msrs->entries[i].index = vmm_state_get_u32(reader);
        vcpu->msrs->entries[i].data = vmm_state_get_u64(reader);
    }
}

static void get_vcpu(X86VcpuState *vcpu, uint32_t ours, VmmStateReader *reader)
{
    vmm_state_enter(reader, "vcpu", 1);
    vcpu->khz = vmm_state_get_u32(reader);
    for (size_t i = 0; i < N_PARTS; i++)
        vmm_state_get_bytes(reader, (uint8_t *)vcpu + PARTS[i].offset, PARTS[i].size);
    uint32_t size = vmm_state_get_u32(reader);
    if (size != ours || size > X86_XSAVE_MAX)
        vmm_state_refuse(reader, "vector registers of %u bytes", size);
    else
        vmm_state_get_bytes(reader, vcpu->xsave, size);
    get_msrs(vcpu, reader);
    vmm_state_get_bytes(reader, &vcpu->events, sizeof vcpu->events);
    vmm_state_leave(reader);
}

/* --- all of it --- */

void x86_state_put(const X86State *state, VmmStateWriter *writer)
{
    put_cpuid(state->cpuid, writer);
    put_chips(state, writer);
    for (unsigned i = 0; i < state->n_vcpus; i++)
        put_vcpu(&state->vcpus[i], state->xsave_size, writer);
}

void x86_state_get(X86State *state, VmmStateReader *reader)
{
    compare_cpuid(state->cpuid, reader);
    get_chips(state, reader);
    for (unsigned i = 0; i < state->n_vcpus && !reader->failed; i++)
        get_vcpu(&state->vcpus[i], state->xsave_size, reader);
}
