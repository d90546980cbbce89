/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a running monitor makes, each with its reason and the threads that have it.
 * Any other one, and these with other arguments, end the process: what takes it over has little to
 * go on with, and least where it came from the guest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an argument must be. */
typedef enum {
    VMM_CALL_ANY,
    VMM_CALL_ONE_OF,       /* one of the values; 32 bits count */
    VMM_CALL_NONE_OF_BITS, /* none of the bits of the first value */
} VmmCallCheck;

/* Threads by what they do; bits. */
typedef enum {
    VMM_THREAD_LOOP = 1,    /* events, the control, devices */
    VMM_THREAD_VCPU = 2,    /* the guest, and the registers that it reaches */
    VMM_THREAD_DISK = 4,    /* what blocks of a disk */
    VMM_THREAD_ANY = 7,     /* of the three, which are one process's */
    VMM_THREAD_OUTSIDE = 8, /* the process that waits for it */
} VmmThread;

/* A value of an argument, or bits of it. */
typedef struct {
    const char *name; /* NULL: the list's end */
    uint32_t value;
    bool is_rare; /* seen on some hosts only */
} VmmCallValue;

typedef struct {
    const char *name;
    const char *reason;
    const VmmCallValue *values; /* of the argument */
    int number;
    VmmCallCheck check;
    unsigned argument;
    unsigned threads; /* VmmThread */
    bool is_rare;     /* seen with another libc only, when memory is much, or without a vDSO */
} VmmCall;

/* By falling frequency. */
extern const VmmCall vmm_calls[];
extern const size_t vmm_n_calls;

/* For the calling thread, and those that it makes. No way back. 0 or a negative errno. */
int vmm_seccomp_seal(VmmThread thread);
/* The same, as what begins a thread. */
int vmm_seccomp_seal_vcpu(void);
int vmm_seccomp_seal_disk(void);
