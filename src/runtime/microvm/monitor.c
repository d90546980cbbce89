/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to a running engine: QMP, which tells what happens to it, and the agent's
 * channel. They are made by whoever needs them first, and kept for all. An engine has one QMP
 * client, so of several who want them at once one connects and the others wait for that.
 *
 * An engine may stop answering at any moment, and its guest may be why: whoever waits has a
 * deadline, and may be cancelled. What becomes of the process stands in process.c.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "runtime/json_member.h"
#include "runtime/microvm/internal.h"

/* An engine that does not answer may be about to end. */
#define ENDING_MS 1000

static void clear(gpointer data)
{
    SteadMonitor *monitor = data;
    stead_qmp_unref(monitor->qmp);
    stead_agent_unref(monitor->agent);
    g_mutex_clear(&monitor->lock);
    g_cond_clear(&monitor->changed);
    stead_process_unref(monitor->process);
    stead_microvm_unref(monitor->microvm);
}

SteadMonitor *stead_monitor_ref(SteadMonitor *monitor)
{
    return g_atomic_rc_box_acquire(monitor);
}

void stead_monitor_unref(gpointer monitor)
{
    if (monitor)
        g_atomic_rc_box_release_full(monitor, clear);
}

gboolean stead_monitor_is_nameless(SteadMonitor *monitor)
{
    g_mutex_lock(&monitor->lock);
    gboolean nameless = monitor->is_init && !monitor->named;
    g_mutex_unlock(&monitor->lock);
    return nameless;
}

/* (wires' thread) */
static void on_agent(guint32 flags, gpointer data)
{
    SteadMonitor *monitor = data;
    g_mutex_lock(&monitor->lock);
    monitor->is_init = (flags & GUEST_AGENT_IS_INIT) != 0;
    g_mutex_unlock(&monitor->lock);
    stead_process_tell_agent(monitor->process, stead_monitor_is_nameless(monitor));
}

gboolean stead_monitor_refresh(SteadMonitor *monitor, GError **error)
{
    SteadProcess *process = monitor->process;
    g_autoptr(JsonNode) answer = stead_qmp_call(monitor->qmp, "query-status", NULL, -1, error);
    if (answer == NULL)
        return FALSE;
    const char *status = stead_json_text_in(stead_json_object(answer), "status");
    g_mutex_lock(&process->lock);
    if (!process->frozen)
        process->paused = g_strcmp0(status, "paused") == 0;
    g_mutex_unlock(&process->lock);
    return TRUE;
}

/* ---- attaching ---- */

static SteadMonitor *monitor_new(SteadMicrovm *microvm, SteadProcess *process)
{
    SteadMonitor *monitor = g_atomic_rc_box_new0(SteadMonitor);
    monitor->microvm = stead_microvm_ref(microvm);
    monitor->process = process;
    g_mutex_init(&monitor->lock);
    g_cond_init(&monitor->changed);
    return monitor;
}

/* The QMP's last word on it. */
static void on_release(gpointer data)
{
    SteadMonitor *monitor = data;
    g_mutex_lock(&monitor->lock);
    gboolean lost = monitor->attached;
    g_mutex_unlock(&monitor->lock);
    stead_process_closed(monitor->process, lost);
    stead_monitor_unref(monitor);
}

/* The agent's channel first: a machine that goes on from a frozen one finds it connected, as it
 * was. */
static gboolean connect_all(SteadMonitor *monitor, GCancellable *cancellable, GError **error)
{
    SteadMicrovm *microvm = monitor->microvm;
    g_autofree char *agent = stead_microvm_path(microvm, monitor->process->id, "agent.sock");
    g_autofree char *qmp = stead_microvm_path(microvm, monitor->process->id, "qmp.sock");
    monitor->agent = stead_agent_open(microvm->wires, agent, on_agent, stead_monitor_ref(monitor),
                                      stead_monitor_unref, error);
    if (monitor->agent == NULL)
        return FALSE;
    stead_process_opened(monitor->process);
    monitor->qmp = stead_qmp_open(microvm->wires, qmp, stead_monitor_on_event,
                                  stead_monitor_ref(monitor), on_release, cancellable, error);
    return monitor->qmp != NULL;
}

