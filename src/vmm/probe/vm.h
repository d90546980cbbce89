/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe's virtual machine: one vCPU, 2 MiB of memory, no devices but an echo port and an echo
 * register in memory. Functions return 0, or a negative errno. One machine at a time, in one
 * thread: a signal handler ends a run that takes too long.
 */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int device; /* descriptors; -1 when not open */
    int machine;
    int vcpu;
    uint8_t *memory; /* PROBE_MEMORY bytes */
    struct kvm_run *run;
    struct kvm_sregs sregs; /* long mode, as each step finds it; see probe_vm_keep() */
    uint32_t echo;
} ProbeVm;

/* How a run ended. */
typedef enum {
    PROBE_END_DONE,     /* the guest wrote to PROBE_PORT_DONE; the answer is in EAX */
    PROBE_END_FAULT,    /* the guest took an exception that it did not expect */
    PROBE_END_HALT,     /* hlt */
    PROBE_END_SHUTDOWN, /* triple fault */
    PROBE_END_REFUSED,  /* KVM gave up on an instruction, or could not enter the guest */
    PROBE_END_TIMEOUT,
    PROBE_END_ERROR, /* KVM_RUN failed with `code`, an errno */
} ProbeEndKind;

typedef struct {
    ProbeEndKind kind;
    uint32_t answer;
    int vector;   /* of a fault */
    uint64_t rip; /* of the instruction that a fault or a refusal is about */
    int code;     /* exit reason of a refusal, or errno */
} ProbeEnd;

/* Opening, in this order. Each stands for one thing that a host may lack. */
int probe_vm_open(ProbeVm *vm, const char *path);
int probe_vm_check_api(ProbeVm *vm);
int probe_vm_create(ProbeVm *vm);
int probe_vm_add_memory(ProbeVm *vm);
int probe_vm_add_vcpu(ProbeVm *vm);
/* A second machine, with the in-kernel interrupt controller and timer; closed again. */
int probe_vm_try_irqchip(ProbeVm *vm);

/* Also after a failure half-way. */
void probe_vm_close(ProbeVm *vm);

/* Remembers the vCPU's present mode as the one that probe_vm_reset() goes back to. */
int probe_vm_keep(ProbeVm *vm);

/* Registers as a step finds them: `entry` is a label of guest.S. */
int probe_vm_reset(ProbeVm *vm, const uint8_t *entry, bool interrupts);

/* Only the instruction pointer; the mode stays as it is. */
int probe_vm_jump(ProbeVm *vm, const uint8_t *entry);

/* Queues an external interrupt. */
int probe_vm_interrupt(ProbeVm *vm, unsigned vector);

/* Runs until the step ends, or for at most limit_ms milliseconds. */
ProbeEnd probe_vm_run(ProbeVm *vm, unsigned limit_ms);

/* What the guest's RCX holds: how far a loop came. */
uint64_t probe_vm_rcx(ProbeVm *vm);
