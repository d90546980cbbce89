/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole guest (vm.h) with a tiny ELF kernel and a control client that is no socket, on the host's
 * KVM. Tests are skipped where there is none.
 */
#pragma once

#include <glib.h>

#include "vmm/qmp.h"
#include "vmm/vm.h"

#define VM_MEMORY (8ULL << 20)

typedef struct {
    VmmOptions options;
    VmmVm vm;
    VmmQmp *qmp;
    GString *sent;   /* by the control side, all of it */
    GString *output; /* of the serial port */
    gsize wanted;    /* end a run when so many bytes came out; 0: never */
    gboolean has_begun, is_late;
    int folder; /* of the log */
    char *folder_path;
} Vm;

extern const uint8_t guest_pvh[], guest_pvh_end[];
extern const uint8_t guest_pvh_acpi[], guest_pvh_acpi_end[];
extern const uint8_t guest_pvh_reset[], guest_pvh_reset_end[];
extern const uint8_t guest_pvh_counter[], guest_pvh_counter_end[];
extern const uint8_t guest_pvh_mmio[], guest_pvh_mmio_end[];
extern const uint8_t guest_pvh_driver[], guest_pvh_driver_end[];
extern const uint8_t guest_pvh_nowhere[], guest_pvh_nowhere_end[];
extern const uint8_t guest_pvh_two[], guest_pvh_two_end[];
extern const uint8_t guest_long_mode[], guest_long_mode_end[];

/* False, and the test is skipped, where KVM is not there. Afterwards the options may be changed. */
gboolean vm_init(Vm *vm);
/* A kernel of that code, at 1 MiB. */
void vm_set_kernel(Vm *vm, const uint8_t *start, const uint8_t *end, gboolean has_note);
#define VM_SET_KERNEL(vm, name) vm_set_kernel(vm, guest_##name, guest_##name##_end, TRUE)

/* Builds the guest and its control; asserts that it works. */
void vm_build(Vm *vm);
/* Starts or goes on until the guest ends or `wanted` bytes came out. It may still be running then,
 * with the lock free. */
void vm_run(Vm *vm);
/* Sends a command; returns what was sent back since, as one text. */
const char *vm_command(Vm *vm, const char *command);
void vm_free(Vm *vm);

/* A file in memory, of that size. */
int vm_file(gsize size);
