/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs that run microVMs, and what differs between them: how they are found, called and
 * confined, and how a machine that stands still is written down and taken up again. Everything else
 * is the same for both: sockets, taps, disks, the process on record, QMP, the agent.
 *
 *     stead-vmm    on KVM; jails itself
 *     qemu         QEMU's machine `microvm`, on KVM or emulated; confined by whoever starts it
 *
 * Which one runs a machine is chosen before it is started (choice.h). A frozen machine is of the
 * program that froze it.
 */
#pragma once

#include <sys/types.h>

#include "runtime/microvm/internal.h"

/* The numbers under which descriptors are open in the engine; -1: none. */
typedef struct {
    int qmp, console, agent; /* listening sockets */
    int log;                 /* what the guest says goes there: a pipe */
    int memory;              /* the frozen machine's, sealed */
    int kernel, initrd;      /* where the engine cannot open them by their names */
    int seed;
    guint tsc_khz; /* of the host, for an emulated guest; 0: unknown */
    uid_t uid;     /* whom it runs as */
    gid_t gid;
    GArray *disks; /* int: for each disk, its own descriptor and then those of its backing files */
    GArray *taps;  /* int: for each interface */
} SteadEngineFds;

typedef struct {
    const char *name;
    gboolean jails_itself; /* it is started with all privileges, and opens no file by its name */
    /* Its path, owned by the caller; MISSING. */
    char *(*find)(GError **error);
    /* Its command line: a pure function, which golden tests hold still. NULL-terminated; owned by
     * the caller. A machine that goes on from a frozen one is described exactly as that one was,
     * but for its kernel, which is in its memory already. */
    GStrv (*args)(const char *path, const SteadMachine *machine, const SteadEngineFds *fds);
    /* Writes a machine that stands still to DIR/memory and DIR/state. */
    gboolean (*save)(SteadMonitor *monitor, const SteadMachine *machine, const char *dir,
                     GCancellable *cancellable, GError **error);
    /* An engine that waits for it takes a state over, and stands still. */
    gboolean (*load)(SteadMonitor *monitor, int state, GError **error);
} SteadEngineProgram;

extern const SteadEngineProgram stead_qemu_program, stead_vmm_program;

/* The one of that name; where there is none, QEMU. */
const SteadEngineProgram *stead_engine_program(const char *name);

/* Translated code of an emulated guest that QEMU keeps, in MiB: enough for a system's hot paths. It
 * is taken as it is used. */
#define STEAD_QEMU_CODE_MIB 64

/* The CPU under emulation; snapshots depend on it. "max" cannot be restored (QEMU 7.2). */
#define STEAD_QEMU_TCG_CPU "Nehalem-v1,vendor=AuthenticAMD,arat=on"

GStrv stead_qemu_args(const char *path, const SteadMachine *machine, const SteadEngineFds *fds);
GStrv stead_vmm_args(const char *path, const SteadMachine *machine, const SteadEngineFds *fds);

/* ---- save_qemu.c, save_vmm.c ---- */

gboolean stead_qemu_save(SteadMonitor *monitor, const SteadMachine *machine, const char *dir,
                         GCancellable *cancellable, GError **error);
gboolean stead_qemu_load(SteadMonitor *monitor, int state, GError **error);
gboolean stead_vmm_save(SteadMonitor *monitor, const SteadMachine *machine, const char *dir,
                        GCancellable *cancellable, GError **error);
gboolean stead_vmm_load(SteadMonitor *monitor, int state, GError **error);

/* An empty file of a frozen machine, for writing; -1 upon failure. */
int stead_frozen_make(const char *dir, const char *name, GError **error);
