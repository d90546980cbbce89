/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cleaner is a small state machine over bytes for escape sequences (ECMA-48: ESC, CSI, and
 * the strings OSC, DCS, APC, PM, SOS that end with BEL or ST), with UTF-8 characters passed whole
 * between them. A sequence that never ends swallows text but no more than MAX_SEQUENCE bytes.
 */
#include "cli/text.h"

#include <string.h>

#include "base/units.h"

/* The longest escape sequence that is taken for one. */
#define MAX_SEQUENCE 4096

/* state: one of these, plus for the latter two the length so far times 8. */
enum { PLAIN, ESCAPE, ESCAPE_MIDDLE, CSI, STRING, STRING_ESCAPE };

static int next_state(int state, guchar byte)
{
    switch (state) {
    case ESCAPE:
        if (byte == '[')
            return CSI;
        if (strchr("]PX^_", byte) != NULL && byte != '\0')
            return STRING;
        return byte >= 0x20 && byte <= 0x2f ? ESCAPE_MIDDLE : PLAIN;
    case ESCAPE_MIDDLE:
        return byte >= 0x20 && byte <= 0x2f ? ESCAPE_MIDDLE : PLAIN;
    case CSI:
        return byte >= 0x20 && byte <= 0x3f ? CSI : PLAIN;
    case STRING:
        return byte == '\a' ? PLAIN : byte == 0x1b ? STRING_ESCAPE : STRING;
    case STRING_ESCAPE:
        return byte == '\\' ? PLAIN : byte == 0x1b ? STRING_ESCAPE : STRING;
    default:
        return PLAIN;
    }
}

/* Private and intermediate bytes make a CSI sequence something else than SGR. */
static void take_parameter(SteadCleaner *cleaner, guchar byte)
{
    gboolean fits = cleaner->n_parameters < sizeof cleaner->parameters;
    if (fits && byte >= '0' && byte <= ';')
        cleaner->parameters[cleaner->n_parameters++] = (char)byte;
    else
        cleaner->n_parameters = sizeof cleaner->parameters;
}

static void put_colour(SteadCleaner *cleaner, GString *out)
{
    if (!cleaner->colours || cleaner->n_parameters == sizeof cleaner->parameters)
        return;
    g_string_append_printf(out, "\033[%.*sm", (int)cleaner->n_parameters, cleaner->parameters);
    guint n = cleaner->n_parameters;
    cleaner->coloured = n > 1 || (n == 1 && cleaner->parameters[0] != '0');
}

void stead_cleaner_finish(SteadCleaner *cleaner, GString *out)
{
    if (cleaner->coloured)
        g_string_append(out, "\033[0m");
    cleaner->coloured = FALSE;
}

/* Within a sequence: takes the byte in, and tells whether it was part of it. */
static gboolean step(SteadCleaner *cleaner, guchar byte, GString *out)
{
    int state = cleaner->state % 8, length = cleaner->state / 8 + 1;
    if (byte == '\n' || length > MAX_SEQUENCE) {
        cleaner->state = PLAIN;
        return FALSE;
    }
    int next = byte == 0x1b && state != STRING ? ESCAPE : next_state(state, byte);
    if (state == ESCAPE)
        cleaner->n_parameters = 0;
    else if (state == CSI && next == CSI)
        take_parameter(cleaner, byte);
    else if (state == CSI && byte == 'm')
        put_colour(cleaner, out);
    cleaner->state = next == PLAIN ? PLAIN : length * 8 + next;
    return TRUE;
}

static void put_character(SteadCleaner *cleaner, gunichar character, GString *out)
{
    gboolean control = (character < 0x20 && character != '\n' && character != '\t') ||
                       (character >= 0x7f && character < 0xa0);
    /* Marks that reorder text would let a guest disguise it. */
    gboolean reorders = (character >= 0x202a && character <= 0x202e) ||
                        (character >= 0x2066 && character <= 0x2069);
    if (character == '\n')
        stead_cleaner_finish(cleaner, out);
    if (!control && !reorders)
        g_string_append_unichar(out, character);
}

