/* SPDX-License-Identifier: Apache-2.0 */
/* Walking over scattered memory. */
#include "vmm/parts.h"

#include <string.h>

uint64_t vmm_parts_length(const struct iovec *parts, unsigned n)
{
    uint64_t length = 0;
    for (unsigned i = 0; i < n; i++)
        length += parts[i].iov_len;
    return length;
}

unsigned vmm_parts_slice(const struct iovec *parts, unsigned n, uint64_t skip, uint64_t length,
                         struct iovec *to)
{
    unsigned made = 0;
    for (unsigned i = 0; i < n && length > 0; i++) {
        uint64_t there = parts[i].iov_len;
        if (skip >= there) {
            skip -= there;
            continue;
        }
        uint64_t taken = there - skip < length ? there - skip : length;
        to[made].iov_base = (uint8_t *)parts[i].iov_base + skip;
        to[made++].iov_len = taken;
        length -= taken;
        skip = 0;
    }
    return made;
}

void vmm_parts_zero(const struct iovec *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memset(parts[i].iov_base, 0, parts[i].iov_len);
}

void vmm_parts_fill(const struct iovec *parts, unsigned n, const uint8_t *bytes)
{
    for (unsigned i = 0; i < n; i++) {
        memcpy(parts[i].iov_base, bytes, parts[i].iov_len);
        bytes += parts[i].iov_len;
    }
}
