/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All access to a payload's memory is in take(): it hands out the next so many bytes, or latches
 * the error and hands out none. The order of bytes is little endian on both ends; so far, so are
 * all machines that they run on.
 */
#include "guest/fields.h"

#include <errno.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie");

GuestFields guest_fields_reader(void *bytes, size_t length)
{
    uint8_t *begin = bytes;
    return (GuestFields){.begin = begin, .at = begin, .end = begin + length};
}

GuestFields guest_fields_writer(void *buffer, size_t size)
{
    GuestFields fields = guest_fields_reader(buffer, size);
    fields.is_writing = true;
    return fields;
}

static void fail(GuestFields *fields, int writing_error)
{
    if (fields->error == 0)
        fields->error = fields->is_writing ? writing_error : -EBADMSG;
}

void guest_fields_fail(GuestFields *fields)
{
    fail(fields, -EINVAL);
}

ssize_t guest_fields_end(const GuestFields *fields)
{
    if (fields->error)
        return fields->error;
    if (fields->is_writing)
        return fields->at - fields->begin;
    return fields->at == fields->end ? 0 : -EBADMSG;
}

static uint8_t *take(GuestFields *fields, size_t length)
{
    if (length > (size_t)(fields->end - fields->at))
        fail(fields, -EMSGSIZE);
    if (fields->error)
        return NULL;
    uint8_t *at = fields->at;
    fields->at += length;
    return at;
}

void guest_field_raw(GuestFields *fields, void *bytes, size_t length)
{
    uint8_t *at = take(fields, length);
    if (at == NULL && !fields->is_writing)
        memset(bytes, 0, length);
    else if (at && fields->is_writing)
        memcpy(at, bytes, length);
    else if (at)
        memcpy(bytes, at, length);
}

void guest_field_u8(GuestFields *fields, uint8_t *value)
{
    guest_field_raw(fields, value, sizeof *value);
}

void guest_field_u16(GuestFields *fields, uint16_t *value)
{
    guest_field_raw(fields, value, sizeof *value);
}

void guest_field_u32(GuestFields *fields, uint32_t *value)
{
    guest_field_raw(fields, value, sizeof *value);
}

void guest_field_i32(GuestFields *fields, int32_t *value)
{
    guest_field_raw(fields, value, sizeof *value);
}

void guest_field_u64(GuestFields *fields, uint64_t *value)
{
    guest_field_raw(fields, value, sizeof *value);
}

void guest_field_count(GuestFields *fields, uint32_t *count, size_t max)
{
    guest_field_u32(fields, count);
    if (*count > max)
        guest_fields_fail(fields);
    if (fields->error && !fields->is_writing)
        *count = 0;
}

static void write_text(GuestFields *fields, const char *text, size_t max)
{
    uint32_t length = (uint32_t)strnlen(text, max + 1);
    if (length > max)
        guest_fields_fail(fields);
    guest_field_u32(fields, &length);
    uint8_t *at = take(fields, length + (size_t)1);
    if (at)
        memcpy(at, text, length + (size_t)1);
}

static const char *read_text(GuestFields *fields, size_t max)
{
    uint32_t length = 0;
    guest_field_count(fields, &length, max);
    const uint8_t *at = take(fields, length + (size_t)1);
    if (at == NULL)
        return "";
    if (memchr(at, 0, length + (size_t)1) == at + length)
        return (const char *)at;
    guest_fields_fail(fields);
    return "";
}

void guest_field_text(GuestFields *fields, const char **text, size_t max)
{
    if (fields->is_writing)
        write_text(fields, *text ? *text : "", max);
    else
        *text = read_text(fields, max);
}

void guest_field_bytes(GuestFields *fields, GuestBytes *bytes, size_t max)
{
    guest_field_count(fields, &bytes->length, max);
    uint8_t *at = take(fields, bytes->length);
    if (!fields->is_writing) {
        bytes->data = at;
        bytes->length = at ? bytes->length : 0;
    } else if (at && bytes->length > 0) {
        memcpy(at, bytes->data, bytes->length);
    }
}
