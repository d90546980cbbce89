/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU: a descriptor of KVM's, a page shared with it, and a thread that runs it. For machine.c.
 */
#pragma once

#include "vmm/machine.h"

/* Makes the vCPU of vcpu->index; vmm_vcpu_close() also after a failure. */
int vmm_vcpu_open(VmmVcpu *vcpu, VmmError *error);
void vmm_vcpu_close(VmmVcpu *vcpu);

/* Once per process, before the first thread. */
int vmm_vcpu_prepare_kicks(void);
/* Its thread, which parks until the machine is resumed. */
int vmm_vcpu_start(VmmVcpu *vcpu);
/* Makes it leave the guest, now or as soon as it enters. */
void vmm_vcpu_kick(VmmVcpu *vcpu);
