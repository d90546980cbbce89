/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stead-vmm can not do (docs/stead-vmm.md): a machine that needs it runs on QEMU.
 */
#pragma once

#include "runtime/runtime.h"

/* As src/vmm/ has them, which stands alone; a test compares them. */
#define STEAD_VMM_CPUS_MAX 64
#define STEAD_VMM_MEMORY_MAX (G_GUINT64_CONSTANT(1) << 40)
#define STEAD_VMM_DISKS_MAX 8
#define STEAD_VMM_NICS_MAX 8
#define STEAD_VMM_DEVICES_MAX 17
#define STEAD_VMM_FILES_MAX 16

/* Why it cannot run the machine, to follow "stead-vmm": "takes at most 64 CPUs"; NULL when it can.
 * Reads the heads of the disks' files: blocks. Owned by the caller. */
char *stead_vmm_refusal(const SteadMachine *machine);
