/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of volumes: NAME-ID[-diskN][.LAYER][.qcow2]. A NAME has no '.', and what follows it always
 * ends in the id or in -diskN, so the id is found from the end, even where NAME itself ends in
 * something that looks like one.
 */
#include "storage/disk_name.h"

#include <string.h>

char *stead_disk_stem(const char *name, const char *id, guint n)
{
    return n == 0 ? g_strdup_printf("%s-%.*s", name, STEAD_DISK_ID_DIGITS, id)
                  : g_strdup_printf("%s-%.*s-disk%u", name, STEAD_DISK_ID_DIGITS, id, n);
}

/* Cuts "-diskN" off the end. */
static void cut_disk_number(char *stem)
{
    gsize n = strlen(stem);
    while (n > 0 && g_ascii_isdigit(stem[n - 1]))
        n--;
    if (stem[n] != '\0' && n > 5 && strncmp(stem + n - 5, "-disk", 5) == 0)
        stem[n - 5] = '\0';
}

static gboolean is_id(const char *text)
{
    return strlen(text) == STEAD_DISK_ID_DIGITS &&
           strspn(text, "0123456789abcdef") == STEAD_DISK_ID_DIGITS;
}

char *stead_disk_name_id(const char *volume)
{
    g_autofree char *stem = g_strndup(volume, strcspn(volume, "."));
    cut_disk_number(stem);
    const char *dash = strrchr(stem, '-');
    return dash && dash != stem && is_id(dash + 1) ? g_strdup(dash + 1) : NULL;
}

gboolean stead_disk_name_is_of(const char *volume, const char *id)
{
    g_autofree char *digits = stead_disk_name_id(volume);
    return digits && strncmp(digits, id, STEAD_DISK_ID_DIGITS) == 0;
}
