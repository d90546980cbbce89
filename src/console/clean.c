/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal's parser that draws nothing: ECMA-48's escape sequences, CSI sequences and control
 * strings (OSC, DCS, PM, APC, SOS) are recognized in order to be dropped, also when they are
 * malformed or never end: CAN, SUB and ESC abort them as in a terminal, and a control string that
 * meets a line feed is given up, so that a guest cannot silence its log.
 *
 * A CR is held back until the next byte: before LF it is part of the line end, else it begins the
 * line anew, which is shown as a new line, since overwriting is how a guest would hide one. The
 * same goes for cursor positioning, with which firmware and boot loaders lay out their screens.
 */
#include "console/clean.h"

#include <string.h>

enum { TEXT, ESCAPE, ESCAPE_MORE, CSI, STRING, STRING_ESCAPE, UTF8 };

#define ESC 0x1b
#define REPLACEMENT "\xef\xbf\xbd"

void stead_clean_init(SteadClean *clean, SteadCleanMode mode)
{
    memset(clean, 0, sizeof *clean);
    clean->mode = mode;
}

static void put(SteadClean *clean, const char *bytes, gsize n, GString *out)
{
    g_string_append_len(out, bytes, (gssize)n);
    clean->in_line = TRUE;
}

static void end_line(SteadClean *clean, GString *out)
{
    g_string_append_c(out, '\n');
    clean->in_line = FALSE;
    clean->carriage_return = FALSE;
}

/* A line that would be overwritten is ended instead. */
static void break_line(SteadClean *clean, GString *out)
{
    clean->carriage_return = FALSE;
    if (clean->in_line)
        end_line(clean, out);
}

static void end_csi(SteadClean *clean, char final, GString *out)
{
    if (strchr("HfJdEF", final))
        break_line(clean, out);
    if (final == 'm' && clean->mode == STEAD_CLEAN_COLOURS &&
        clean->kept < sizeof clean->held - 3) {
        g_string_append_len(out, "\x1b[", 2);
        g_string_append_len(out, clean->held, clean->kept);
        g_string_append_c(out, 'm');
    }
    clean->state = TEXT;
}

static gsize utf8_length(guint8 byte)
{
    return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
}

static void begin_text(SteadClean *clean, guint8 byte, GString *out)
{
    if (clean->carriage_return && byte != '\n' && byte != '\r')
        break_line(clean, out);
    if (byte >= 0xc2 && byte <= 0xf4) {
        clean->held[0] = (char)byte;
        clean->kept = 1;
        clean->state = UTF8;
    } else if (byte >= 0x80) {
        put(clean, REPLACEMENT, 3, out);
    } else {
        put(clean, (const char *)&byte, 1, out);
    }
}

static void take_text(SteadClean *clean, guint8 byte, GString *out)
{
    if (byte == '\n')
        end_line(clean, out);
    else if (byte == '\r')
        clean->carriage_return = TRUE;
    else if (byte == ESC)
        clean->state = ESCAPE;
    else if (byte == '\t' || (byte >= 0x20 && byte != 0x7f))
        begin_text(clean, byte, out);
}

static void take_utf8(SteadClean *clean, guint8 byte, GString *out)
{
    if ((byte & 0xc0) != 0x80) {
        clean->state = TEXT;
        put(clean, REPLACEMENT, 3, out);
        take_text(clean, byte, out);
        return;
    }
    clean->held[clean->kept++] = (char)byte;
    if (clean->kept < utf8_length((guint8)clean->held[0]))
        return;
    clean->state = TEXT;
    gunichar character = g_utf8_get_char_validated(clean->held, clean->kept);
    if (character < 0xa0) /* C1 control characters, CSI among them */
        return;
    if (character >= (gunichar)-2 || !g_unichar_validate(character))
        put(clean, REPLACEMENT, 3, out);
    else
        put(clean, clean->held, clean->kept, out);
}

static void take_escape(SteadClean *clean, guint8 byte, GString *out)
{
    clean->kept = 0;
    if (byte == '[')
        clean->state = CSI;
    else if (strchr("]P^_X", byte) && byte != 0)
        clean->state = STRING;
    else if (byte >= 0x20 && byte <= 0x2f)
        clean->state = ESCAPE_MORE;
    else
        clean->state = TEXT;
    if (byte == 'c') /* a full reset clears the screen */
        break_line(clean, out);
}

static void take_csi(SteadClean *clean, guint8 byte, GString *out)
{
    if (byte >= 0x40 && byte <= 0x7e) {
        end_csi(clean, (char)byte, out);
    } else if (byte >= 0x20 && byte <= 0x3f) {
        if (clean->kept < sizeof clean->held)
            clean->held[clean->kept++] = (char)byte;
        if (byte < 0x30 || byte > 0x3b) /* a private or intermediate byte: no SGR */
            clean->kept = sizeof clean->held;
    } else {
        clean->state = TEXT;
        take_text(clean, byte, out);
    }
}

static void take_string(SteadClean *clean, guint8 byte, GString *out)
{
    if (byte == ESC) {
        clean->state = STRING_ESCAPE;
    } else if (byte == 0x07 || byte == 0x18 || byte == 0x1a) {
        clean->state = TEXT;
    } else if (byte == '\n') {
        clean->state = TEXT;
        take_text(clean, byte, out);
    }
}

static void take(SteadClean *clean, guint8 byte, GString *out)
{
    switch (clean->state) {
    case TEXT:
        take_text(clean, byte, out);
        break;
    case UTF8:
        take_utf8(clean, byte, out);
        break;
    case ESCAPE:
        take_escape(clean, byte, out);
        break;
    case ESCAPE_MORE:
        if (byte < 0x20 || byte > 0x2f)
            clean->state = TEXT;
        break;
    case CSI:
        take_csi(clean, byte, out);
        break;
    case STRING:
        take_string(clean, byte, out);
        break;
    default: /* STRING_ESCAPE: the string's end, or another sequence */
        clean->state = TEXT;
        if (byte != '\\')
            take_escape(clean, byte, out);
        break;
    }
}

void stead_clean_feed(SteadClean *clean, const void *bytes, gsize n, GString *out)
{
    const guint8 *from = bytes;
    for (gsize i = 0; i < n; i++)
        take(clean, from[i], out);
}
