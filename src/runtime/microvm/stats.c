/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine uses: of its processes from /proc, of its interfaces from their taps, of its disks
 * and its balloon from itself, and of its memory from the guest. Neither has to answer: what they
 * do not say in time is not known.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/detached.h"
#include "base/error.h"
#include "net/tap.h"
#include "runtime/json_member.h"
#include "runtime/microvm/internal.h"

#define NICS_MAX 16
#define PROCESSES_MAX 4
/* For all questions together. */
#define PATIENCE (500 * G_TIME_SPAN_MILLISECOND)

static void read_one(int pid, SteadStats *stats)
{
    unsigned long long user = 0, kernel = 0;
    g_autofree char *stat_path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *rollup_path = g_strdup_printf("/proc/%d/smaps_rollup", pid);
    g_autofree char *stat = NULL, *rollup = NULL;
    if (g_file_get_contents(stat_path, &stat, NULL, NULL)) {
        const char *rest = strrchr(stat, ')');
        if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                           &user, &kernel) == 2)
            stats->cpu_ns +=
                (user + kernel) * (G_GUINT64_CONSTANT(1000000000) / (guint64)sysconf(_SC_CLK_TCK));
    }
    /* Its own: what it shares with others that go on from the same template is not counted. */
    if (g_file_get_contents(rollup_path, &rollup, NULL, NULL)) {
        const char *line = strstr(rollup, "\nAnonymous:");
        if (line)
            stats->memory_resident += g_ascii_strtoull(line + 11, NULL, 10) * 1024;
    }
}

/* An engine that jails itself leaves its guest to a child. */
static void read_processes(int pid, SteadStats *stats)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", pid, pid);
    g_autofree char *children = NULL;
    read_one(pid, stats);
    if (!g_file_get_contents(path, &children, NULL, NULL))
        return;
    g_auto(GStrv) pids = g_strsplit(g_strstrip(children), " ", PROCESSES_MAX);
    for (guint i = 0; pids[i] && *pids[i]; i++)
        read_one((int)g_ascii_strtoll(pids[i], NULL, 10), stats);
}

/* *answer is NULL when it refuses, which is an answer too. */
static gboolean ask(SteadMonitor *monitor, const char *what, gint64 deadline, JsonNode **answer,
                    GError **error)
{
    gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
    const SteadQmpCommand command = {.name = what, .fd = -1, .timeout_ms = (guint64)MAX(1, left)};
    g_autoptr(GError) why = NULL;
    *answer = stead_qmp_ask(monitor->qmp, &command, &why);
    if (*answer || g_error_matches(why, STEAD_ERROR, STEAD_ERROR_INTERNAL))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean read_disks(SteadMonitor *monitor, SteadStats *stats, gint64 deadline,
                           GError **error)
{
    g_autoptr(JsonNode) answer = NULL;
    if (!ask(monitor, "query-blockstats", deadline, &answer, error))
        return FALSE;
    JsonArray *array = stead_json_array(answer);
    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonObject *disk = stead_json_object(json_array_get_element(array, i));
        JsonObject *counts = stead_json_object_in(disk, "stats");
        stats->disk_read += stead_json_count_in(counts, "rd_bytes");
        stats->disk_written += stead_json_count_in(counts, "wr_bytes");
    }
    return TRUE;
}

static gboolean read_balloon(SteadMonitor *monitor, SteadStats *stats, gint64 deadline,
                             GError **error)
{
    g_autoptr(JsonNode) answer = NULL;
    if (!ask(monitor, "query-balloon", deadline, &answer, error))
        return FALSE;
    stats->memory_max = stead_json_count_in(stead_json_object(answer), "actual");
    return TRUE;
}

static gboolean read_guest(SteadMonitor *monitor, SteadStats *stats, gint64 deadline)
{
    GuestMemory memory = {0};
    g_autoptr(GBytes) answer = stead_agent_is_ready(monitor->agent)
                                   ? stead_agent_ask(monitor->agent, GUEST_MEMORY, NULL, 0,
                                                     GUEST_MEMORY_REPLY, deadline, NULL, NULL)
                                   : NULL;
    if (answer) {
        gsize length;
        g_autofree guint8 *bytes = g_bytes_unref_to_data(g_steal_pointer(&answer), &length);
        GuestFields fields = guest_fields_reader(bytes, length);
        guest_memory_fields(&fields, &memory);
        if (guest_fields_end(&fields) != 0)
            memory = (GuestMemory){0};
    }
    gboolean believable = memory.total > 0 && memory.available <= memory.total &&
                          memory.total <= MAX(stats->memory_max, memory.total);
    stats->memory_used = believable ? memory.total - memory.available : 0;
    return believable;
}

/* FALSE when the engine has hung up. Of one that does not answer, what the host knows is all. */
static gboolean ask_around(SteadMonitor *monitor, SteadStats *stats, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE;
    g_autoptr(GError) why = NULL;
    if (!read_disks(monitor, stats, deadline, &why) ||
        !read_balloon(monitor, stats, deadline, &why)) {
        stats->silent = STEAD_SILENT_ENGINE;
        if (!g_error_matches(why, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    stats->silent = read_guest(monitor, stats, deadline) ? STEAD_SILENT_NOBODY : STEAD_SILENT_GUEST;
    return TRUE;
}

gboolean stead_microvm_stats(gpointer self, const char *id, SteadStats *stats, GError **error)
{
    memset(stats, 0, sizeof *stats);
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, NULL, error);
    if (monitor == NULL)
        return FALSE;
    g_autofree char *record = stead_microvm_path(self, id, "engine.pid");
    int pid = stead_detached_pid(record, NULL);
    if (pid > 0)
        read_processes(pid, stats);
    if (!ask_around(monitor, stats, error))
        return FALSE;
    guint64 sent, received;
    for (guint i = 0; i < NICS_MAX && stead_tap_count(id, i, &sent, &received); i++) {
        stats->net_sent += sent;
        stats->net_received += received;
    }
    return TRUE;
}

gboolean stead_microvm_balloon(gpointer self, const char *id, guint64 size, GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, NULL, error);
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "value", (gint64)MIN(size, G_MAXINT64));
    if (monitor)
        return stead_qmp_do(monitor->qmp, "balloon", arguments, -1, error);
    json_object_unref(arguments);
    return FALSE;
}
