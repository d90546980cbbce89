/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the monitor runs: a process that can reach nothing but the descriptors it was given. Two
 * steps: vmm_jail_enter() before anything of the guest is looked at, and vmm_jail_seal()
 * (seccomp.h) when all threads and devices are there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/error.h"

#define VMM_JAIL_FILES_MAX 512           /* descriptors */
#define VMM_JAIL_DATA_MAX (256ULL << 20) /* bytes beyond the guest's memory, most of it qcow2's */

typedef struct {
    uid_t uid;
    gid_t gid;
    uint64_t memory; /* the guest's, in bytes */
    bool no_jail;    /* same user, same namespaces */
    bool no_seccomp; /* of the process that waits; the other one seals itself */
    bool daemonize;  /* the first process ends when the jailed one says that it is ready */
    int pid_fd;      /* where the number of the jailed process goes, or -1 */
} VmmJailOptions;

typedef struct {
    bool is_inside; /* this process is the one that goes on; else it ends with exit_code */
    int exit_code;
    int ready; /* for vmm_jail_ready() */
} VmmJail;

/*
 * Goes on in a child process: of new mount, PID, IPC, UTS and network namespaces, in an empty
 * read-only root, as the user, without capabilities and without a way to get any. The process that
 * was started stays until the child ends, with its exit code, or with `daemonize` until it is
 * ready; it can do nothing else then, and has no descriptors but the first three. It is to end with
 * _exit(): what a C library does at its end may be more than is left to it. Called with one thread.
 * 0 or a negative errno; in the child, too.
 */
int vmm_jail_enter(VmmJail *jail, const VmmJailOptions *options, VmmError *error);

/* Tells the first process that the guest runs. */
void vmm_jail_ready(VmmJail *jail);
