/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a payload, one after the other. The same calls read and write, so that one function
 * describes a message for both ends (guest/messages.h). The first error latches: whatever follows
 * reads as 0 and "" and writes nothing, and one look at the end tells.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
    uint8_t *begin;
    uint8_t *at;
    uint8_t *end;
    int error; /* 0; -EBADMSG when reading what is cut short or out of bounds; -EMSGSIZE when
                  writing beyond the buffer; -EINVAL when writing what is out of bounds */
    bool is_writing;
} GuestFields;

/* Reads the bytes, which have to outlive what is read: texts and bytes are not copied. */
GuestFields guest_fields_reader(void *bytes, size_t length);
GuestFields guest_fields_writer(void *buffer, size_t size);

/* Reading: 0, or the error; bytes that are left are one. Writing: the bytes written, or the
 * error. */
ssize_t guest_fields_end(const GuestFields *fields);

/* Latches an error, unless there is one. */
void guest_fields_fail(GuestFields *fields);

void guest_field_u8(GuestFields *fields, uint8_t *value);
void guest_field_u16(GuestFields *fields, uint16_t *value);
void guest_field_u32(GuestFields *fields, uint32_t *value);
void guest_field_i32(GuestFields *fields, int32_t *value);
void guest_field_u64(GuestFields *fields, uint64_t *value);

/* So many bytes as they are: a MAC, an address. */
void guest_field_raw(GuestFields *fields, void *bytes, size_t length);

/* A text of at most `max` bytes, its closing 0 aside; NULL is written as "", and never read. */
void guest_field_text(GuestFields *fields, const char **text, size_t max);

typedef struct {
    const uint8_t *data;
    uint32_t length;
} GuestBytes;

void guest_field_bytes(GuestFields *fields, GuestBytes *bytes, size_t max);

/* How many follow, at most `max`; 0 upon an error, so that a loop over them ends. */
void guest_field_count(GuestFields *fields, uint32_t *count, size_t max);
