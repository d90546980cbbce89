/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that stands still for a moment, while its state or its disks are copied. An engine
 * finishes what it has promised its disks before it halts, and that may take longer than anybody
 * waits: a halt that was asked for may yet come, so that whoever gives up asks at once that the
 * guest goes on, which the engine does after the halt.
 */
#include "base/error.h"
#include "runtime/microvm/internal.h"

/* A slow disk writes out what it has in this time. */
#define HALT_TIMEOUT_MS 60000
/* For whoever has failed already: what an engine is asked is in its queue, and it will do it. */
#define QUEUED_TIMEOUT_MS 1000

gboolean stead_monitor_pause(SteadMonitor *monitor, GCancellable *cancellable, GError **error)
{
    const SteadQmpCommand command = {
        .name = "stop", .fd = -1, .timeout_ms = HALT_TIMEOUT_MS, .cancellable = cancellable};
    g_autoptr(JsonNode) halted = stead_qmp_ask(monitor->qmp, &command, error);
    return halted != NULL;
}

static gboolean ask_to_cont(SteadMonitor *monitor, guint64 timeout_ms, GError **error)
{
    const SteadQmpCommand command = {.name = "cont", .fd = -1, .timeout_ms = timeout_ms};
    g_autoptr(JsonNode) answer = stead_qmp_ask(monitor->qmp, &command, error);
    return answer != NULL;
}

/* The connection over which it was halted may be lost by now. */
static gboolean cont(SteadMonitor *monitor, guint64 timeout_ms, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (ask_to_cont(monitor, timeout_ms, &why))
        return TRUE;
    if (!g_error_matches(why, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    g_autoptr(SteadMonitor) again =
        stead_monitor_find(monitor->microvm, monitor->process->id, NULL, error);
    return again && ask_to_cont(again, timeout_ms, error);
}

static gboolean go_on(SteadMonitor *monitor, guint64 timeout_ms, GError **error)
{
    SteadProcess *process = monitor->process;
    g_mutex_lock(&process->lock);
    gboolean paused = process->paused;
    g_mutex_unlock(&process->lock);
    gboolean done = paused || cont(monitor, timeout_ms, error);
    /* The answer to "cont" follows its event. */
    g_mutex_lock(&process->lock);
    process->frozen = FALSE;
    g_mutex_unlock(&process->lock);
    return done;
}

gboolean stead_monitor_go_on(SteadMonitor *monitor, GError **error)
{
    return go_on(monitor, STEAD_QMP_TIMEOUT_MS, error);
}

void stead_monitor_let_go(SteadMonitor *monitor)
{
    g_autoptr(GError) error = NULL;
    if (!go_on(monitor, QUEUED_TIMEOUT_MS, &error))
        g_message("%s has not gone on yet: %s", monitor->process->id, error->message);
}

gboolean stead_monitor_halt(SteadMonitor *monitor, GCancellable *cancellable, GError **error)
{
    SteadProcess *process = monitor->process;
    g_mutex_lock(&process->lock);
    process->frozen = TRUE;
    g_mutex_unlock(&process->lock);
    if (stead_monitor_pause(monitor, cancellable, error))
        return TRUE;
    stead_monitor_let_go(monitor);
    return FALSE;
}
