/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process may end between two looks at it. Then its files are gone (ENOENT), or are there and
 * cannot be read any more (ESRCH); whatever else fails is a failure of ours.
 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define STAT_MAX 1024
#define COMMAND_MAX 4096
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

static void fail(GError **error, const char *doing, const char *what)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, what,
                g_strerror(saved));
}

static gboolean is_gone(int failure)
{
    return failure == ENOENT || failure == ESRCH;
}

/* At most `size` bytes of a file; -1 with errno. */
static gssize read_file(const char *path, char *bytes, gsize size)
{
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    gsize used = 0;
    while (fd >= 0 && used < size) {
        ssize_t n = read(fd, bytes + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (gsize)n;
    }
    return fd < 0 ? -1 : (gssize)used;
}

/* -1 with an error, or without one when the process is gone. */
static gssize read_of(int pid, const char *name, char *bytes, gsize size, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, name);
    gssize n = read_file(path, bytes, size);
    if (n < 0 && !is_gone(errno))
        fail(error, "reading", path);
    return n;
}

/* The name in the second field may hold anything, so the rest is read from its last ')'. */
gboolean stead_proc_parse(const char *text, SteadProcStat *stat)
{
    const char *rest = strrchr(text, ')');
    unsigned long long start;
    if (rest == NULL || sscanf(text, "%d", &stat->pid) != 1 || stat->pid <= 1)
        return FALSE;
    if (sscanf(rest + 1,
               " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &stat->state, &stat->group, &start) != 3)
        return FALSE;
    stat->start = start;
    return TRUE;
}

gboolean stead_proc_read(int pid, SteadProcStat *stat, GError **error)
{
    char text[STAT_MAX];
    gssize n = read_of(pid, "stat", text, sizeof text - 1, error);
    text[MAX(0, n)] = '\0';
    return n > 0 && stead_proc_parse(text, stat) && stat->state != 'Z' && stat->state != 'X';
}

char *stead_proc_command(int pid, GError **error)
{
    g_autofree char *text = g_malloc(COMMAND_MAX + 1);
    gssize n = read_of(pid, "cmdline", text, COMMAND_MAX + 1, error);
    if (n <= 0 || n > COMMAND_MAX)
        return NULL;
    text[n] = '\0';
    for (gssize i = 0; i + 1 < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    return g_steal_pointer(&text);
}

int stead_proc_open(int pid, GError **error)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    g_autofree char *what = g_strdup_printf("%d", pid);
    if (fd < 0 && !is_gone(errno))
        fail(error, "watching the process", what);
    return fd;
}

char *stead_proc_boot(GError **error)
{
    char text[64];
    gssize n = read_file(BOOT_ID_FILE, text, sizeof text - 1);
    if (n <= 0) {
        fail(error, "reading", BOOT_ID_FILE);
        return NULL;
    }
    text[n] = '\0';
    return g_strdup(g_strchomp(text));
}
