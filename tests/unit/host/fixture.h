/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host made of a folder: programs are scripts in `bin`, the kernel's files and the sockets lie
 * under `root`. Nothing is asked of the machine that runs the test.
 */
#pragma once

#include "host/checks.h"

typedef struct {
    char *folder;
    char *bin;
    char *root;
    SteadPaths *paths;
    SteadKvm kvm;
    SteadCheckContext context;
} Host;

/* For g_test_add(): an empty host with a usable KVM. */
void host_set_up(Host *f, gconstpointer unused);
void host_tear_down(Host *f, gconstpointer unused);

void host_add_program(Host *f, const char *name, const char *script);

/* Below the root; folders above are made. The socket is to be closed. */
void host_add_folder(Host *f, const char *name);
void host_add_file(Host *f, const char *name, const char *text);
int host_add_socket(Host *f, const char *name, gboolean is_listening);

/* Runs one check of the table. Owned by the caller. */
SteadCheckResult *host_check(Host *f, const char *id);

/* Likewise, and compares: `found` and `mend` (NULL: any) need only be part of what it says. What
 * is not well must be mended by something, and what is well by nothing. */
void host_expect(Host *f, const char *id, SteadCheckStatus status, const char *found,
                 const char *mend);
