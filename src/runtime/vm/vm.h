/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver for kind `vm`: full PCs on libvirt and QEMU.
 *
 * What libvirt has defined is the truth about a domain, also about which files its disks are on at
 * present: see snapshot.c. The domains of a root are told from all others by their metadata.
 */
#pragma once

#include "base/paths.h"
#include "host/libvirt.h"
#include "runtime/runtime.h"

/* Both arguments are borrowed and must outlive the runtime. For the main loop's thread. */
SteadRuntime *stead_vm_runtime_new(SteadLibvirt *libvirt, const SteadPaths *paths);

/*
 * Where UEFI's firmware lies on this host: the code image and the template of its variables, both
 * static strings. Fails (MISSING) with the package to install.
 */
gboolean stead_vm_find_firmware(const char **code, const char **vars, GError **error);
