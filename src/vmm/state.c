/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A section is its name (16 bytes, filled with NULs), its version (2 bytes), its length (4 bytes)
 * and that many bytes.
 */
#include "vmm/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4096
#define LENGTH_SIZE 4

void vmm_state_writer_free(VmmStateWriter *writer)
{
    free(writer->bytes);
    *writer = (VmmStateWriter){0};
}

static void make_room(VmmStateWriter *writer, size_t length)
{
    if (writer->failed || length <= writer->room - writer->length)
        return;
    if (length > VMM_STATE_MAX - writer->length) {
        writer->failed = -EFBIG;
        return;
    }
    size_t room = writer->room ? writer->room : FIRST_ROOM;
    while (room - writer->length < length)
        room *= 2;
    uint8_t *bytes = realloc(writer->bytes, room);
    if (bytes == NULL) {
        writer->failed = -ENOMEM;
        return;
    }
    writer->bytes = bytes;
    writer->room = room;
}

void vmm_state_put_bytes(VmmStateWriter *writer, const void *bytes, size_t length)
{
    make_room(writer, length);
    if (writer->failed || length == 0)
        return;
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
}

static void put_number(VmmStateWriter *writer, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    vmm_state_put_bytes(writer, bytes, size);
}

void vmm_state_put_u8(VmmStateWriter *writer, uint8_t value)
{
    put_number(writer, value, 1);
}

void vmm_state_put_u16(VmmStateWriter *writer, uint16_t value)
{
    put_number(writer, value, 2);
}

void vmm_state_put_u32(VmmStateWriter *writer, uint32_t value)
{
    put_number(writer, value, 4);
}

void vmm_state_put_u64(VmmStateWriter *writer, uint64_t value)
{
    put_number(writer, value, 8);
}

void vmm_state_begin(VmmStateWriter *writer, const char *name, uint16_t version)
{
    char padded[VMM_STATE_NAME_MAX] = {0};
    if (!writer->failed && (writer->section || strlen(name) >= sizeof padded))
        writer->failed = -EINVAL;
    snprintf(padded, sizeof padded, "%s", name);
    vmm_state_put_bytes(writer, padded, sizeof padded);
    vmm_state_put_u16(writer, version);
    writer->section = writer->length;
    vmm_state_put_u32(writer, 0);
}

void vmm_state_end(VmmStateWriter *writer)
{
    if (!writer->failed && writer->section == 0)
        writer->failed = -EINVAL;
    if (writer->failed)
        return;
    size_t length = writer->length - writer->section - LENGTH_SIZE;
    for (unsigned i = 0; i < LENGTH_SIZE; i++)
        writer->bytes[writer->section + i] = (uint8_t)(length >> 8 * i);
    writer->section = 0;
}

void vmm_state_reader_init(VmmStateReader *reader, const void *bytes, size_t length)
{
    *reader = (VmmStateReader){.bytes = bytes, .length = length};
}

int vmm_state_refuse(VmmStateReader *reader, const char *format, ...)
{
    if (reader->failed)
        return reader->failed;
    char text[VMM_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reader->failed = vmm_error(&reader->why, -EINVAL, "section '%s': %s", reader->section, text);
    return reader->failed;
}

void vmm_state_get_bytes(VmmStateReader *reader, void *bytes, size_t length)
{
    if (!reader->failed && length > reader->end - reader->at)
        vmm_state_refuse(reader, "it is cut short");
    if (reader->failed) {
        memset(bytes, 0, length);
        return;
    }
    memcpy(bytes, reader->bytes + reader->at, length);
    reader->at += length;
}

static uint64_t get_number(VmmStateReader *reader, unsigned size)
{
    uint8_t bytes[8];
    uint64_t value = 0;
    vmm_state_get_bytes(reader, bytes, size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

uint8_t vmm_state_get_u8(VmmStateReader *reader)
{
    return (uint8_t)get_number(reader, 1);
}

uint16_t vmm_state_get_u16(VmmStateReader *reader)
{
    return (uint16_t)get_number(reader, 2);
}

uint32_t vmm_state_get_u32(VmmStateReader *reader)
{
    return (uint32_t)get_number(reader, 4);
}

uint64_t vmm_state_get_u64(VmmStateReader *reader)
{
    return get_number(reader, 8);
}

/* The header is read with the whole rest as the section. */
uint16_t vmm_state_enter(VmmStateReader *reader, const char *name, uint16_t newest)
{
    char found[VMM_STATE_NAME_MAX], padded[VMM_STATE_NAME_MAX] = {0};
    if (!reader->failed && reader->end != reader->at)
        vmm_state_refuse(reader, "it holds more than is known");
    if (reader->failed)
        return 0;
    snprintf(reader->section, sizeof reader->section, "%s", name);
    memcpy(padded, reader->section, strlen(reader->section));
    reader->end = reader->length;
    vmm_state_get_bytes(reader, found, sizeof found);
    uint16_t version = vmm_state_get_u16(reader);
    uint32_t length = vmm_state_get_u32(reader);
    if (!reader->failed && memcmp(found, padded, sizeof found) != 0)
        vmm_state_refuse(reader, "another one stands in its place");
    if (!reader->failed && (version == 0 || version > newest))
        vmm_state_refuse(reader, "its version %u is not known", version);
    if (!reader->failed && length > reader->end - reader->at)
        vmm_state_refuse(reader, "it is cut short");
    reader->end = reader->failed ? reader->at : reader->at + length;
    return reader->failed ? 0 : version;
}

void vmm_state_leave(VmmStateReader *reader)
{
    if (!reader->failed && reader->at != reader->end)
        vmm_state_refuse(reader, "it holds more than is known");
}

size_t vmm_state_left(const VmmStateReader *reader)
{
    return reader->failed ? 0 : reader->end - reader->at;
}
