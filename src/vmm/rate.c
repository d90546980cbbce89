/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens are whole, and time is only spent in whole tokens, so nothing is lost to rounding: the
 * clock of a bucket moves on by what its new tokens took to come.
 */
#include "vmm/rate.h"

#include <time.h>

#define SECOND 1000000000ULL
#define BURST_PARTS 10 /* of a second */

static int64_t capacity(const VmmBucket *bucket)
{
    uint64_t tokens = bucket->per_second / BURST_PARTS;
    return tokens > 0 ? (int64_t)tokens : 1;
}

static void init(VmmBucket *bucket, uint64_t per_second, uint64_t now)
{
    bool has_limit = per_second > 0 && per_second <= VMM_RATE_MAX;
    *bucket = (VmmBucket){.per_second = has_limit ? per_second : 0, .filled_at = now};
    bucket->tokens = capacity(bucket);
}

void vmm_rate_init(VmmRate *rate, uint64_t bytes_per_second, uint64_t operations_per_second,
                   uint64_t now)
{
    init(&rate->bytes, bytes_per_second, now);
    init(&rate->operations, operations_per_second, now);
}

/* a * b / c without overflow; the quotient fits. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)((unsigned __int128)a * b / c);
}

static void fill(VmmBucket *bucket, uint64_t now)
{
    uint64_t elapsed = now > bucket->filled_at ? now - bucket->filled_at : 0;
    uint64_t missing = (uint64_t)(capacity(bucket) - bucket->tokens);
    uint64_t to_full = scale(missing, SECOND, bucket->per_second) + 1;
    if (elapsed >= to_full) {
        bucket->tokens = capacity(bucket);
        bucket->filled_at = now;
        return;
    }
    uint64_t tokens = scale(elapsed, bucket->per_second, SECOND);
    bucket->tokens += (int64_t)tokens;
    bucket->filled_at += scale(tokens, SECOND, bucket->per_second);
}

/* How long until it holds `amount`, or is full. */
static uint64_t wait_for(VmmBucket *bucket, uint64_t amount, uint64_t now)
{
    if (bucket->per_second == 0)
        return 0;
    fill(bucket, now);
    int64_t needed = amount < (uint64_t)capacity(bucket) ? (int64_t)amount : capacity(bucket);
    if (bucket->tokens >= needed)
        return 0;
    return scale((uint64_t)(needed - bucket->tokens), SECOND, bucket->per_second) + 1;
}

static void take(VmmBucket *bucket, uint64_t amount)
{
    if (bucket->per_second > 0)
        bucket->tokens -= (int64_t)(amount < VMM_RATE_MAX ? amount : VMM_RATE_MAX);
}

uint64_t vmm_rate_take(VmmRate *rate, uint64_t bytes, uint64_t now)
{
    uint64_t for_bytes = wait_for(&rate->bytes, bytes, now);
    uint64_t for_operations = wait_for(&rate->operations, 1, now);
    if (for_bytes || for_operations)
        return for_bytes > for_operations ? for_bytes : for_operations;
    take(&rate->bytes, bytes);
    take(&rate->operations, 1);
    return 0;
}

uint64_t vmm_rate_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}
