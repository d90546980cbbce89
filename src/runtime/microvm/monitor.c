/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running engine as the daemon sees it: a process on record, a QMP connection that tells what
 * happens to it, and the agent's channel.
 *
 * The end of the QMP connection is the beginning of the engine's end, which is told when its
 * process is gone: only then may there be another one. What it said last tells why: a guest that
 * went down says SHUTDOWN, one that panicked says so; an engine that says nothing was killed or
 * died, and the instance has failed.
 */
#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>

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
    stead_clear_fd(&monitor->process);
    g_mutex_clear(&monitor->lock);
    g_cond_clear(&monitor->changed);
    g_free(monitor->id);
    g_free(monitor->run_dir);
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

SteadActual *stead_monitor_actual(SteadMonitor *monitor)
{
    SteadActual *actual = g_new0(SteadActual, 1);
    actual->id = g_strdup(monitor->id);
    actual->domain = g_strdup(monitor->id);
    g_mutex_lock(&monitor->lock);
    actual->state = monitor->ended    ? STEAD_STATE_STOPPED
                    : monitor->paused ? STEAD_STATE_PAUSED
                                      : STEAD_STATE_RUNNING;
    actual->failed = monitor->ended && (!monitor->shut || monitor->crashed);
    actual->rebooting = monitor->ended && monitor->rebooted;
    g_mutex_unlock(&monitor->lock);
    return actual;
}

/* ---- telling ---- */

typedef struct {
    SteadMonitor *monitor;
    SteadActual *actual;
} News;

/* The end of an engine is no news of an instance that has another by now. */
static gboolean is_stale(SteadMonitor *monitor)
{
    SteadMicrovm *microvm = monitor->microvm;
    g_mutex_lock(&microvm->lock);
    const SteadMonitor *current = g_hash_table_lookup(microvm->monitors, monitor->id);
    g_mutex_unlock(&microvm->lock);
    return current && current != monitor;
}

static gboolean has_ended(int process, int timeout_ms)
{
    struct pollfd poller = {.fd = process, .events = POLLIN};
    return poll(&poller, 1, timeout_ms) > 0;
}

static gboolean deliver(gpointer data)
{
    News *news = data;
    SteadMicrovm *microvm = news->monitor->microvm;
    if (!microvm->closed && microvm->func && !is_stale(news->monitor))
        microvm->func(news->actual, microvm->data);
    stead_actual_free(news->actual);
    stead_monitor_unref(news->monitor);
    g_free(news);
    return G_SOURCE_REMOVE;
}

static gboolean on_process_end(int process, GIOCondition condition, gpointer data)
{
    return deliver(data);
}

static gboolean tell_on_main(gpointer data)
{
    const News *news = data;
    int process = news->monitor->process;
    if (news->actual->state != STEAD_STATE_STOPPED || news->monitor->microvm->closed ||
        has_ended(process, 0))
        return deliver(data);
    g_unix_fd_add(process, G_IO_IN, on_process_end, data);
    return G_SOURCE_REMOVE;
}

static void tell(SteadMonitor *monitor, SteadActual *actual)
{
    News *news = g_new0(News, 1);
    news->monitor = stead_monitor_ref(monitor);
    news->actual = actual;
    g_main_context_invoke_full(NULL, G_PRIORITY_DEFAULT, tell_on_main, news, NULL);
}

void stead_monitor_tell(SteadMonitor *monitor)
{
    tell(monitor, stead_monitor_actual(monitor));
}

static void on_agent(guint32 flags, gpointer data)
{
    SteadMonitor *monitor = data;
    g_mutex_lock(&monitor->lock);
    monitor->is_init = (flags & GUEST_AGENT_IS_INIT) != 0;
    g_mutex_unlock(&monitor->lock);
    SteadActual *actual = stead_monitor_actual(monitor);
    actual->agent = TRUE;
    actual->nameless = stead_monitor_is_nameless(monitor);
    tell(monitor, actual);
}

/* ---- events (wires' thread) ---- */

static void forget(SteadMonitor *monitor)
{
    SteadMicrovm *microvm = monitor->microvm;
    g_mutex_lock(&microvm->lock);
    if (g_hash_table_lookup(microvm->monitors, monitor->id) == monitor)
        g_hash_table_remove(microvm->monitors, monitor->id);
    g_mutex_unlock(&microvm->lock);
}

static void on_end(SteadMonitor *monitor, JsonObject *data)
{
    g_mutex_lock(&monitor->lock);
    monitor->ended = TRUE;
    g_cond_broadcast(&monitor->changed);
    g_mutex_unlock(&monitor->lock);
    stead_agent_close(monitor->agent);
    forget(monitor);
    tell(monitor, stead_monitor_actual(monitor));
}

