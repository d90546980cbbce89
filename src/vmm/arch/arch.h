/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture brings: its interrupt controller and fixed devices, how a vCPU is set up,
 * how a kernel is booted, and what of all that belongs into a snapshot. One folder beside this file
 * each; the build takes the host's.
 *
 * Called with the machine paused. 0 or a negative errno, with the reason in the error.
 */
#pragma once

#include "vmm/boot.h"
#include "vmm/machine.h"
#include "vmm/serial.h"
#include "vmm/state.h"

/* The interrupt controller and all that stands before the first vCPU; sets machine->arch. */
int vmm_arch_new(VmmMachine *machine, VmmError *error);
void vmm_arch_free(VmmMachine *machine);
/* What the guest sees of the CPU, for a vCPU just made. */
int vmm_arch_set_cpuid(VmmVcpu *vcpu, VmmError *error);

/* The serial port and the power controls, on the buses. The port stays the caller's. */
int vmm_arch_add_platform(VmmMachine *machine, VmmSerial *serial, VmmError *error);

/* Where the virtio device of that number has its registers and its line. -ENOSPC beyond the last.
 */
int vmm_arch_virtio_place(unsigned number, uint64_t *base, uint32_t *gsi);

/* Loads the kernel and sets every vCPU to begin there, as after a reset of the machine. */
int vmm_arch_boot(VmmMachine *machine, const VmmBoot *boot, VmmError *error);

/* An exit that is the architecture's own. False: not one that it knows. */
bool vmm_arch_take_exit(VmmVcpu *vcpu);
/* The address of the instruction that the vCPU is at, for a message. */
uint64_t vmm_arch_instruction(VmmVcpu *vcpu);

/* The vCPU goes on after a pause: its guest is told, so that it does not take the time for a fault
 * of its own. In the vCPU's thread. */
void vmm_arch_resumed(VmmVcpu *vcpu);

/* The power button is pressed and let go. */
void vmm_arch_press_power(VmmMachine *machine);

/* All of the machine that is not memory and no virtio device. */
void vmm_arch_save(VmmMachine *machine, VmmStateWriter *writer);
/* In two steps. The first reads and judges, and leaves the reason in the reader: KVM and so the
 * guest are as they were. The second, once nothing more is refused, gives KVM what was read. */
void vmm_arch_load(VmmMachine *machine, VmmStateReader *reader);
int vmm_arch_apply(VmmMachine *machine, VmmError *error);
