/* SPDX-License-Identifier: Apache-2.0 */
/* Text without stdio, which a small program that is to start fast does not carry along. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text that is put together in a buffer; what does not fit is left out, and `is_cut` says so. It is
 * a C string at all times. */
typedef struct {
    char *text;
    size_t size, length;
    bool is_cut;
} GuestText;

GuestText guest_text(char *buffer, size_t size);
void guest_text_add(GuestText *text, const char *string);
void guest_text_add_bytes(GuestText *text, const char *bytes, size_t length);
void guest_text_add_number(GuestText *text, uint64_t number);

/* Reads decimal digits: how many there were, 0 when it is no number or too large for one. */
size_t guest_number(const char *text, uint64_t *number);

/* Reads a file of at most size - 1 bytes whole, and ends it with a 0. Its length, or the negative
 * errno; -EFBIG for a larger one. */
int64_t guest_read_file(const char *path, char *buffer, size_t size);

/* Opens, writes and closes a file that exists: for /proc and /sys. */
int guest_write_file(const char *path, const char *text);
