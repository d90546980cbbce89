/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line for a microVM: a pure function of the machine and of the numbers under which
 * its descriptors will be open, so that golden tests hold it still.
 *
 * QEMU gets descriptors and not names wherever it can: it runs as a user who may open next to
 * nothing. A machine that goes on from a frozen one is described exactly as the frozen one was,
 * but for its kernel, which is in its memory already.
 */
#pragma once

#include "runtime/runtime.h"

/* Translated code of an emulated guest that is kept, in MiB: enough for a system's hot paths. It is
 * taken as it is used. */
#define STEAD_QEMU_CODE_MIB 64

/* The CPU under emulation; snapshots depend on it. "max" cannot be restored (QEMU 7.2). */
#define STEAD_QEMU_TCG_CPU "Nehalem-v1,vendor=AuthenticAMD,arat=on"

/* The numbers of open descriptors in the child; -1: none. */
typedef struct {
    int qmp, console, agent; /* listening sockets */
    int log;                 /* the console's, for appending */
    int memory;              /* the frozen machine's, sealed: QEMU opens it for writing */
    int seed;
    guint tsc_khz; /* of the host, for an emulated guest; 0: unknown */
    GArray *disks; /* int: for each disk, its own descriptor and then those of its backing files */
    GArray *taps;  /* int: for each interface */
} SteadQemuFds;

/* NULL-terminated; owned by the caller. */
GStrv stead_qemu_args(const char *program, const SteadMachine *machine, const SteadQemuFds *fds);