static void on_shutdown(SteadMonitor *monitor, JsonObject *data)
{
    const char *reason = stead_json_text_in(data, "reason");
    g_mutex_lock(&monitor->lock);
    monitor->shut = TRUE;
    monitor->crashed |= g_strcmp0(reason, "guest-panic") == 0;
    monitor->rebooted = g_strcmp0(reason, "guest-reset") == 0;
    g_mutex_unlock(&monitor->lock);
}

static void set_paused(SteadMonitor *monitor, gboolean paused)
{
    g_mutex_lock(&monitor->lock);
    gboolean news = monitor->paused != paused && !monitor->frozen;
    if (!monitor->frozen)
        monitor->paused = paused;
    g_mutex_unlock(&monitor->lock);
    if (news)
        tell(monitor, stead_monitor_actual(monitor));
}

static void on_stop(SteadMonitor *monitor, JsonObject *data)
{
    set_paused(monitor, TRUE);
}

static void on_resume(SteadMonitor *monitor, JsonObject *data)
{
    set_paused(monitor, FALSE);
}

static void on_port(SteadMonitor *monitor, JsonObject *data)
{
    gboolean open = stead_json_flag_in(data, "open");
    g_mutex_lock(&monitor->lock);
    monitor->named = FALSE; /* it boots, or its agent begins anew */
    g_mutex_unlock(&monitor->lock);
    if (monitor->agent)
        stead_agent_port_changed(monitor->agent, open);
}

/* A failure to load ends the engine, which says it well enough. */
static void on_migration(SteadMonitor *monitor, JsonObject *data)
{
    const char *status = stead_json_text_in(data, "status");
    g_mutex_lock(&monitor->lock);
    monitor->loaded |= g_strcmp0(status, "completed") == 0;
    g_cond_broadcast(&monitor->changed);
    g_mutex_unlock(&monitor->lock);
}

gboolean stead_monitor_await_loaded(SteadMonitor *monitor, gint64 deadline, GError **error)
{
    g_mutex_lock(&monitor->lock);
    while (!monitor->loaded && !monitor->ended)
        if (!g_cond_wait_until(&monitor->changed, &monitor->lock, deadline))
            break;
    gboolean loaded = monitor->loaded;
    gboolean ended = monitor->ended;
    g_mutex_unlock(&monitor->lock);
    if (!loaded)
        stead_set_error(error, ended ? STEAD_ERROR_UNAVAILABLE : STEAD_ERROR_TIMEOUT, NULL,
                        ended ? "its engine has ended" : "its engine does not take the state");
    return loaded;
}

static void on_panic(SteadMonitor *monitor, JsonObject *data)
{
    g_mutex_lock(&monitor->lock);
    monitor->crashed = TRUE;
    g_mutex_unlock(&monitor->lock);
}

static const struct {
    const char *name;
    void (*func)(SteadMonitor *monitor, JsonObject *data);
} events[] = {
    {"SHUTDOWN", on_shutdown},    {"STOP", on_stop},
    {"RESUME", on_resume},        {"VSERPORT_CHANGE", on_port},
    {"GUEST_PANICKED", on_panic}, {"MIGRATION", on_migration},
};

static void on_event(const char *event, JsonObject *data, gpointer user)
{
    if (event == NULL) {
        on_end(user, NULL);
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(events); i++)
        if (g_str_equal(event, events[i].name))
            events[i].func(user, data);
}

/* ---- attaching ---- */

gboolean stead_monitor_refresh(SteadMonitor *monitor, GError **error)
{
    g_autoptr(JsonNode) answer = stead_qmp_call(monitor->qmp, "query-status", NULL, -1, error);
    if (answer == NULL)
        return FALSE;
    const char *status = stead_json_text_in(stead_json_object(answer), "status");
    g_mutex_lock(&monitor->lock);
    if (!monitor->frozen)
        monitor->paused = g_strcmp0(status, "paused") == 0;
    g_mutex_unlock(&monitor->lock);
    return TRUE;
}

gboolean stead_monitor_halt(SteadMonitor *monitor, gboolean halt, GError **error)
{
    g_mutex_lock(&monitor->lock);
    gboolean paused = monitor->paused;
    if (halt)
        monitor->frozen = TRUE;
    g_mutex_unlock(&monitor->lock);
    gboolean done =
        (paused && !halt) || stead_qmp_do(monitor->qmp, halt ? "stop" : "cont", NULL, -1, error);
    /* The answer to "cont" follows its event. */
    g_mutex_lock(&monitor->lock);
    if (!halt || !done)
        monitor->frozen = FALSE;
    g_mutex_unlock(&monitor->lock);
    return done;
}

