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

static JsonArray *array_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static JsonObject *object_in(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static guint64 number_in(JsonObject *object, const char *name)
{
    return object ? (guint64)MAX(0, json_object_get_int_member_with_default(object, name, 0)) : 0;
}

/* *answer is NULL when it refuses, which is an answer too. */
static gboolean ask_engine(SteadMonitor *monitor, const char *command, gint64 deadline,
                           JsonNode **answer)
{
    gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
    g_autoptr(GError) why = NULL;
    *answer = stead_qmp_ask(monitor->qmp, command, (guint64)MAX(0, left), &why);
    return *answer || g_error_matches(why, STEAD_ERROR, STEAD_ERROR_INTERNAL);
}

static gboolean read_disks(SteadMonitor *monitor, SteadStats *stats, gint64 deadline)
{
    g_autoptr(JsonNode) answer = NULL;
    gboolean answered = ask_engine(monitor, "query-blockstats", deadline, &answer);
    JsonArray *array = array_of(answer);
    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        JsonObject *counts =
            JSON_NODE_HOLDS_OBJECT(node) ? object_in(json_node_get_object(node), "stats") : NULL;
        stats->disk_read += number_in(counts, "rd_bytes");
        stats->disk_written += number_in(counts, "wr_bytes");
    }
    return answered;
}

static gboolean read_balloon(SteadMonitor *monitor, SteadStats *stats, gint64 deadline)
{
    g_autoptr(JsonNode) answer = NULL;
    gboolean answered = ask_engine(monitor, "query-balloon", deadline, &answer);
    if (answer && JSON_NODE_HOLDS_OBJECT(answer))
        stats->memory_max = number_in(json_node_get_object(answer), "actual");
    return answered;
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

static SteadSilence ask_around(SteadMonitor *monitor, SteadStats *stats)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE;
    if (!read_disks(monitor, stats, deadline) || !read_balloon(monitor, stats, deadline))
        return STEAD_SILENT_ENGINE;
    return read_guest(monitor, stats, deadline) ? STEAD_SILENT_NOBODY : STEAD_SILENT_GUEST;
}

gboolean stead_microvm_stats(gpointer self, const char *id, SteadStats *stats, GError **error)
{
    memset(stats, 0, sizeof *stats);
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, error);
    if (monitor == NULL)
        return FALSE;
    g_autofree char *record = stead_microvm_path(self, id, "engine.pid");
    read_processes(stead_detached_pid(record), stats);
    stats->silent = ask_around(monitor, stats);
    guint64 sent, received;
    for (guint i = 0; i < NICS_MAX && stead_tap_count(id, i, &sent, &received); i++) {
        stats->net_sent += sent;
        stats->net_received += received;
    }
    return TRUE;
}

gboolean stead_microvm_balloon(gpointer self, const char *id, guint64 size, GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, error);
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "value", (gint64)MIN(size, G_MAXINT64));
    if (monitor)
        return stead_qmp_do(monitor->qmp, "balloon", arguments, -1, error);
    json_object_unref(arguments);
    return FALSE;
}
