/* SPDX-License-Identifier: Apache-2.0 */
/* Which program runs a machine. */
#pragma once

#include "runtime/runtime.h"

/* What the host has. */
typedef struct {
    gboolean kvm;    /* it is usable */
    const char *why; /* or not, in a word or a line: "usable", "unusable: lock cmpxchg16b: ..." */
    gboolean vmm;    /* stead-vmm is installed */
} SteadEngineHost;

/*
 * Sets machine->engine, ->accel and ->engine_reason: stead-vmm where KVM is usable and it can run
 * the machine, else QEMU. One that goes on from a frozen machine names engine and accelerator of
 * that one already, which are kept: UNSUPPORTED where this host has them not. Blocks.
 */
gboolean stead_engine_choice(const SteadEngineHost *host, SteadMachine *machine, GError **error);
