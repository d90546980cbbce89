/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a machine to libvirt's domain XML. Pure: no file, connection or clock is touched, so the
 * golden files in tests/golden/vm show all of it.
 */
#pragma once

#include "runtime/runtime.h"

/* How list() knows the domains of this root, and people whose they are. */
#define STEAD_VM_XMLNS "https://stead.dev/xmlns/instance/1"

/* Disks that a machine may have, the root disk among them: vda to vdy; vdz is the seed. */
#define STEAD_VM_MAX_DISKS 25
#define STEAD_VM_SEED_TARGET "vdz"

/* What a domain needs beyond its machine. */
typedef struct {
    const char *root;          /* state folder of this daemon */
    const char *firmware_code; /* UEFI's code image; NULL: BIOS */
    const char *firmware_vars; /* the template of its variables */
    const char *vnc_password;  /* at most 8 characters count */
} SteadDomainOptions;

/* The whole document. Owned by the caller. Fails (INVALID) when there are too many disks. */
char *stead_vm_domain_xml(const SteadMachine *machine, const SteadDomainOptions *options,
                          GError **error);

/* One <disk> element, for attaching. `target` is "vdb". Owned by the caller. */
char *stead_vm_disk_xml(const SteadMachineDisk *disk, const char *target);

/* Whether the disk is a device of the host (of a pool of volumes) and not a file. */
gboolean stead_vm_is_device(const char *path);

/* "vda" for 0, up to "vdz". Owned by the caller. */
char *stead_vm_disk_target(guint n);
