/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host has what a spec ties an instance to: huge pages, CPUs, NUMA nodes. */
#pragma once

#include "model/spec.h"

/* EXHAUSTED when there are too few huge pages now; UNSUPPORTED when the host lacks something
 * altogether. `sys` is the mount point of sysfs, NULL: /sys. */
gboolean stead_vm_fits_host(const SteadInstanceSpec *spec, const char *sys, GError **error);