/* The bytes held back and this one: a whole character, its beginning, or garbage. */
static void put_byte(SteadCleaner *cleaner, char byte, GString *out)
{
    cleaner->partial[cleaner->n_partial++] = byte;
    gunichar character = g_utf8_get_char_validated(cleaner->partial, (gssize)cleaner->n_partial);
    if (character == (gunichar)-2 && cleaner->n_partial < sizeof cleaner->partial)
        return;
    guint held = cleaner->n_partial;
    cleaner->n_partial = 0;
    if (character != (gunichar)-1 && character != (gunichar)-2) {
        put_character(cleaner, character, out);
        return;
    }
    g_string_append_unichar(out, 0xfffd);
    /* The byte that broke the character may begin a good one. */
    if (held > 1)
        put_byte(cleaner, byte, out);
}

void stead_cleaner_feed(SteadCleaner *cleaner, const char *bytes, gsize length, GString *out)
{
    for (gsize i = 0; i < length; i++) {
        guchar byte = (guchar)bytes[i];
        if (cleaner->state != PLAIN && step(cleaner, byte, out))
            continue;
        if (byte == 0x1b && cleaner->n_partial == 0)
            cleaner->state = ESCAPE;
        else if (byte == '\0' && cleaner->n_partial == 0)
            continue;
        else
            put_byte(cleaner, bytes[i], out);
    }
}

/* Most texts are, and long tables are made of them. */
static gboolean is_printable_ascii(const char *text)
{
    while (*text >= 0x20 && *text < 0x7f)
        text++;
    return *text == '\0';
}

char *stead_clean_lines(const char *text)
{
    if (text != NULL && is_printable_ascii(text))
        return g_strdup(text);
    SteadCleaner cleaner = {0};
    GString *out = g_string_new(NULL);
    if (text != NULL)
        stead_cleaner_feed(&cleaner, text, strlen(text), out);
    return g_string_free(out, FALSE);
}

char *stead_clean(const char *text)
{
    return g_strdelimit(stead_clean_lines(text), "\n\t", ' ');
}

static guint character_width(gunichar character)
{
    if (g_unichar_iszerowidth(character))
        return 0;
    return g_unichar_iswide(character) ? 2 : 1;
}

guint stead_text_width(const char *text)
{
    if (is_printable_ascii(text))
        return (guint)strlen(text);
    guint width = 0;
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p))
        width += character_width(g_utf8_get_char(p));
    return width;
}

char *stead_text_fit(const char *text, guint columns)
{
    if (stead_text_width(text) <= columns)
        return g_strdup(text);
    guint width = 0;
    const char *p = text;
    while (*p != '\0') {
        guint next = character_width(g_utf8_get_char(p));
        if (width + next + 1 > columns)
            break;
        width += next;
        p = g_utf8_next_char(p);
    }
    g_autofree char *kept = g_strndup(text, (gsize)(p - text));
    return columns == 0 ? g_strdup("") : g_strconcat(kept, "…", NULL);
}

void stead_text_pad(GString *out, const char *text, guint columns)
{
    g_string_append(out, text);
    g_string_append_printf(out, "%*s", (int)columns - (int)MIN(stead_text_width(text), columns),
                           "");
}

static void wrap_line(GString *out, const char *line, guint indent, guint columns)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint at = 0;
    for (char **word = words; *word != NULL; word++) {
        guint width = stead_text_width(*word);
        if (at == 0 || indent + at + 1 + width > columns) {
            g_string_append_printf(out, "%s%*s%s", at > 0 ? "\n" : "", (int)indent, "", *word);
            at = width;
        } else {
            g_string_append_printf(out, " %s", *word);
            at += 1 + width;
        }
    }
    g_string_append_c(out, '\n');
}

void stead_text_wrap(GString *out, const char *text, guint indent, guint columns)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (**line == '\0')
            g_string_append_c(out, '\n');
        else if (**line == ' ')
            g_string_append_printf(out, "%*s%s\n", (int)indent, "", *line);
        else
            wrap_line(out, *line, indent, columns);
    }
}

char *stead_text_age(gint64 time, gint64 now)
{
    if (time <= 0)
        return g_strdup("-");
    gint64 seconds = MAX(now - time, 0) / G_USEC_PER_SEC;
    return seconds == 0 ? g_strdup("0s") : stead_format_duration((guint64)seconds * 1000);
}
