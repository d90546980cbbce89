/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM holds of a machine, as plain data: between KVM and a snapshot's sections. What a
 * snapshot says is read and judged as a whole before KVM is given any of it.
 */
#pragma once

#include "vmm/machine.h"
#include "vmm/state.h"

#define X86_MSRS_MAX 1024
#define X86_XSAVE_MAX (64U << 10)

typedef struct {
    uint32_t khz; /* of its time stamp counter; 0: not known */
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    void *xsave;           /* of X86State's size */
    struct kvm_msrs *msrs; /* NULL: none yet */
    struct kvm_vcpu_events events;
} X86VcpuState;

typedef struct {
    struct kvm_cpuid2 *cpuid; /* of the first vCPU */
    struct kvm_irqchip chips[KVM_NR_IRQCHIPS];
    struct kvm_pit_state2 pit;
    uint64_t clock;      /* kvmclock, in nanoseconds */
    uint32_t xsave_size; /* bytes of a vCPU's vector registers */
    unsigned n_vcpus;
    X86VcpuState vcpus[];
} X86State;

/* For that machine, with its CPUID; the rest is empty. The caller frees it. NULL: no memory. */
X86State *x86_state_new(const VmmMachine *machine);
void x86_state_free(X86State *state);
/* Room for so many; NULL: no memory. */
struct kvm_msrs *x86_new_msrs(uint32_t n);

/* Its sections; no more than a copy. */
void x86_state_put(const X86State *state, VmmStateWriter *writer);
/* Into a new state. What is of another CPU, or of another form than this machine's, is refused. */
void x86_state_get(X86State *state, VmmStateReader *reader);

/* From and to KVM. 0 or a negative errno. */
int x86_state_read(X86State *state, VmmMachine *machine);
int x86_state_apply(const X86State *state, const VmmMachine *machine, VmmError *error);

/* A vCPU's model-specific registers (msrs.c). Which there are is asked before the first is read. */
int x86_ask_msrs(VmmMachine *machine);
struct kvm_msrs *x86_read_msrs(const VmmVcpu *vcpu);
int x86_write_msrs(const VmmVcpu *vcpu, const struct kvm_msrs *msrs, VmmError *error);