static SteadMonitor *monitor_new(SteadMicrovm *microvm, const char *id, int process)
{
    SteadMonitor *monitor = g_atomic_rc_box_new0(SteadMonitor);
    monitor->microvm = stead_microvm_ref(microvm);
    monitor->id = g_strdup(id);
    monitor->run_dir = stead_microvm_path(microvm, id, NULL);
    monitor->process = process;
    g_mutex_init(&monitor->lock);
    g_cond_init(&monitor->changed);
    return monitor;
}

/* The agent's channel first: a machine that goes on from a frozen one finds it connected, as it
 * was. */
static gboolean connect_all(SteadMonitor *monitor, GError **error)
{
    SteadMicrovm *microvm = monitor->microvm;
    g_autofree char *agent = stead_microvm_path(microvm, monitor->id, "agent.sock");
    g_autofree char *qmp = stead_microvm_path(microvm, monitor->id, "qmp.sock");
    monitor->agent = stead_agent_open(microvm->wires, agent, on_agent, stead_monitor_ref(monitor),
                                      stead_monitor_unref, error);
    if (monitor->agent == NULL)
        return FALSE;
    monitor->qmp = stead_qmp_open(microvm->wires, qmp, on_event, stead_monitor_ref(monitor),
                                  stead_monitor_unref, error);
    return monitor->qmp != NULL;
}

static SteadMonitor *attach_anew(SteadMicrovm *microvm, const char *id, GError **error)
{
    g_autofree char *record = stead_microvm_path(microvm, id, "engine.pid");
    int process = stead_detached_open(record, error);
    if (process < 0)
        return NULL;
    g_autoptr(SteadMonitor) monitor = monitor_new(microvm, id, process);
    if (connect_all(monitor, error) && stead_monitor_refresh(monitor, error))
        return g_steal_pointer(&monitor);
    stead_agent_close(monitor->agent);
    stead_qmp_close(monitor->qmp);
    if (has_ended(process, ENDING_MS))
        g_clear_error(error);
    return NULL;
}

/* With the lock held: the monitor of an engine that has not begun to end. */
static SteadMonitor *find_open(const SteadMicrovm *microvm, const char *id)
{
    SteadMonitor *monitor = g_hash_table_lookup(microvm->monitors, id);
    return monitor && stead_qmp_is_open(monitor->qmp) ? monitor : NULL;
}

/* The monitor that there is, or NULL and the right to make one: an engine has one QMP client. */
static SteadMonitor *claim(SteadMicrovm *microvm, const char *id)
{
    SteadMonitor *monitor = NULL;
    g_mutex_lock(&microvm->lock);
    while ((monitor = find_open(microvm, id)) == NULL &&
           g_hash_table_contains(microvm->attaching, id))
        g_cond_wait(&microvm->attached, &microvm->lock);
    if (monitor)
        stead_monitor_ref(monitor);
    else
        g_hash_table_add(microvm->attaching, g_strdup(id));
    g_mutex_unlock(&microvm->lock);
    return monitor;
}

SteadMonitor *stead_monitor_attach(SteadMicrovm *microvm, const char *id, GError **error)
{
    SteadMonitor *monitor = claim(microvm, id);
    if (monitor)
        return monitor;
    monitor = attach_anew(microvm, id, error);
    g_mutex_lock(&microvm->lock);
    if (monitor && stead_qmp_is_open(monitor->qmp))
        g_hash_table_insert(microvm->monitors, g_strdup(id), stead_monitor_ref(monitor));
    g_hash_table_remove(microvm->attaching, id);
    g_cond_broadcast(&microvm->attached);
    g_mutex_unlock(&microvm->lock);
    return monitor;
}

SteadMonitor *stead_monitor_find(SteadMicrovm *microvm, const char *id, GError **error)
{
    g_autoptr(GError) why = NULL;
    SteadMonitor *monitor = stead_monitor_attach(microvm, id, &why);
    if (monitor == NULL && why)
        g_propagate_error(error, g_steal_pointer(&why));
    else if (monitor == NULL)
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "it is not running");
    return monitor;
}

gboolean stead_monitor_await_end(const SteadMonitor *monitor, gint64 deadline,
                                 GCancellable *cancellable, GError **error)
{
    GPollFD fds[2] = {{.fd = monitor->process, .events = G_IO_IN}};
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
