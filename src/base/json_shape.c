/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json-glib's parser calls itself for each level and makes a node of each value, so both are
 * counted before it sees the text: brackets and commas outside of strings. It also takes what is
 * not JSON, as comments, other quotes and octal escapes, by which it would not see the text that
 * was counted, or yield one that is not UTF-8; so only what JSON has may reach it.
 */
#include "base/json_shape.h"

#include <string.h>

/* What may stand outside of strings, and after a '\' in one (RFC 8259, sections 2 and 7). */
#define OUTSIDE " \t\r\n[]{}:,+-.0123456789Eaeflnrstu"
#define ESCAPES "\"\\/bfnrtu"
#define UNIT_LENGTH 6 /* \uXXXX */

static gboolean is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* The UTF-16 unit of the \uXXXX at `at`; -1 when there is none. */
static int read_unit(const char *at, gsize left)
{
    int unit = 0;
    if (left < UNIT_LENGTH || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < UNIT_LENGTH; i++) {
        if (!g_ascii_isxdigit(at[i]))
            return -1;
        unit = unit << 4 | g_ascii_xdigit_value(at[i]);
    }
    return unit;
}

/* How long the escape at `at` is; 0 when it is none of JSON's, or stands for no character: a NUL,
 * at which the parser would end the text, or half of a surrogate pair. */
static gsize escape_length(const char *at, gsize left)
{
    if (left < 2 || !is_one_of(at[1], ESCAPES))
        return 0;
    if (at[1] != 'u')
        return 2;
    int unit = read_unit(at, left);
    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return 0;
    if (unit < 0xd800 || unit > 0xdfff)
        return UNIT_LENGTH;
    int second = read_unit(at + UNIT_LENGTH, left - UNIT_LENGTH);
    return second >= 0xdc00 && second <= 0xdfff ? 2 * (gsize)UNIT_LENGTH : 0;
}

/* The end of the string that begins at text[i]: its closing quote, or `length`. FALSE when what is
 * in it cannot be in a string of JSON. */
static gboolean skip_string(const char *text, gsize length, gsize *i)
{
    for ((*i)++; *i < length && text[*i] != '"';) {
        gsize n = text[*i] == '\\' ? escape_length(text + *i, length - *i) : 1;
        if (n == 0)
            return FALSE;
        *i += n;
    }
    return TRUE;
}

const char *stead_json_refuses(const char *text, gsize length, guint max_depth, guint max_values)
{
    guint depth = 0, deepest = 0, values = 0;
    gboolean is_json = TRUE;
    for (gsize i = 0; i < length && is_json; i++) {
        char c = text[i];
        if (c == '"') {
            is_json = skip_string(text, length, &i);
            continue;
        }
        is_json = is_one_of(c, OUTSIDE);
        values += c == ',' || c == '[' || c == '{';
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth > 0;
        deepest = MAX(deepest, depth);
    }
    if (!is_json)
        return "is not JSON, or has a NUL or half a character in a text";
    return deepest > max_depth || values > max_values ? "has too many levels or values" : NULL;
}
