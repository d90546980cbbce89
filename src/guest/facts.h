/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest uses of its memory and processors. */
#pragma once

#include "guest/messages.h"

/* GuestOps.memory. */
int guest_memory(GuestMemory *memory);

/* The value of a line "NAME:   N kB" of /proc/meminfo, in bytes; 0 where it is not there. */
uint64_t guest_meminfo_value(const char *content, const char *name);
