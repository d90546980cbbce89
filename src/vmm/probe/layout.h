/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of the probe's guest, shared by the C that builds it and the assembly that runs in it.
 * 2 MiB of memory at guest address 0, mapped 1:1 with 4 KiB pages, but for the two last ones of
 * the list. Nothing here is seen outside the probe.
 */
#pragma once

#define PROBE_MEMORY 0x200000

#define PROBE_CODE 0x1000 /* where guest.S is copied to, and its room */
#define PROBE_CODE_MAX 0x3000
#define PROBE_PML4 0x4000
#define PROBE_PDPT 0x5000
#define PROBE_PD 0x6000
#define PROBE_PT 0x7000
#define PROBE_TSS 0x8000
#define PROBE_IDT 0x9000
#define PROBE_SCRATCH 0xa000 /* 4 KiB that a step may use as it likes */
#define PROBE_REAL_STACK 0xc000
#define PROBE_STACK 0xe000
#define PROBE_USER_STACK 0x10000
#define PROBE_HOLE 0x100000 /* a page that is absent until the page fault handler maps it */
#define PROBE_MMIO 0x1ff000 /* a page whose physical address is nobody's memory */
#define PROBE_MMIO_PHYSICAL 0xd0000000

#define PROBE_PORT_DONE 0xe0  /* the step is over; its answer is in EAX */
#define PROBE_PORT_FAULT 0xe1 /* an exception that nobody asked for; its vector is in RDI */
#define PROBE_PORT_ECHO 0xe2  /* reads as the complement of what was written last */

#define PROBE_FAIL 0
#define PROBE_PASS 0x600d
#define PROBE_SKIP 0x5ca1 /* the CPU does not have the instruction: nothing will use it */

#define PROBE_VECTORS 33
#define PROBE_VECTOR_INT3 3
#define PROBE_VECTOR_PAGE_FAULT 14
#define PROBE_VECTOR_INTERRUPT 32
#define PROBE_STUB_SIZE 16

/* Selectors, in the order that SYSCALL and SYSRET demand. */
#define PROBE_SEL_CODE32 0x08
#define PROBE_SEL_DATA 0x10
#define PROBE_SEL_CODE64 0x18
#define PROBE_SEL_DATA64 0x20
#define PROBE_SEL_USER_BASE 0x2b
#define PROBE_SEL_TSS 0x40

#define PROBE_LOOP_COUNT 4000000
