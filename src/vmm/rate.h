/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits: a bucket for bytes and one for operations. A full bucket holds a tenth of a second's
 * worth, so that short bursts pass. What is larger than a bucket is let through when the bucket is
 * full and leaves it in debt; so no request waits for ever.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t per_second; /* 0: no limit */
    int64_t tokens;      /* below 0 is a debt */
    uint64_t filled_at;  /* nanoseconds of the monotonic clock */
} VmmBucket;

typedef struct {
    VmmBucket bytes;
    VmmBucket operations;
} VmmRate;

#define VMM_RATE_MAX 1000000000000ULL /* a second; what is above is no limit */

/* Full buckets. 0 for no limit. */
void vmm_rate_init(VmmRate *rate, uint64_t bytes_per_second, uint64_t operations_per_second,
                   uint64_t now);

/* Takes one operation of `bytes` from the buckets. 0 when there was enough; otherwise nothing was
 * taken, and it is the time to wait in nanoseconds. */
uint64_t vmm_rate_take(VmmRate *rate, uint64_t bytes, uint64_t now);

/* The monotonic clock in nanoseconds. */
uint64_t vmm_rate_now(void);
