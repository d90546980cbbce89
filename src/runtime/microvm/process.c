/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine's process, and how its end is told: once, when the process is gone, since only then may
 * there be another one; and when whatever it said before is read. What it said tells why: a guest
 * that went down says SHUTDOWN, one that panicked says so; an engine that says nothing was killed
 * or died, and the instance has failed.
 *
 * Connections come and go meanwhile: one that is lost while the process lives is no news, and is
 * made again, each time later, so that an engine which hangs up on purpose keeps nobody busy. There
 * is one watch for each process, and nothing of a connection outlives it.
 */
#include <glib-unix.h>
#include <poll.h>

#include "base/cleanup.h"
#include "runtime/microvm/internal.h"

/* An engine that hangs up is about to end, or is connected to again after so long. */
#define REATTACH_MS 100
#define REATTACH_DOUBLINGS_MAX 7
/* What a guest can cause is told so often at most. */
#define TELL_EVERY_US (100 * G_TIME_SPAN_MILLISECOND)

static void clear(gpointer data)
{
    SteadProcess *process = data;
    stead_clear_fd(&process->pidfd);
    g_mutex_clear(&process->lock);
    g_free(process->id);
    stead_microvm_unref(process->microvm);
}

static SteadProcess *ref(SteadProcess *process)
{
    return g_atomic_rc_box_acquire(process);
}

void stead_process_unref(gpointer process)
{
    if (process)
        g_atomic_rc_box_release_full(process, clear);
}

gboolean stead_process_ends(const SteadProcess *process, int timeout_ms)
{
    struct pollfd poller = {.fd = process->pidfd, .events = POLLIN};
    return poll(&poller, 1, timeout_ms) > 0;
}

static void on_main(SteadProcess *process, GSourceFunc func)
{
    g_idle_add_full(G_PRIORITY_DEFAULT, func, ref(process), stead_process_unref);
}

/* ---- telling (main loop) ---- */

SteadActual *stead_process_actual(SteadProcess *process)
{
    SteadActual *actual = g_new0(SteadActual, 1);
    actual->id = g_strdup(process->id);
    actual->domain = g_strdup(process->id);
    g_mutex_lock(&process->lock);
    actual->state = process->paused ? STEAD_STATE_PAUSED : STEAD_STATE_RUNNING;
    g_mutex_unlock(&process->lock);
    return actual;
}

/* The end of an engine is no news of an instance that has another by now. */
static gboolean is_stale(SteadProcess *process)
{
    SteadMicrovm *microvm = process->microvm;
    g_mutex_lock(&microvm->lock);
    const SteadProcess *current = g_hash_table_lookup(microvm->processes, process->id);
    g_mutex_unlock(&microvm->lock);
    return current != process;
}

static void deliver(SteadProcess *process, const SteadActual *actual)
{
    SteadMicrovm *microvm = process->microvm;
    if (!microvm->closed && microvm->func && !is_stale(process))
        microvm->func(actual, microvm->data);
}

static gboolean tell(gpointer data)
{
    SteadProcess *process = data;
    g_autoptr(SteadActual) actual = stead_process_actual(process);
    if (!process->ended)
        deliver(process, actual);
    return G_SOURCE_REMOVE;
}

void stead_process_tell(SteadProcess *process)
{
    on_main(process, tell);
}

static gboolean tell_agent(SteadProcess *process)
{
    g_autoptr(SteadActual) actual = stead_process_actual(process);
    actual->agent = TRUE;
    actual->nameless = process->nameless;
    if (!process->ended)
        deliver(process, actual);
    return G_SOURCE_REMOVE;
}

/* The last word is what counts, so that it has what the agent has said meanwhile, too. */
static gboolean tell_now(gpointer data)
{
    SteadProcess *process = data;
    process->told_at = g_get_monotonic_time();
    g_mutex_lock(&process->lock);
    process->telling = FALSE;
    g_mutex_unlock(&process->lock);
    return process->agent ? tell_agent(process) : tell(data);
}

static gboolean tell_in_time(gpointer data)
{
    SteadProcess *process = data;
    process->agent = FALSE;
    gint64 left = process->told_at + TELL_EVERY_US - g_get_monotonic_time();
    if (left <= 0)
        return tell_now(data);
    g_timeout_add_full(G_PRIORITY_DEFAULT, (guint)(left / G_TIME_SPAN_MILLISECOND) + 1, tell_now,
                       ref(process), stead_process_unref);
    return G_SOURCE_REMOVE;
}

void stead_process_tell_soon(SteadProcess *process)
{
    g_mutex_lock(&process->lock);
    gboolean first = !process->telling;
    process->telling = TRUE;
    g_mutex_unlock(&process->lock);
    if (first)
        on_main(process, tell_in_time);
}

static gboolean tell_named(gpointer data)
{
    SteadProcess *process = data;
    process->agent = TRUE;
    process->nameless = FALSE;
    return tell_agent(process);
}

static gboolean tell_nameless(gpointer data)
{
    SteadProcess *process = data;
    process->agent = process->nameless = TRUE;
    return tell_agent(process);
}

