/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels made of a few instructions. */
#pragma once

#include <stdint.h>

#include <glib.h>

#define KERNEL_ADDRESS 0x100000

/* An ELF file in memory with that code at 1 MiB, entered by PVH's note or at its first byte by
 * Linux's protocol. `flags` are memfd_create()'s. */
int elf_kernel(const uint8_t *start, const uint8_t *end, gboolean has_note, unsigned flags);
