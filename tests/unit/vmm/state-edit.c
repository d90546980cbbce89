/* SPDX-License-Identifier: Apache-2.0 */
/* The format is told in snapshot.c and state.c; the checksum is FNV-1a over words, then bytes. */
#include "state-edit.h"

#include <string.h>
#include <unistd.h>

#include "vmm/state.h"

#define CHECKSUM 16
#define LENGTH 24
#define SECTION_VERSION 2 /* bytes, which follow the name; then the length */
#define SECTION_HEADER (VMM_STATE_NAME_MAX + SECTION_VERSION + 4)
#define FNV_OFFSET G_GUINT64_CONSTANT(0xcbf29ce484222325)
#define FNV_PRIME G_GUINT64_CONSTANT(0x100000001b3)

GByteArray *state_read(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_set_size(bytes, (guint)size);
    g_assert_cmpint(pread(fd, bytes->data, bytes->len, 0), ==, bytes->len);
    return bytes;
}

guint8 *state_section(const GByteArray *state, const char *name)
{
    for (guint at = STATE_HEADER; at + SECTION_HEADER <= state->len;) {
        guint8 *section = state->data + at;
        guint32 length;
        memcpy(&length, section + VMM_STATE_NAME_MAX + SECTION_VERSION, sizeof length);
        if (strncmp((const char *)section, name, VMM_STATE_NAME_MAX) == 0)
            return section + SECTION_HEADER;
        at += SECTION_HEADER + GUINT32_FROM_LE(length);
    }
    g_error("there is no section '%s'", name);
}

void state_mend(GByteArray *state)
{
    const guint8 *bytes = state->data + STATE_HEADER;
    guint64 length = state->len - STATE_HEADER, sum = FNV_OFFSET ^ length, word;
    guint64 length_le = GUINT64_TO_LE(length);
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum = (sum ^ GUINT64_FROM_LE(word)) * FNV_PRIME;
        sum ^= sum >> 32;
    }
    for (; length > 0; bytes++, length--)
        sum = (sum ^ *bytes) * FNV_PRIME;
    sum = GUINT64_TO_LE(sum);
    memcpy(state->data + CHECKSUM, &sum, sizeof sum);
    memcpy(state->data + LENGTH, &length_le, sizeof length_le);
}
