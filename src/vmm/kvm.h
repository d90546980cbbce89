/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side of a machine: its descriptors, its memory slots, and the events that pass
 * between it and this process without a vCPU leaving the guest.
 *
 * Functions return 0 or a negative errno.
 */
#pragma once

#include <linux/kvm.h>
#include <stdint.h>

#include "vmm/error.h"
#include "vmm/memory.h"

/* Of Linux 5.17; headers of distributions that are still in use are older than their kernels. */
#ifndef KVM_CAP_XSAVE2
#define KVM_CAP_XSAVE2 208
#endif
#ifndef KVM_GET_XSAVE2
#define KVM_GET_XSAVE2 _IOR(KVMIO, 0xcf, struct kvm_xsave)
#endif

typedef struct {
    int device;      /* /dev/kvm */
    int vm;          /* -1 before vmm_kvm_create() */
    size_t run_size; /* of a vCPU's mapping */
} VmmKvm;

/* Opens the device at `path` and checks that it can do what every machine needs. The error says
 * what the host lacks. */
int vmm_kvm_open(VmmKvm *kvm, const char *path, VmmError *error);
/* The machine, empty. */
int vmm_kvm_create(VmmKvm *kvm, VmmError *error);
/* Also after a failure half-way; leaves -1 behind. */
void vmm_kvm_close(VmmKvm *kvm);

/* The memory must outlive the machine. */
int vmm_kvm_map(const VmmKvm *kvm, const VmmMemory *memory, VmmError *error);

/* The value of a capability, 0 where it is not there. */
int vmm_kvm_can(const VmmKvm *kvm, long capability);

/* An eventfd whose writes raise the interrupt line `gsi` for an instant. */
int vmm_kvm_irqfd(const VmmKvm *kvm, int fd, uint32_t gsi);
/* Sets a line that stays as it is set. */
int vmm_kvm_irq_line(const VmmKvm *kvm, uint32_t gsi, bool level);

/* An eventfd that counts the guest's writes of the 4-byte value `match` to the address. */
int vmm_kvm_ioeventfd(const VmmKvm *kvm, int fd, uint64_t address, uint32_t match);
