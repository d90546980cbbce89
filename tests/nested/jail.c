/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc on both processes of a monitor: the jailed one, and the one outside that waits for it.
 * Every thread has a user, capabilities and a filter of its own, so each is looked at.
 */
#include "jail.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define USER "65534"
#define FILES_OUTSIDE 4 /* the standard ones, and one to wait at */
#define DATA_BEYOND (256ULL << 20)
#define THREADS_MIN 4 /* of a guest with two vCPUs and a disk */

/* --- what a thread may do --- */

/* Lines of a thread's status, whole. */
static const char *const STATUS[] = {
    "Uid:\t" USER "\t" USER "\t" USER "\t" USER,
    "Gid:\t" USER "\t" USER "\t" USER "\t" USER,
    "Groups:\t ",
    "CapInh:\t0000000000000000",
    "CapPrm:\t0000000000000000",
    "CapEff:\t0000000000000000",
    "CapBnd:\t0000000000000000",
    "CapAmb:\t0000000000000000",
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
};

static char *read_text(const char *path)
{
    static char text[8192];
    FILE *file = fopen(path, "re");
    EXPECT(file, "%s: %s", path, strerror(errno));
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    return text;
}

static void expect_line(const char *text, const char *line, const char *path)
{
    char wanted[128];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    EXPECT(strstr(text, wanted), "%s has no '%s'", path, line);
}

/* The number of its threads. */
static int check_threads(pid_t pid)
{
    char path[PATH_MAX], folder[32];
    int n = 0;
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(folder);
    EXPECT(tasks, "%s: %s", folder, strerror(errno));
    for (const struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/status", folder, task->d_name);
        const char *text = read_text(path);
        for (size_t i = 0; i < sizeof STATUS / sizeof *STATUS; i++)
            expect_line(text, STATUS[i], path);
        n++;
    }
    closedir(tasks);
    return n;
}

/* --- what the process sees --- */

static void check_namespaces(pid_t pid)
{
    static const char *const names[] = {"mnt", "pid", "ipc", "uts", "net"};
    char path[64], ours[64], its[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        ssize_t n = readlink(path, ours, sizeof ours);
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, names[i]);
        ssize_t m = readlink(path, its, sizeof its);
        EXPECT(n > 0 && m > 0, "%s: %s", path, strerror(errno));
        EXPECT(n != m || memcmp(ours, its, (size_t)n) != 0, "it is in the host's %s namespace",
               names[i]);
    }
}

/* Two numbers: the host's, and the first in its own. */
static void check_pid(pid_t pid)
{
    char path[32], line[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    snprintf(line, sizeof line, "NSpid:\t%d\t1", (int)pid);
    expect_line(read_text(path), line, path);
}

static void check_root(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
    DIR *root = opendir(path);
    EXPECT(root, "%s: %s", path, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(root));)
        EXPECT(entry->d_name[0] == '.', "it sees %s", entry->d_name);
    closedir(root);
    snprintf(path, sizeof path, "/proc/%d/root/new", (int)pid);
    FILE *file = fopen(path, "we");
    EXPECT(file == NULL && errno == EROFS, "its root takes files");
}

/* --- what it may take --- */

static void check_limit(const char *text, const char *name, unsigned long long wanted)
{
    unsigned long long soft, hard;
    const char *found = strstr(text, name);
    EXPECT(found, "no limit '%s'", name);
    EXPECT(sscanf(found + strlen(name), "%llu %llu", &soft, &hard) == 2 && soft == wanted &&
               hard == wanted,
           "not %llu: %.60s", wanted, found);
}

static void check_limits(pid_t pid, uint64_t memory_size)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    const char *text = read_text(path);
    check_limit(text, "Max core file size", 0);
    check_limit(text, "Max open files", 512);
    check_limit(text, "Max data size", memory_size + DATA_BEYOND);
}

static void check_files_outside(pid_t pid)
{
    char path[32];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *files = opendir(path);
    EXPECT(files, "%s: %s", path, strerror(errno));
    for (const struct dirent *file; (file = readdir(files));)
        n += file->d_name[0] != '.';
    closedir(files);
    EXPECT(n <= FILES_OUTSIDE, "it keeps %d files", n);
}

void check_jail(const Machine *machine, uint64_t memory_size)
{
    EXPECT(machine->child != machine->pid, "there is one process");
    EXPECT(check_threads(machine->pid) >= THREADS_MIN, "too few threads were looked at");
    check_pid(machine->pid);
    check_namespaces(machine->pid);
    check_root(machine->pid);
    check_limits(machine->pid, memory_size);
    EXPECT(check_threads(machine->child) == 1, "the process outside has threads");
    check_limits(machine->child, memory_size);
    check_files_outside(machine->child);
}

/* --- memory --- */

/* Shares of what several have: what the two share counts once in their sum. */
static double memory_of(pid_t pid, const char *guests)
{
    char path[64], line[512];
    double sum = 0;
    bool is_guests = false;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *smaps = fopen(path, "re");
    EXPECT(smaps, "%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, smaps)) {
        double kib;
        if (strchr(line, '-') && strchr(line, ':') && line[0] != 'V' && strstr(line, " r"))
            is_guests = strstr(line, guests);
        if (!is_guests && sscanf(line, "Pss: %lf", &kib) == 1)
            sum += kib;
    }
    fclose(smaps);
    EXPECT(sum > 0, "%s has no memory", path);
    return sum;
}

double jail_memory(const Machine *machine, const char *guests)
{
    return memory_of(machine->pid, guests) + memory_of(machine->child, guests);
}
