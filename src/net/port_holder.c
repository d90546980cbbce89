/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a port to a process, as ss -p does it: the socket's inode from /proc/net, then the process
 * that has a descriptor of that inode. Best effort: it only makes a message better.
 */
#include "net/port_holder.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The states in which a socket waits for peers: TCP_LISTEN; TCP_CLOSE, which is UDP unconnected. */
static const guint waiting_states[] = {
    [STEAD_PROTOCOL_TCP] = 0x0a,
    [STEAD_PROTOCOL_UDP] = 0x07,
};
G_STATIC_ASSERT(G_N_ELEMENTS(waiting_states) == STEAD_N_PROTOCOLS);

static const char *const tables[][2] = {
    [STEAD_PROTOCOL_TCP] = {"/proc/net/tcp", "/proc/net/tcp6"},
    [STEAD_PROTOCOL_UDP] = {"/proc/net/udp", "/proc/net/udp6"},
};
G_STATIC_ASSERT(G_N_ELEMENTS(tables) == STEAD_N_PROTOCOLS);

/* The address is the last 32 bits: of an IPv6 socket, those of an IPv4-mapped address. */
static gboolean address_of(const char *hex, guint32 *address)
{
    gsize n = strlen(hex);
    if (n != 8 && n != 32)
        return FALSE;
    *address = ntohl((guint32)g_ascii_strtoull(hex + n - 8, NULL, 16));
    return TRUE;
}

guint64 stead_port_find_inode(const char *table, SteadProtocol protocol, guint32 address,
                              guint port)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        char local[33];
        guint local_port, state;
        guint32 has;
        unsigned long long inode;
        if (sscanf(lines[i],
                   " %*u: %32[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*x %2x %*x:%*x %*x:%*x %*x %*u %*u "
                   "%llu",
                   local, &local_port, &state, &inode) != 4)
            continue;
        if (local_port == port && state == waiting_states[protocol] && address_of(local, &has) &&
            (has == 0 || address == 0 || has == address))
            return inode;
    }
    return 0;
}

static gboolean has_descriptor(const char *pid, const char *target)
{
    g_autofree char *path = g_build_filename("/proc", pid, "fd", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        char link[64];
        g_autofree char *file = g_build_filename(path, name, NULL);
        ssize_t n = readlink(file, link, sizeof link - 1);
        if (n <= 0)
            continue;
        link[n] = '\0';
        if (strcmp(link, target) == 0)
            return TRUE;
    }
    return FALSE;
}

static char *describe(const char *pid)
{
    g_autofree char *path = g_build_filename("/proc", pid, "comm", NULL);
    g_autofree char *comm = NULL;
    if (!g_file_get_contents(path, &comm, NULL, NULL))
        return NULL;
    g_autofree char *clean = g_utf8_make_valid(g_strchomp(comm), -1);
    return g_strdup_printf("process %s (pid %s)", clean, pid);
}

char *stead_port_holder(SteadProtocol protocol, guint32 address, guint port)
{
    guint64 inode = 0;
    for (guint i = 0; i < 2 && inode == 0; i++) {
        g_autofree char *table = NULL;
        if (g_file_get_contents(tables[protocol][i], &table, NULL, NULL))
            inode = stead_port_find_inode(table, protocol, address, port);
    }
    if (inode == 0)
        return NULL;
    g_autofree char *target = g_strdup_printf("socket:[%" G_GUINT64_FORMAT "]", inode);
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    for (const char *name; proc && (name = g_dir_read_name(proc));)
        if (g_ascii_isdigit(name[0]) && has_descriptor(name, target))
            return describe(name);
    return NULL;
}
