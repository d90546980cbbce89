/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much there is: disk, memory, open files. The state folder need not exist yet; what counts
 * is then the nearest folder above it that does.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/units.h"
#include "host/requirements.h"

#define GIB (1024ULL * 1024 * 1024)
#define DISK_LEAST (2 * GIB)
#define DISK_GOOD (10 * GIB)
#define MEMORY_LEAST (GIB / 2)
#define MEMORY_GOOD (2 * GIB)
#define DESCRIPTORS_GOOD 4096
#define MAGIC_TMPFS 0x01021994
#define MAGIC_RAMFS 0x858458f6

static char *nearest_folder(const char *path)
{
    char *folder = g_strdup(path);
    while (!g_file_test(folder, G_FILE_TEST_EXISTS) && strcmp(folder, "/") != 0) {
        char *parent = g_path_get_dirname(folder);
        g_free(folder);
        folder = parent;
    }
    return folder;
}

static gboolean is_in_memory(const char *folder)
{
    struct statfs info;
    return statfs(folder, &info) == 0 &&
           ((guint)info.f_type == MAGIC_TMPFS || (guint)info.f_type == MAGIC_RAMFS);
}

void stead_check_state_folder(const SteadRequirement *requirement, const SteadCheckContext *context,
                              SteadCheckResult *result)
{
    const char *state = context->paths->state;
    g_autofree char *folder = nearest_folder(state);
    static const char *const mend =
        "Set STEAD_ROOT to a folder on a disk that the daemon can write to.";
    if (!g_file_test(folder, G_FILE_TEST_IS_DIR))
        stead_check_answer(result, requirement->lacking, mend, "%s is not a folder", folder);
    else if (access(folder, W_OK | X_OK) < 0)
        stead_check_answer(result, requirement->lacking, mend, "%s: %s", folder, g_strerror(errno));
    else if (is_in_memory(folder))
        stead_check_answer(result, STEAD_CHECK_WARN, mend,
                           "%s lies in memory: nothing outlives a reboot", state);
    else
        stead_check_well(result, "%s", state);
}

void stead_check_disk_space(const SteadRequirement *requirement, const SteadCheckContext *context,
                            SteadCheckResult *result)
{
    g_autofree char *folder = nearest_folder(context->paths->state);
    static const char *const mend =
        "Free some (stead image ls; stead image rm NAME), or set STEAD_ROOT to a folder on a "
        "larger disk.";
    struct statvfs info;
    if (statvfs(folder, &info) < 0) {
        stead_check_answer(result, requirement->lacking, mend, "%s: %s", folder, g_strerror(errno));
        return;
    }
    guint64 free_bytes = (guint64)info.f_bavail * info.f_frsize;
    SteadCheckStatus status = stead_check_level(free_bytes, DISK_LEAST, DISK_GOOD);
    g_autofree char *size = stead_format_size(free_bytes);
    stead_check_answer(result, status, mend, "%s at %s", size, context->paths->state);
}

guint64 stead_check_parse_available(const char *meminfo)
{
    const char *line = strstr(meminfo, "MemAvailable:");
    guint64 kib = line ? g_ascii_strtoull(line + strlen("MemAvailable:"), NULL, 10) : 0;
    return kib > G_MAXUINT64 / 1024 ? 0 : kib * 1024;
}

void stead_check_memory(const SteadRequirement *requirement, const SteadCheckContext *context,
                        SteadCheckResult *result)
{
    g_autofree char *meminfo = stead_check_read(context, "/proc/meminfo");
    guint64 available = meminfo ? stead_check_parse_available(meminfo) : 0;
    if (available == 0) {
        stead_check_answer(result, STEAD_CHECK_WARN, "Mount /proc where the daemon runs.",
                           "the kernel does not tell");
        return;
    }
    SteadCheckStatus status = stead_check_level(available, MEMORY_LEAST, MEMORY_GOOD);
    g_autofree char *size = stead_format_size(available);
    stead_check_answer(result, status,
                       "Stop what you do not need, or give instances less with `memory`.", "%s",
                       size);
}

void stead_check_descriptors(const SteadRequirement *requirement, const SteadCheckContext *context,
                             SteadCheckResult *result)
{
    static const char *const mend =
        "Raise LimitNOFILE of the service, or `ulimit -Hn` of the session.";
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        stead_check_answer(result, requirement->lacking, mend, "%s", g_strerror(errno));
    else if (limit.rlim_max < DESCRIPTORS_GOOD)
        stead_check_answer(result, requirement->lacking, mend, "at most %lu",
                           (gulong)limit.rlim_max);
    else
        stead_check_well(result, "up to %lu", (gulong)limit.rlim_max);
}
