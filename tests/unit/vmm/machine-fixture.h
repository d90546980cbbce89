/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine with a tiny guest in real mode, for tests that run on the host's KVM whatever it is: a
 * real one, or one that emulates. Tests are skipped where there is none.
 */
#pragma once

#include <glib.h>

#include "vmm/arch/arch.h"
#include "vmm/machine.h"
#include "vmm/serial.h"

#define FIXTURE_MEMORY (4ULL << 20)
#define FIXTURE_TIME_LIMIT_NS (20ULL * 1000000000)

typedef struct {
    VmmMachine machine;
    VmmMemory *memory;
    VmmSerial serial;
    GByteArray *output;
    VmmRequest request; /* that ended the run; NONE: the time limit did */
    gsize wanted;       /* end the run when so many bytes came out; 0: never */
    uint32_t echo;      /* of the echo port */
    uint64_t echoed;    /* how often it was written */
    gboolean is_late;
} Fixture;

extern const uint8_t guest_hello[], guest_hello_end[];
extern const uint8_t guest_widths[], guest_widths_end[];
extern const uint8_t guest_strings[], guest_strings_end[];
extern const uint8_t guest_unknown_port[], guest_unknown_port_end[];
extern const uint8_t guest_reset_keyboard[], guest_reset_keyboard_end[];
extern const uint8_t guest_reset_acpi[], guest_reset_acpi_end[];
extern const uint8_t guest_reset_fast[], guest_reset_fast_end[];
extern const uint8_t guest_triple_fault[], guest_triple_fault_end[];
extern const uint8_t guest_power_button[], guest_power_button_end[];
extern const uint8_t guest_counter[], guest_counter_end[];
extern const uint8_t guest_echo[], guest_echo_end[];
extern const uint8_t guest_halt[], guest_halt_end[];

/* False, and the test is skipped, where KVM is not there. */
gboolean fixture_init(Fixture *fixture, unsigned n_vcpus);
void fixture_free(Fixture *fixture);

/* Puts the guest in its place and the first vCPU at its beginning. */
void fixture_load(Fixture *fixture, const uint8_t *start, const uint8_t *end);
#define FIXTURE_LOAD(fixture, name) fixture_load(fixture, guest_##name, guest_##name##_end)

/* Runs until the guest ends, `wanted` bytes came out, or the time limit; the machine is paused
 * then. Starts the threads at the first call. */
void fixture_run(Fixture *fixture);

/* Asserts what came out of the serial port, and forgets it. */
void fixture_expect(Fixture *fixture, const void *bytes, gsize length);
