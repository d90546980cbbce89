/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device state as bytes: a sequence of sections, each with a name, a version and a length, and in
 * them numbers in little-endian order. Writers and readers keep their first error and do nothing
 * after it, so that a device saves and loads without a check a line and asks once at its end.
 *
 * What is read may have been made by anybody: a reader bounds lengths, a device bounds values.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/error.h"

#define VMM_STATE_NAME_MAX 16     /* with its NUL */
#define VMM_STATE_MAX (16U << 20) /* bytes of all device state */

/* Zero-filled: empty. */
typedef struct {
    uint8_t *bytes;
    size_t length;
    size_t room;
    size_t section; /* where the open section's length stands; 0: none is open */
    int failed;     /* the first error, a negative errno */
} VmmStateWriter;

void vmm_state_writer_free(VmmStateWriter *writer);

/* Sections do not nest. */
void vmm_state_begin(VmmStateWriter *writer, const char *name, uint16_t version);
void vmm_state_end(VmmStateWriter *writer);

void vmm_state_put_u8(VmmStateWriter *writer, uint8_t value);
void vmm_state_put_u16(VmmStateWriter *writer, uint16_t value);
void vmm_state_put_u32(VmmStateWriter *writer, uint32_t value);
void vmm_state_put_u64(VmmStateWriter *writer, uint64_t value);
/* Without their number: the reader must know it. */
void vmm_state_put_bytes(VmmStateWriter *writer, const void *bytes, size_t length);

/* Reads `bytes`, which stay the caller's. Zero-filled otherwise. */
typedef struct {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    size_t end; /* of the open section */
    char section[VMM_STATE_NAME_MAX];
    int failed;
    VmmError why; /* when failed */
} VmmStateReader;

void vmm_state_reader_init(VmmStateReader *reader, const void *bytes, size_t length);

/* Opens the next section, which must have that name and a version of 1 to `newest`; returns it, 0
 * on failure. */
uint16_t vmm_state_enter(VmmStateReader *reader, const char *name, uint16_t newest);
/* Fails when the section holds more than was read. */
void vmm_state_leave(VmmStateReader *reader);

/* 0 after a failure. */
uint8_t vmm_state_get_u8(VmmStateReader *reader);
uint16_t vmm_state_get_u16(VmmStateReader *reader);
uint32_t vmm_state_get_u32(VmmStateReader *reader);
uint64_t vmm_state_get_u64(VmmStateReader *reader);
/* Zeros after a failure. */
void vmm_state_get_bytes(VmmStateReader *reader, void *bytes, size_t length);
/* What is left in the open section. */
size_t vmm_state_left(const VmmStateReader *reader);

/* For a device that does not take a value: fails the reader, in the section's name. Returns its
 * error, which is the first one. */
int vmm_state_refuse(VmmStateReader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
