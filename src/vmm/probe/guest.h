/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of guest.S. */
#pragma once

#include <stdint.h>

#include "vmm/probe/layout.h"

extern const uint8_t probe_guest_start[], probe_guest_end[];

extern const uint8_t probe_real_mode[], probe_protected_mode[], probe_long_mode[];
extern const uint8_t probe_cpuid[], probe_rdtsc[], probe_msr[], probe_port_io[], probe_mmio[];
extern const uint8_t probe_lock_xadd[], probe_cmpxchg16b[], probe_xsetbv[], probe_xsave[];
extern const uint8_t probe_xrstor[], probe_int3[], probe_page_fault[], probe_interrupt[],
    probe_syscall[];
extern const uint8_t probe_hlt[], probe_loop[];

extern const uint8_t probe_on_int3[], probe_on_interrupt[], probe_on_page_fault[], probe_stubs[];

/* The guest address of a label. */
static inline uint64_t probe_guest_address(const uint8_t *label)
{
    return (uint64_t)(label - probe_guest_start) + PROBE_CODE;
}
