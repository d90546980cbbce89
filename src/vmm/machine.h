/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: memory, buses, vCPUs and the state they run in.
 *
 * One lock guards all of it and every device. The I/O thread holds it in the loop's callbacks, a
 * vCPU's thread holds it all the time but in KVM_RUN and while it is parked. Whatever the guest
 * does that ends or restarts the machine becomes a request: the vCPU that made it parks, and the
 * I/O thread acts on it.
 *
 * Unless said otherwise functions are called with the lock held and return 0 or a negative errno.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/bus.h"
#include "vmm/error.h"
#include "vmm/irq.h"
#include "vmm/kvm.h"
#include "vmm/loop.h"
#include "vmm/memory.h"

#define VMM_CPUS_MAX 64
#define VMM_IRQFDS_MAX 32

typedef struct VmmMachine VmmMachine;
typedef struct VmmArch VmmArch; /* what the architecture keeps: arch/ */

typedef struct {
    VmmMachine *machine;
    unsigned index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    pid_t number; /* the thread's, while it can be kicked; 0 otherwise */
    bool has_thread;
    bool has_run; /* it entered the guest before */
} VmmVcpu;

typedef enum {
    VMM_REQUEST_NONE,
    VMM_REQUEST_SHUTDOWN, /* the guest switched itself off */
    VMM_REQUEST_RESET,    /* or wants to begin anew */
    VMM_REQUEST_FAILED,   /* KVM cannot go on; `why` says what with */
} VmmRequest;

typedef struct {
    int fd;
} VmmIrqLine;

struct VmmMachine {
    pthread_mutex_t lock;
    pthread_cond_t parked;  /* a vCPU parked */
    pthread_cond_t resumed; /* vCPUs may go on, or end */
    VmmKvm kvm;
    VmmMemory *memory;
    VmmLoop *loop;
    VmmBus ports;
    VmmBus mmio;
    VmmVcpu *vcpus;
    unsigned n_vcpus;   /* made so far */
    unsigned n_planned; /* all of them */
    unsigned n_parked;
    bool is_paused;    /* vCPUs park at their next turn */
    bool is_ending;    /* and their threads end */
    bool is_congested; /* they wait before their next turn until this is over */
    VmmRequest request;
    VmmError why;
    int request_fd; /* an eventfd by which a vCPU's thread calls the I/O thread */
    VmmIrqLine irqs[VMM_IRQFDS_MAX];
    unsigned n_irqs;
    VmmArch *arch;
    int unprepared; /* why a vCPU's thread could not be prepared, a negative errno; or 0 */
    /* Set by the caller before the start. */
    int (*prepare_thread)(void); /* the first thing that a vCPU's thread does; NULL: nothing */
    void (*on_request)(void *data, VmmRequest request);
    void *on_request_data;
};

/* A machine whose vCPUs are made, but have no state and no threads; paused. `kvm` is open and is
 * the machine's from now on, also on failure; `memory` stays the caller's and must outlive it.
 * Called without the lock; the machine is empty on failure. */
int vmm_machine_init(VmmMachine *machine, const VmmKvm *kvm, VmmMemory *memory, unsigned n_vcpus,
                     VmmError *error);
/* Ends the threads; also after a failure half-way. Without the lock, not from a vCPU's thread. */
void vmm_machine_free(VmmMachine *machine);

/* Starts the vCPUs' threads and waits until they have parked. Once, before the first resume. */
int vmm_machine_start(VmmMachine *machine, VmmError *error);
/* Returns when every vCPU has parked with no I/O half done. I/O thread only. */
void vmm_machine_pause(VmmMachine *machine);
void vmm_machine_resume(VmmMachine *machine);
/* Whether vCPUs are to wait for a device that has no room for what they give it. */
void vmm_machine_set_congested(VmmMachine *machine, bool is_congested);

/* From a device: the guest asks for an end. The first request counts until it was acted on. */
void vmm_machine_request(VmmMachine *machine, VmmRequest request);
/* The vCPU cannot go on. */
void vmm_machine_fail(VmmMachine *machine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The line of that number of the interrupt controller, as a device uses it. */
int vmm_machine_irq(VmmMachine *machine, uint32_t gsi, VmmIrq *irq, VmmError *error);
