/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a running monitor makes, each with its reason. Any other one, and these
 * with other arguments, end the process: what takes it over has little to go on with.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an argument must be. */
typedef enum {
    VMM_CALL_ANY,
    VMM_CALL_ONE_OF,       /* one of the values; 32 bits count */
    VMM_CALL_NONE_OF_BITS, /* none of the bits of values[0] */
} VmmCallCheck;

typedef struct {
    const char *name;
    const char *reason;
    const uint32_t *values; /* of the argument; ended with 0 */
    int number;
    VmmCallCheck check;
    unsigned argument;
    bool is_rare; /* not seen in every test: another libc, or a fault */
} VmmCall;

/* By falling frequency. */
extern const VmmCall vmm_calls[];
extern const size_t vmm_n_calls;

/* For all threads that there are, and those to come. No way back. 0 or a negative errno. */
int vmm_seccomp_seal(void);
