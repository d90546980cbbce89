/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of an x86-64 machine: what lies where in the guest's first megabyte, and where devices
 * are. Everything below 1 MiB is written once, before the guest's first instruction, and is then
 * the guest's.
 */
#pragma once

#define X86_GDT 0x500
#define X86_START_INFO 0x6000 /* PVH's, with its tables behind it, one page */
#define X86_ZERO_PAGE 0x7000  /* Linux's boot parameters, one page */
#define X86_STACK 0x8ff0
#define X86_PML4 0x9000
#define X86_PDPT 0xa000
#define X86_PD 0xb000 /* of the first GiB */
#define X86_COMMAND_LINE 0x20000
#define X86_LOW_END 0x9fc00 /* where a PC's firmware begins to reserve memory */
#define X86_ACPI 0xe0000    /* all tables, first the RSDP, where a kernel looks for it */
#define X86_ACPI_MAX 0x10000
#define X86_KERNEL_LOW 0xf0000 /* from here on a kernel may have what it has */
#define X86_HIGH 0x100000      /* where kernels are loaded */
#define X86_MEMORY_MIN 0x200000

#define X86_VIRTIO 0xd0000000 /* a page each */
#define X86_VIRTIO_STEP 0x1000
#define X86_VIRTIO_SIZE 0x200
#define X86_IOAPIC 0xfec00000
#define X86_LAPIC 0xfee00000
#define X86_TSS 0xfffbd000 /* three pages that Intel CPUs need, not seen by the guest */

#define X86_SERIAL_PORT 0x3f8
#define X86_SERIAL_GSI 4
#define X86_ACPI_GSI 9

/* Segments of the first GDT; Linux's boot protocol wants code at 0x10 and data at 0x18. */
#define X86_CODE 0x10
#define X86_DATA 0x18
#define X86_TASK 0x20
