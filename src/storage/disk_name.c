/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of volumes: NAME-ID[-diskN][.LAYER][.qcow2]. A NAME may itself end in something that looks
 * like an id, so a volume counts as an orphan only if none of its parts is known: when in doubt,
 * data stays.
 */
#include "storage/disk_name.h"

#include <string.h>

char *stead_disk_stem(const char *name, const char *id, guint n)
{
    return n == 0 ? g_strdup_printf("%s-%.*s", name, STEAD_DISK_ID_DIGITS, id)
                  : g_strdup_printf("%s-%.*s-disk%u", name, STEAD_DISK_ID_DIGITS, id, n);
}

static gboolean ends_part(char c)
{
    return c == '\0' || c == '.' || c == '-';
}

/* "-disk1" and nothing else may follow a stem by '-', since NAME-ID may begin another's name. */
static gboolean is_disk_part(const char *rest)
{
    if (!g_str_has_prefix(rest, "-disk") || !g_ascii_isdigit(rest[5]))
        return FALSE;
    for (rest += 5; g_ascii_isdigit(*rest); rest++)
        ;
    return *rest == '\0' || *rest == '.';
}

gboolean stead_disk_name_is_of(const char *volume, const char *name, const char *id)
{
    g_autofree char *stem = stead_disk_stem(name, id, 0);
    if (!g_str_has_prefix(volume, stem))
        return FALSE;
    const char *rest = volume + strlen(stem);
    return *rest == '\0' || *rest == '.' || is_disk_part(rest);
}

static gboolean is_id(const char *text)
{
    for (guint i = 0; i < STEAD_DISK_ID_DIGITS; i++)
        if (!g_ascii_isxdigit(text[i]) || g_ascii_isupper(text[i]))
            return FALSE;
    return ends_part(text[STEAD_DISK_ID_DIGITS]);
}

gboolean stead_disk_name_is_orphan(const char *volume, GHashTable *known)
{
    gboolean has_id = FALSE;
    for (const char *dash = strchr(volume, '-'); dash; dash = strchr(dash + 1, '-')) {
        if (dash == volume || !is_id(dash + 1))
            continue;
        g_autofree char *id = g_strndup(dash + 1, STEAD_DISK_ID_DIGITS);
        if (g_hash_table_contains(known, id))
            return FALSE;
        has_id = TRUE;
    }
    return has_id;
}
