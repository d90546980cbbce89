/* SPDX-License-Identifier: Apache-2.0 */
/* Scattered memory, as readv() and writev() take it. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

/* The bytes of all parts. */
uint64_t vmm_parts_length(const struct iovec *parts, unsigned n);

/* The parts that bytes [skip, skip + length) lie in, cut to them; fewer when there are fewer. `to`
 * has room for n and may be `parts`. Returns how many. */
unsigned vmm_parts_slice(const struct iovec *parts, unsigned n, uint64_t skip, uint64_t length,
                         struct iovec *to);

void vmm_parts_zero(const struct iovec *parts, unsigned n);
/* Fills all of them, one after the other, with what lies at `bytes`. */
void vmm_parts_fill(const struct iovec *parts, unsigned n, const uint8_t *bytes);
