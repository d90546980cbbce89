/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths are always written in the form of three bytes, so that they can be filled in later. */
#include "vmm/arch/x86_64/aml.h"

#include <string.h>

#define OP_NAME 0x08
#define OP_DWORD 0x0c
#define OP_STRING 0x0d
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_EXTENDED 0x5b
#define OP_DEVICE 0x82 /* after OP_EXTENDED */
#define LENGTH_BYTES 3
#define LENGTH_THREE 0x80 /* two bytes follow the first one, which has 4 bits */
#define RESOURCE_MEMORY 0x86
#define RESOURCE_INTERRUPT 0x89
#define RESOURCE_END 0x79
#define INTERRUPT_CONSUMED_EDGE 0x03 /* active high, not shared */

void aml_bytes(Aml *aml, const void *bytes, size_t length)
{
    if (length > aml->room - aml->length) {
        aml->is_full = true;
        return;
    }
    memcpy(aml->bytes + aml->length, bytes, length);
    aml->length += length;
}

void aml_number(Aml *aml, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        aml_bytes(aml, &byte, 1);
    }
}

static void op(Aml *aml, uint8_t code)
{
    aml_bytes(aml, &code, 1);
}

static void segment(Aml *aml, const char *name)
{
    aml_bytes(aml, name, 4);
}

/* Room for the length, which counts from its own first byte. */
static size_t begin(Aml *aml)
{
    size_t start = aml->length;
    aml_number(aml, 0, LENGTH_BYTES);
    return start;
}

void aml_end(Aml *aml, size_t start)
{
    size_t length = aml->length - start;
    if (aml->is_full)
        return;
    aml->bytes[start] = (uint8_t)(LENGTH_THREE | (length & 0xf));
    aml->bytes[start + 1] = (uint8_t)(length >> 4);
    aml->bytes[start + 2] = (uint8_t)(length >> 12);
}

void aml_name(Aml *aml, const char *name)
{
    op(aml, OP_NAME);
    segment(aml, name);
}

void aml_string(Aml *aml, const char *text)
{
    op(aml, OP_STRING);
    aml_bytes(aml, text, strlen(text) + 1);
}

void aml_integer(Aml *aml, uint32_t value)
{
    op(aml, OP_DWORD);
    aml_number(aml, value, sizeof value);
}

size_t aml_scope(Aml *aml, const char *name)
{
    op(aml, OP_SCOPE);
    size_t start = begin(aml);
    segment(aml, name);
    return start;
}

size_t aml_device(Aml *aml, const char *name)
{
    op(aml, OP_EXTENDED);
    op(aml, OP_DEVICE);
    size_t start = begin(aml);
    segment(aml, name);
    return start;
}

size_t aml_package(Aml *aml, uint8_t n_elements)
{
    op(aml, OP_PACKAGE);
    size_t start = begin(aml);
    aml_number(aml, n_elements, 1);
    return start;
}

void aml_resources(Aml *aml, uint32_t base, uint32_t length, uint32_t gsi)
{
    enum { MEMORY_SIZE = 9, INTERRUPT_SIZE = 6, HEAD = 3, END = 2 };
    op(aml, OP_BUFFER);
    size_t start = begin(aml);
    aml_integer(aml, HEAD + MEMORY_SIZE + HEAD + INTERRUPT_SIZE + END);
    op(aml, RESOURCE_MEMORY);
    aml_number(aml, MEMORY_SIZE, 2);
    aml_number(aml, 1, 1); /* can be written */
    aml_number(aml, base, 4);
    aml_number(aml, length, 4);
    op(aml, RESOURCE_INTERRUPT);
    aml_number(aml, INTERRUPT_SIZE, 2);
    aml_number(aml, INTERRUPT_CONSUMED_EDGE, 1);
    aml_number(aml, 1, 1); /* interrupt */
    aml_number(aml, gsi, 4);
    op(aml, RESOURCE_END);
    aml_number(aml, 0, 1); /* no checksum */
    aml_end(aml, start);
}