void stead_process_tell_agent(SteadProcess *process, gboolean nameless)
{
    on_main(process, nameless ? tell_nameless : tell_named);
}

/* ---- the end (main loop) ---- */

static void forget(SteadProcess *process)
{
    SteadMicrovm *microvm = process->microvm;
    g_mutex_lock(&microvm->lock);
    if (g_hash_table_lookup(microvm->processes, process->id) == process)
        g_hash_table_remove(microvm->processes, process->id);
    g_mutex_unlock(&microvm->lock);
}

/* What it said last is on its way for as long as a connection is open. */
static void tell_end_once(SteadProcess *process)
{
    g_autoptr(SteadActual) actual = stead_process_actual(process);
    g_mutex_lock(&process->lock);
    gboolean complete = process->open == 0;
    actual->state = STEAD_STATE_STOPPED;
    actual->failed = !process->shut || process->crashed;
    actual->rebooting = process->rebooted;
    g_mutex_unlock(&process->lock);
    if (!process->ended || !complete)
        return;
    deliver(process, actual);
    forget(process);
}

/* Its sockets are closed, but for what somebody else may have of them. */
static void close_connection(SteadProcess *process)
{
    SteadMicrovm *microvm = process->microvm;
    g_mutex_lock(&microvm->lock);
    const SteadMonitor *monitor = g_hash_table_lookup(microvm->monitors, process->id);
    if (monitor && monitor->process == process)
        stead_qmp_close(monitor->qmp);
    g_mutex_unlock(&microvm->lock);
}

static gboolean on_end(int pidfd, GIOCondition condition, gpointer data)
{
    SteadProcess *process = data;
    process->ended = TRUE;
    g_clear_pointer(&process->watch, g_source_unref);
    g_clear_handle_id(&process->reattach, g_source_remove);
    close_connection(process);
    tell_end_once(process);
    return G_SOURCE_REMOVE;
}

static gboolean begin_watch(gpointer data)
{
    SteadProcess *process = data;
    if (process->microvm->closed)
        return G_SOURCE_REMOVE;
    process->watch = g_unix_fd_source_new(process->pidfd, G_IO_IN);
    g_source_set_callback(process->watch, G_SOURCE_FUNC(on_end), ref(process), stead_process_unref);
    g_source_attach(process->watch, NULL);
    return G_SOURCE_REMOVE;
}

SteadProcess *stead_process_get(SteadMicrovm *microvm, const char *id, int pidfd)
{
    g_mutex_lock(&microvm->lock);
    SteadProcess *process = g_hash_table_lookup(microvm->processes, id);
    gboolean known = process && !stead_process_ends(process, 0);
    if (known) {
        ref(process);
        stead_clear_fd(&pidfd);
    } else {
        process = g_atomic_rc_box_new0(SteadProcess);
        process->microvm = stead_microvm_ref(microvm);
        process->id = g_strdup(id);
        process->pidfd = pidfd;
        g_mutex_init(&process->lock);
        g_hash_table_insert(microvm->processes, g_strdup(id), ref(process));
    }
    g_mutex_unlock(&microvm->lock);
    if (!known)
        on_main(process, begin_watch);
    return process;
}

/* ---- connections ---- */

void stead_process_opened(SteadProcess *process)
{
    g_mutex_lock(&process->lock);
    process->open++;
    g_mutex_unlock(&process->lock);
}

static gboolean reattach(gpointer data)
{
    SteadProcess *process = data;
    process->reattach = 0;
    g_message("the engine of %s hung up, and runs on", process->id);
    stead_microvm_look_again(process->microvm, process->id);
    return G_SOURCE_REMOVE;
}

static gboolean on_closed(gpointer data)
{
    tell_end_once(data);
    return G_SOURCE_REMOVE;
}

static gboolean on_lost(gpointer data)
{
    SteadProcess *process = data;
    if (!process->ended && !process->microvm->closed && process->reattach == 0) {
        guint ms = REATTACH_MS << MIN(process->losses, REATTACH_DOUBLINGS_MAX);
        process->losses++;
        process->reattach =
            g_timeout_add_full(G_PRIORITY_DEFAULT, ms, reattach, ref(process), stead_process_unref);
    }
    return on_closed(data);
}

void stead_process_closed(SteadProcess *process, gboolean lost)
{
    g_mutex_lock(&process->lock);
    process->open--;
    g_mutex_unlock(&process->lock);
    on_main(process, lost ? on_lost : on_closed);
}

void stead_process_forget_all(SteadMicrovm *microvm)
{
    GHashTableIter iter;
    gpointer value;
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(stead_process_unref);
    g_mutex_lock(&microvm->lock);
    g_hash_table_iter_init(&iter, microvm->processes);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_ptr_array_add(all, ref(value));
    g_hash_table_remove_all(microvm->processes);
    g_mutex_unlock(&microvm->lock);
    for (guint i = 0; i < all->len; i++) {
        SteadProcess *process = all->pdata[i];
        if (process->watch)
            g_source_destroy(process->watch);
        g_clear_pointer(&process->watch, g_source_unref);
        g_clear_handle_id(&process->reattach, g_source_remove);
    }
}
