/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI's byte code, as much of it as a list of devices takes. Bytes are appended to a buffer of
 * fixed room; what does not fit is dropped and remembered, to be asked once in the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes;
    size_t room;
    size_t length;
    bool is_full; /* something did not fit */
} Aml;

void aml_bytes(Aml *aml, const void *bytes, size_t length);
/* Little-endian. */
void aml_number(Aml *aml, uint64_t value, unsigned size);

/* Name(NAME, ...): the value is appended after it. Names have 4 characters. */
void aml_name(Aml *aml, const char *name);
/* Values. */
void aml_string(Aml *aml, const char *text);
void aml_integer(Aml *aml, uint32_t value);

/* What begins here ends with aml_end(), to which it gives the result. */
size_t aml_scope(Aml *aml, const char *name);
size_t aml_device(Aml *aml, const char *name);
size_t aml_package(Aml *aml, uint8_t n_elements);
void aml_end(Aml *aml, size_t start);

/* A buffer with one range of memory and one interrupt, edge-triggered. */
void aml_resources(Aml *aml, uint32_t base, uint32_t length, uint32_t gsi);
