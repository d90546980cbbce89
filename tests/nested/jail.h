/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of a monitor's two processes; see jail.c. */
#pragma once

#include "machine.h"

/* Both have no privileges, the one with the guest is alone in its namespaces, and its limits are
 * lowered for a guest of so much memory. */
void check_jail(const Machine *machine, uint64_t memory_size);

/* What both have of memory beside the guest's, which is a file whose name has that in it. KiB. */
double jail_memory(const Machine *machine, const char *guests);
