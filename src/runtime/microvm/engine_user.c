/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers without accounts. systemd's list of who hands out which (UIDS-GIDS) leaves 1879048192 to
 * 2147352575 to nobody; directories that sssd maps by its defaults end at 2000200000. What is left
 * is room for 134 million: that two of a thousand instances get the same number happens once in
 * some 270 hosts, and then the two stand to each other as all did that shared one user. No record
 * says who has which, so none can be wrong.
 */
#include "runtime/microvm/engine_user.h"

#include <pwd.h>
#include <stdio.h>

#define FIRST 2013265920U
#define LAST 2147352575U
#define SHARED_USER "libvirt-qemu"
#define NOBODY_ID 65534
#define DIGITS 15 /* of a hash, as hexadecimal: what fits into a number */

guint32 stead_engine_user_number(const char *id)
{
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, id, -1);
    hash[DIGITS] = '\0';
    return FIRST + (guint32)(g_ascii_strtoull(hash, NULL, 16) % (LAST - FIRST + 1));
}

gboolean stead_engine_user_is_mapped(const char *map, guint32 number)
{
    g_auto(GStrv) lines = g_strsplit(map, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        guint32 inside, outside, count;
        if (sscanf(lines[i], "%u %u %u", &inside, &outside, &count) == 3 && number >= inside &&
            number - inside < count)
            return TRUE;
    }
    return FALSE;
}

static gboolean has_number(const char *path, guint32 number)
{
    g_autofree char *map = NULL;
    return g_file_get_contents(path, &map, NULL, NULL) && stead_engine_user_is_mapped(map, number);
}

static SteadEngineUser shared_user(void)
{
    char buffer[1024];
    struct passwd entry, *found = NULL;
    if (getpwnam_r(SHARED_USER, &entry, buffer, sizeof buffer, &found) == 0 && found)
        return (SteadEngineUser){.uid = found->pw_uid, .gid = found->pw_gid};
    return (SteadEngineUser){.uid = NOBODY_ID, .gid = NOBODY_ID};
}

SteadEngineUser stead_engine_user(const SteadEngineProgram *program, const char *id)
{
    guint32 number = stead_engine_user_number(id);
    if (program->jails_itself && has_number("/proc/self/uid_map", number) &&
        has_number("/proc/self/gid_map", number))
        return (SteadEngineUser){.uid = number, .gid = number};
    return shared_user();
}