static SteadMonitor *attach_anew(SteadMicrovm *microvm, const char *id, GCancellable *cancellable,
                                 GError **error)
{
    g_autofree char *record = stead_microvm_path(microvm, id, "engine.pid");
    int pidfd = stead_detached_open(record, error);
    if (pidfd < 0)
        return NULL;
    g_autoptr(SteadMonitor) monitor = monitor_new(microvm, stead_process_get(microvm, id, pidfd));
    g_autoptr(GError) why = NULL;
    if (connect_all(monitor, cancellable, &why) && stead_monitor_refresh(monitor, &why))
        return g_steal_pointer(&monitor);
    stead_agent_close(monitor->agent);
    stead_qmp_close(monitor->qmp);
    gboolean may_be_ending = g_error_matches(why, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    if (!stead_process_ends(monitor->process, may_be_ending ? ENDING_MS : 0))
        g_propagate_error(error, g_steal_pointer(&why));
    return NULL;
}

/* With the lock held: the monitor of an engine that has neither hung up nor ended. */
static SteadMonitor *find_open(const SteadMicrovm *microvm, const char *id)
{
    SteadMonitor *monitor = g_hash_table_lookup(microvm->monitors, id);
    gboolean open =
        monitor && stead_qmp_is_open(monitor->qmp) && !stead_process_ends(monitor->process, 0);
    return open ? stead_monitor_ref(monitor) : NULL;
}

static void wake(GCancellable *cancellable, gpointer data)
{
    SteadMicrovm *microvm = data;
    g_mutex_lock(&microvm->lock);
    g_cond_broadcast(&microvm->attached);
    g_mutex_unlock(&microvm->lock);
}

/* With the lock held: waits while somebody else connects. */
static gboolean await_other(SteadMicrovm *microvm, gint64 deadline, GCancellable *cancellable,
                            GError **error)
{
    if (g_cancellable_is_cancelled(cancellable))
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
    else if (g_cond_wait_until(&microvm->attached, &microvm->lock, deadline))
        return TRUE;
    else
        stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL, "its engine does not answer");
    return FALSE;
}

/* TRUE: *monitor is the one that there is, or NULL, with the right to make one. */
static gboolean claim(SteadMicrovm *microvm, const char *id, SteadMonitor **monitor,
                      GCancellable *cancellable, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + STEAD_QMP_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    gboolean done = TRUE;
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), microvm, NULL) : 0;
    g_mutex_lock(&microvm->lock);
    while ((*monitor = find_open(microvm, id)) == NULL && done &&
           g_hash_table_contains(microvm->attaching, id))
        done = await_other(microvm, deadline, cancellable, error);
    if (*monitor == NULL && done)
        g_hash_table_add(microvm->attaching, g_strdup(id));
    g_mutex_unlock(&microvm->lock);
    g_cancellable_disconnect(cancellable, handler);
    return done || *monitor;
}

/* It is everybody's from here on, unless it has hung up already. */
static void publish(SteadMicrovm *microvm, const char *id, SteadMonitor *monitor)
{
    g_mutex_lock(&microvm->lock);
    if (monitor && stead_qmp_is_open(monitor->qmp)) {
        g_hash_table_insert(microvm->monitors, g_strdup(id), stead_monitor_ref(monitor));
        g_mutex_lock(&monitor->lock);
        monitor->attached = TRUE;
        g_mutex_unlock(&monitor->lock);
    }
    g_hash_table_remove(microvm->attaching, id);
    g_cond_broadcast(&microvm->attached);
    g_mutex_unlock(&microvm->lock);
}

SteadMonitor *stead_monitor_attach(SteadMicrovm *microvm, const char *id, GCancellable *cancellable,
                                   GError **error)
{
    SteadMonitor *monitor;
    if (!claim(microvm, id, &monitor, cancellable, error) || monitor)
        return monitor;
    monitor = attach_anew(microvm, id, cancellable, error);
    publish(microvm, id, monitor);
    return monitor;
}

SteadMonitor *stead_monitor_find(SteadMicrovm *microvm, const char *id, GCancellable *cancellable,
                                 GError **error)
{
    g_autoptr(GError) why = NULL;
    SteadMonitor *monitor = stead_monitor_attach(microvm, id, cancellable, &why);
    if (monitor == NULL && why)
        g_propagate_error(error, g_steal_pointer(&why));
    else if (monitor == NULL)
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "it is not running");
    return monitor;
}

void stead_monitor_forget(SteadMonitor *monitor)
{
    SteadMicrovm *microvm = monitor->microvm;
    const char *id = monitor->process->id;
    g_mutex_lock(&microvm->lock);
    if (g_hash_table_lookup(microvm->monitors, id) == monitor)
        g_hash_table_remove(microvm->monitors, id);
    g_mutex_unlock(&microvm->lock);
}

gboolean stead_monitor_await_end(const SteadMonitor *monitor, gint64 deadline,
                                 GCancellable *cancellable, GError **error)
{
    GPollFD fds[2] = {{.fd = monitor->process->pidfd, .events = G_IO_IN}};
    gboolean cancellable_too = g_cancellable_make_pollfd(cancellable, &fds[1]);
    int n = 0;
    do {
        gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
        n = g_poll(fds, cancellable_too ? 2 : 1, (int)CLAMP(left, 0, G_MAXINT));
    } while (n < 0 && errno == EINTR);
    if (cancellable_too)
        g_cancellable_release_fd(cancellable);
    if (fds[0].revents)
        return TRUE;
    if (g_cancellable_is_cancelled(cancellable))
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
    else
        stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL, "it did not end in the time allowed");
    return FALSE;
}
