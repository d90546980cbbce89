/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes and durations. Numbers are read digit by digit with overflow checks; a fraction is taken
 * exactly (numerator over a power of ten), never through floating point, so that "0.1G" cannot
 * mean different sizes on different days.
 */
#include "base/units.h"

#include <string.h>

#include "base/error.h"

#define MAX_DURATION_MS (G_GUINT64_CONSTANT(3653) * 24 * 3600 * 1000)

/* Reads digits, with at most 9 after a dot: value = whole + part / scale. */
static gboolean read_number(const char **at, guint64 *whole, guint64 *part, guint64 *scale)
{
    const char *p = *at;
    *whole = *part = 0;
    *scale = 1;
    if (!g_ascii_isdigit(*p))
        return FALSE;
    for (; g_ascii_isdigit(*p); p++)
        if (!g_uint64_checked_mul(whole, *whole, 10) ||
            !g_uint64_checked_add(whole, *whole, (guint64)(*p - '0')))
            return FALSE;
    if (*p == '.') {
        if (!g_ascii_isdigit(*++p))
            return FALSE;
        for (; g_ascii_isdigit(*p); p++) {
            if (*scale >= G_GUINT64_CONSTANT(1000000000))
                return FALSE;
            *part = *part * 10 + (guint64)(*p - '0');
            *scale *= 10;
        }
    }
    *at = p;
    return TRUE;
}

/* (whole + part / scale) * unit, where that is a whole number that fits. */
static gboolean scale_number(guint64 whole, guint64 part, guint64 scale, guint64 unit,
                             guint64 *result)
{
    guint64 fraction;
    if (!g_uint64_checked_mul(result, whole, unit) || !g_uint64_checked_mul(&fraction, part, unit))
        return FALSE;
    return g_uint64_checked_add(result, *result, fraction / scale);
}

static const char size_suffixes[] = "KMGTP";

static gboolean read_size_suffix(const char *p, guint64 *unit)
{
    *unit = 1;
    const char *found = *p ? strchr(size_suffixes, g_ascii_toupper(*p)) : NULL;
    if (found) {
        *unit = G_GUINT64_CONSTANT(1) << (10 * (found - size_suffixes + 1));
        p++;
        if (*p == 'i' || *p == 'I')
            p++;
    }
    if (*p == 'b' || *p == 'B')
        p++;
    return *p == '\0';
}

gboolean stead_parse_size(const char *text, guint64 *bytes, GError **error)
{
    const char *p = text;
    guint64 whole, part, scale, unit;
    gboolean read = read_number(&p, &whole, &part, &scale);
    while (read && *p == ' ')
        p++;
    if (!read || !read_size_suffix(p, &unit) || !scale_number(whole, part, scale, unit, bytes) ||
        *bytes > G_MAXINT64) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "'%.64s' is not a size; write it like 512M, 20G or 1.5G", text);
        return FALSE;
    }
    return TRUE;
}

typedef struct {
    const char *suffix;
    guint64 ms;
} DurationUnit;

/* Longest first where one is the beginning of another. */
static const DurationUnit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000},
};

static gboolean read_duration_unit(const char **at, guint64 *unit)
{
    for (gsize i = 0; i < G_N_ELEMENTS(duration_units); i++)
        if (g_str_has_prefix(*at, duration_units[i].suffix)) {
            *at += strlen(duration_units[i].suffix);
            *unit = duration_units[i].ms;
            return TRUE;
        }
    *unit = 1000;
    return **at == '\0';
}

static gboolean read_duration(const char *p, guint64 *total)
{
    *total = 0;
    do {
        guint64 whole, part, scale, unit, ms;
        if (!read_number(&p, &whole, &part, &scale) || !read_duration_unit(&p, &unit) ||
            !scale_number(whole, part, scale, unit, &ms) ||
            !g_uint64_checked_add(total, *total, ms) || *total > MAX_DURATION_MS)
            return FALSE;
    } while (*p != '\0');
    return TRUE;
}

gboolean stead_parse_duration(const char *text, guint64 *milliseconds, GError **error)
{
    if (read_duration(text, milliseconds))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                    "'%.64s' is not a duration; write it like 90s, 5m or 1h30m", text);
    return FALSE;
}

char *stead_format_size(guint64 bytes)
{
    int power = 0;
    while (power < 5 && bytes >> (10 * (power + 1)) > 0)
        power++;
    if (power == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
    double value = (double)bytes / (double)(G_GUINT64_CONSTANT(1) << (10 * power));
    gboolean whole = bytes % (G_GUINT64_CONSTANT(1) << (10 * power)) == 0;
    return g_strdup_printf(whole || value >= 100 ? "%.0f %ciB" : "%.1f %ciB", value,
                           size_suffixes[power - 1]);
}

char *stead_format_size_exact(guint64 bytes)
{
    int power = 0;
    while (bytes > 0 && power < 5 && bytes % (G_GUINT64_CONSTANT(1) << (10 * (power + 1))) == 0)
        power++;
    if (power == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
    return g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes >> (10 * power),
                           size_suffixes[power - 1]);
}

char *stead_format_duration(guint64 ms)
{
    guint64 s = ms / 1000;
    if (ms < 1000)
        return g_strdup_printf("%" G_GUINT64_FORMAT "ms", ms);
    if (s < 60)
        return g_strdup_printf("%" G_GUINT64_FORMAT "s", s);
    if (s < 3600)
        return g_strdup_printf("%" G_GUINT64_FORMAT "m%02" G_GUINT64_FORMAT "s", s / 60, s % 60);
    if (s < 48 * 3600)
        return g_strdup_printf("%" G_GUINT64_FORMAT "h%02" G_GUINT64_FORMAT "m", s / 3600,
                               s / 60 % 60);
    return g_strdup_printf("%" G_GUINT64_FORMAT "d", s / 86400);
}

char *stead_format_duration_exact(guint64 ms)
{
    if (ms == 0)
        return g_strdup("0s");
    GString *text = g_string_new(NULL);
    for (gsize i = G_N_ELEMENTS(duration_units); i-- > 0;) {
        guint64 n = ms / duration_units[i].ms;
        if (n > 0)
            g_string_append_printf(text, "%" G_GUINT64_FORMAT "%s", n, duration_units[i].suffix);
        ms %= duration_units[i].ms;
    }
    return g_string_free(text, FALSE);
}
