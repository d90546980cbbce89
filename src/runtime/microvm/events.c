/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine says by itself, and what becomes of it. All of it is on the wires' thread; and all
 * of it may be a lie, or come in any number: it changes what is known of this one engine, and is
 * told no more often than anybody can read.
 */
#include "base/error.h"
#include "runtime/json_member.h"
#include "runtime/microvm/internal.h"

static void on_hang_up(SteadMonitor *monitor)
{
    g_mutex_lock(&monitor->lock);
    monitor->gone = TRUE;
    g_cond_broadcast(&monitor->changed);
    g_mutex_unlock(&monitor->lock);
    stead_agent_close(monitor->agent);
    stead_monitor_forget(monitor);
}

static void on_shutdown(SteadMonitor *monitor, JsonObject *data)
{
    SteadProcess *process = monitor->process;
    const char *reason = stead_json_text_in(data, "reason");
    g_mutex_lock(&process->lock);
    process->shut = TRUE;
    process->crashed |= g_strcmp0(reason, "guest-panic") == 0;
    process->rebooted = g_strcmp0(reason, "guest-reset") == 0;
    g_mutex_unlock(&process->lock);
}

static void on_panic(SteadMonitor *monitor, JsonObject *data)
{
    SteadProcess *process = monitor->process;
    g_mutex_lock(&process->lock);
    process->crashed = TRUE;
    g_mutex_unlock(&process->lock);
}

static void set_paused(SteadProcess *process, gboolean paused)
{
    g_mutex_lock(&process->lock);
    gboolean news = process->paused != paused && !process->frozen;
    if (!process->frozen)
        process->paused = paused;
    g_mutex_unlock(&process->lock);
    if (news)
        stead_process_tell_soon(process);
}

static void on_stop(SteadMonitor *monitor, JsonObject *data)
{
    set_paused(monitor->process, TRUE);
}

static void on_resume(SteadMonitor *monitor, JsonObject *data)
{
    set_paused(monitor->process, FALSE);
}

static void on_port(SteadMonitor *monitor, JsonObject *data)
{
    g_mutex_lock(&monitor->lock);
    monitor->named = FALSE; /* it boots, or its agent begins anew */
    g_mutex_unlock(&monitor->lock);
    if (monitor->agent)
        stead_agent_port_changed(monitor->agent, stead_json_flag_in(data, "open"));
}

/* ---- migration ---- */

static SteadMigrationState migration_state(const char *status)
{
    if (g_strcmp0(status, "completed") == 0)
        return STEAD_MIGRATION_DONE;
    gboolean failed = g_strcmp0(status, "failed") == 0 || g_strcmp0(status, "cancelled") == 0;
    return failed ? STEAD_MIGRATION_FAILED : STEAD_MIGRATION_UNDER_WAY;
}

static void on_migration(SteadMonitor *monitor, JsonObject *data)
{
    g_mutex_lock(&monitor->lock);
    monitor->migration = migration_state(stead_json_text_in(data, "status"));
    g_cond_broadcast(&monitor->changed);
    g_mutex_unlock(&monitor->lock);
}

void stead_monitor_begin_migration(SteadMonitor *monitor)
{
    g_mutex_lock(&monitor->lock);
    monitor->migration = STEAD_MIGRATION_NONE;
    g_mutex_unlock(&monitor->lock);
}

gboolean stead_monitor_await_migration(SteadMonitor *monitor, gint64 deadline, GError **error)
{
    g_mutex_lock(&monitor->lock);
    while (monitor->migration < STEAD_MIGRATION_DONE && !monitor->gone)
        if (!g_cond_wait_until(&monitor->changed, &monitor->lock, deadline))
            break;
    SteadMigrationState state = monitor->migration;
    gboolean gone = monitor->gone;
    g_mutex_unlock(&monitor->lock);
    if (state == STEAD_MIGRATION_FAILED)
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "its engine gave up");
    else if (state != STEAD_MIGRATION_DONE)
        stead_set_error(error, gone ? STEAD_ERROR_UNAVAILABLE : STEAD_ERROR_TIMEOUT, NULL,
                        gone ? "its engine has ended" : "its engine does not get done");
    return state == STEAD_MIGRATION_DONE;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    void (*func)(SteadMonitor *monitor, JsonObject *data); /* `data` may be NULL */
} events[] = {
    {"SHUTDOWN", on_shutdown},    {"STOP", on_stop},
    {"RESUME", on_resume},        {"VSERPORT_CHANGE", on_port},
    {"GUEST_PANICKED", on_panic}, {"MIGRATION", on_migration},
};

void stead_monitor_on_event(const char *event, JsonObject *data, gpointer monitor)
{
    if (event == NULL) {
        on_hang_up(monitor);
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(events); i++)
        if (g_str_equal(event, events[i].name))
            events[i].func(monitor, data);
}
