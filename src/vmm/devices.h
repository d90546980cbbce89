/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio devices that the options ask for, each in its slot. For vm.c. */
#pragma once

#include "vmm/vm.h"

/* Always in the same order for the same options: a snapshot's devices find their own. What was made
 * before a failure stays in its slots. */
int vmm_devices_add(VmmVm *vm, VmmError *error);
void vmm_devices_free(VmmVm *vm);
