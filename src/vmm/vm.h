/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of one guest: a machine with its devices, as the options say, and its life from boot or
 * restore to its end. What others do to a running guest (control, snapshots) they do through this.
 *
 * Functions return 0 or a negative errno, with the reason in the error.
 */
#pragma once

#include "vmm/arch/arch.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/options.h"
#include "vmm/serial.h"
#include "vmm/terminal.h"
#include "vmm/virtio/mmio.h"

#define VMM_VIRTIO_MAX 17

typedef enum {
    VMM_VM_WAITING, /* for a snapshot to be loaded */
    VMM_VM_PAUSED,  /* not begun yet, or by the user's wish */
    VMM_VM_RUNNING,
    VMM_VM_SHUTDOWN, /* the guest is over; the process ends */
    VMM_VM_FAILED,
} VmmVmState;

/* What happens, for who listens. */
typedef enum {
    VMM_EVENT_STOP,
    VMM_EVENT_RESUME,
    VMM_EVENT_RESET,
    VMM_EVENT_SHUTDOWN,
    VMM_EVENT_POWERDOWN,
    VMM_EVENT_BALLOON,
    VMM_EVENT_AGENT, /* the guest opened or closed the agent's port */
    VMM_N_EVENTS,
} VmmEvent;

typedef struct VmmVm VmmVm;

/* A queue's notifications, as the kernel counts them. */
typedef struct {
    VmmMmio *mmio;
    unsigned queue;
    int fd;
} VmmBell;

/* A virtio device in its place on the bus. */
typedef struct {
    VmmMmio *mmio;
    VmmBell bells[VMM_VIRTIO_QUEUES_MAX];
    unsigned n_bells;
} VmmSlot;

struct VmmVm {
    const VmmOptions *options;
    VmmMachine machine;
    VmmMemory *memory;
    VmmSerial serial;
    VmmLog *log;
    VmmTerminal *terminal;
    VmmSlot slots[VMM_VIRTIO_MAX];
    unsigned n_slots;
    VmmVirtio *balloon; /* its slot's; NULL: there is none */
    bool is_agent_open;
    VmmVmState state;
    bool by_guest;       /* the last end or reset was the guest's own wish */
    const char *reason;  /* of it, in QMP's words */
    VmmStateWriter cold; /* the machine as it was made, for a reset; empty: there is none */
    void (*on_event)(void *listener, VmmEvent event);
    void *listener;
};

/* Builds the machine and puts a kernel or a snapshot into it; paused. `kvm` is open and is the
 * machine's, also on failure. Without the lock. */
int vmm_vm_init(VmmVm *vm, const VmmOptions *options, const VmmKvm *kvm, VmmError *error);
void vmm_vm_free(VmmVm *vm);

/* With the lock held, I/O thread: */

/* Starts the vCPUs' threads, which wait for the guest to go on. Once. */
int vmm_vm_start(VmmVm *vm, VmmError *error);
/* The first vmm_vm_continue(), unless the options say to wait for the user's. */
void vmm_vm_begin(VmmVm *vm);
/* Stopping what is stopped is fine. Devices rest, too: nothing is under way afterwards, and the
 * disks' files hold all that was written, for as long as nobody lets it continue. */
void vmm_vm_stop(VmmVm *vm);
void vmm_vm_continue(VmmVm *vm);
void vmm_vm_power_button(VmmVm *vm);
/* As the reset button. Ends the machine instead where there is no kernel to boot, or no reboot is
 * wanted. */
void vmm_vm_reset(VmmVm *vm, bool by_guest);
/* `reason` is one of QMP's words. */
void vmm_vm_shut_down(VmmVm *vm, bool by_guest, const char *reason);

/* Tells who listens. */
void vmm_vm_tell(VmmVm *vm, VmmEvent event);
