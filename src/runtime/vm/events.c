/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to domains by itself, told on the main loop.
 *
 * libvirt calls back on the main loop, where nothing may block, so which domains are ours is looked
 * up in `known`, which prepare, start and list fill. With each new connection a thread asks for the
 * events anew and then lists all domains, so that what changed while nobody listened is told too;
 * an event that overtook the list wins, which the numbers in `known` show.
 */
#include "base/error.h"
#include "runtime/vm/internal.h"

/* How long events of what we did ourselves are waited for before others are told again. */
#define STRAGGLERS_MS 2000

enum { LIFECYCLE, REBOOT, AGENT, REMOVED, BLOCK_JOB, N_EVENTS };

typedef struct {
    guint last;     /* number of the last event */
    int state;      /* virDomainState that the last event told; -1: none since it was muted */
    gboolean muted; /* our own doing */
} Known;

/* The registrations at one connection. */
typedef struct {
    virConnectPtr conn;
    int ids[N_EVENTS]; /* -1: refused */
} Listening;

/* What a thread found when it began to listen. */
typedef struct {
    Listening *listening;
    GPtrArray *actuals; /* may be NULL */
    guint seen;         /* vm->events before the list was asked for */
} Catch;

void stead_vm_know(SteadVm *vm, const char *id)
{
    g_mutex_lock(&vm->lock);
    if (!g_hash_table_contains(vm->known, id))
        g_hash_table_insert(vm->known, g_strdup(id), g_new0(Known, 1));
    g_mutex_unlock(&vm->lock);
}

void stead_vm_forget(SteadVm *vm, const char *id)
{
    g_mutex_lock(&vm->lock);
    g_hash_table_remove(vm->known, id);
    g_mutex_unlock(&vm->lock);
}

/* Counts an event and wakes who waits. Whether it concerns a domain of ours that is not muted. */
static gboolean note(SteadVm *vm, const char *id, int state)
{
    g_mutex_lock(&vm->lock);
    vm->events++;
    Known *known = g_hash_table_lookup(vm->known, id);
    if (known) {
        known->last = vm->events;
        known->state = state;
    }
    gboolean is_ours = known && !known->muted;
    g_cond_broadcast(&vm->happened);
    g_mutex_unlock(&vm->lock);
    return is_ours;
}

static void tell(SteadVm *vm, virDomainPtr domain, int state, int reason)
{
    char id[VIR_UUID_STRING_BUFLEN];
    if (virDomainGetUUIDString(domain, id) < 0 || !note(vm, id, state) || vm->func == NULL)
        return;
    g_autoptr(SteadActual) actual =
        stead_vm_actual_new(id, virDomainGetName(domain), state, reason);
    vm->func(actual, vm->data);
}

/* Which state a lifecycle event leads to, as virDomainGetState() would say it; -1: none. */
static int state_after(int event, int detail, int *reason)
{
    *reason = 0;
    switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
    case VIR_DOMAIN_EVENT_RESUMED:
        return VIR_DOMAIN_RUNNING;
    case VIR_DOMAIN_EVENT_SUSPENDED:
        *reason = detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR ? VIR_DOMAIN_PAUSED_IOERROR
                                                               : VIR_DOMAIN_PAUSED_USER;
        return VIR_DOMAIN_PAUSED;
    case VIR_DOMAIN_EVENT_PMSUSPENDED:
        return VIR_DOMAIN_PMSUSPENDED;
    case VIR_DOMAIN_EVENT_SHUTDOWN:
        return VIR_DOMAIN_SHUTDOWN;
    case VIR_DOMAIN_EVENT_CRASHED:
        return VIR_DOMAIN_CRASHED;
    case VIR_DOMAIN_EVENT_STOPPED:
        if (detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED)
            *reason = VIR_DOMAIN_SHUTOFF_CRASHED;
        else if (detail == VIR_DOMAIN_EVENT_STOPPED_FAILED)
            *reason = VIR_DOMAIN_SHUTOFF_FAILED;
        return VIR_DOMAIN_SHUTOFF;
    default:
        return -1;
    }
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *vm)
{
    int reason = 0, state = state_after(event, detail, &reason);
    if (state >= 0)
        tell(vm, domain, state, reason);
    return 0;
}

/* A guest that rebooted, or whose agent came, runs; what is new the engine finds out. */
static void on_reboot(virConnectPtr conn, virDomainPtr domain, void *vm)
{
    tell(vm, domain, VIR_DOMAIN_RUNNING, 0);
}

static void on_agent(virConnectPtr conn, virDomainPtr domain, int state, int reason, void *vm)
{
    if (state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED)
        tell(vm, domain, VIR_DOMAIN_RUNNING, 0);
}

static void on_removed(virConnectPtr conn, virDomainPtr domain, const char *alias, void *vm)
{
    note(vm, "", -1);
}

static void on_block_job(virConnectPtr conn, virDomainPtr domain, const char *disk, int type,
                         int status, void *vm)
{
    note(vm, "", -1);
}

static const struct {
    int id;
    virConnectDomainEventGenericCallback callback;
} callbacks[N_EVENTS] = {
    [LIFECYCLE] = {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
    [REBOOT] = {VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot},
    [AGENT] = {VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent)},
    [REMOVED] = {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_removed)},
    [BLOCK_JOB] = {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job)},
};

static void listening_free(gpointer data)
{
    Listening *listening = data;
    if (listening == NULL)
        return;
    for (int i = 0; i < N_EVENTS; i++)
        if (listening->ids[i] >= 0)
            virConnectDomainEventDeregisterAny(listening->conn, listening->ids[i]);
    virConnectClose(listening->conn);
    g_free(listening);
}

static void catch_free(gpointer data)
{
    Catch *catch = data;
    listening_free(catch->listening);
    g_clear_pointer(&catch->actuals, g_ptr_array_unref);
    g_free(catch);
}

static void listen_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    SteadVm *vm = data;
    g_autoptr(GError) error = NULL;
    virConnectPtr conn = stead_libvirt_get(vm->libvirt, &error);
    if (conn == NULL) {
        g_task_return_error(task, g_steal_pointer(&error));
        return;
    }
    Catch *catch = g_new0(Catch, 1);
    catch->listening = g_new0(Listening, 1);
    catch->listening->conn = conn;
    for (int i = 0; i < N_EVENTS; i++) {
        catch->listening->ids[i] = virConnectDomainEventRegisterAny(
            conn, NULL, callbacks[i].id, callbacks[i].callback, stead_vm_ref(vm), stead_vm_unref);
        if (catch->listening->ids[i] < 0)
            stead_vm_unref(vm);
    }
    catch->seen = stead_vm_events_seen(vm);
    catch->actuals = stead_vm_list(vm, NULL);
    g_task_return_pointer(task, catch, catch_free);
}

/* Whether nothing was told of it since the list was asked for. */
static gboolean is_news(SteadVm *vm, const char *id, guint seen)
{
    g_mutex_lock(&vm->lock);
    const Known *known = g_hash_table_lookup(vm->known, id);
    gboolean is_news = known && !known->muted && known->last <= seen;
    g_mutex_unlock(&vm->lock);
    return is_news;
}

static void drop_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    listening_free(data);
    g_task_return_boolean(task, TRUE);
}

/* Deregistering asks the server, so it is a thread's business. */
static void drop(Listening *listening)
{
    if (listening == NULL)
        return;
    g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);
    g_task_set_task_data(task, listening, NULL);
    g_task_run_in_thread(task, drop_in_thread);
}

static void on_listening(GObject *source, GAsyncResult *result, gpointer data)
{
    SteadVm *vm = data;
    g_autoptr(GError) error = NULL;
    Catch *catch = g_task_propagate_pointer(G_TASK(result), &error);
    if (catch == NULL)
        g_debug("listening to domains: %s", error->message);
    if (catch && !vm->closed) {
        drop(vm->listening);
        vm->listening = g_steal_pointer(&catch->listening);
        for (guint i = 0; catch->actuals && i < catch->actuals->len; i++) {
            const SteadActual *actual = catch->actuals->pdata[i];
            if (vm->func && is_news(vm, actual->id, catch->seen))
                vm->func(actual, vm->data);
        }
    }
    g_clear_pointer(&catch, catch_free);
    stead_vm_unref(vm);
}

static void on_connection(gboolean connected, gpointer data)
{
    SteadVm *vm = data;
    drop(g_steal_pointer(&vm->listening));
    if (!connected)
        return;
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_listening, stead_vm_ref(vm));
    g_task_set_task_data(task, stead_vm_ref(vm), stead_vm_unref);
    g_task_run_in_thread(task, listen_in_thread);
}

void stead_vm_events_start(SteadVm *vm)
{
    vm->watch = stead_libvirt_add_watch(vm->libvirt, on_connection, vm);
}

void stead_vm_events_stop(SteadVm *vm)
{
    vm->closed = TRUE;
    vm->func = NULL;
    stead_libvirt_remove_watch(vm->libvirt, vm->watch);
    g_clear_pointer((Listening **)&vm->listening, listening_free);
}

static void set_muted(SteadVm *vm, const char *id, gboolean muted)
{
    g_mutex_lock(&vm->lock);
    Known *known = g_hash_table_lookup(vm->known, id);
    if (known) {
        known->muted = muted;
        known->state = -1;
    }
    g_mutex_unlock(&vm->lock);
}

void stead_vm_mute(SteadVm *vm, const char *id)
{
    stead_vm_know(vm, id);
    set_muted(vm, id, TRUE);
}

typedef struct {
    SteadVm *vm;
    SteadActual *actual;
    guint seen;
} News;

static gboolean tell_news(gpointer data)
{
    const News *news = data;
    if (news->vm->func && is_news(news->vm, news->actual->id, news->seen))
        news->vm->func(news->actual, news->vm->data);
    return G_SOURCE_REMOVE;
}

static void news_free(gpointer data)
{
    News *news = data;
    stead_actual_free(news->actual);
    stead_vm_unref(news->vm);
    g_free(news);
}

static int last_told(SteadVm *vm, const char *id)
{
    g_mutex_lock(&vm->lock);
    const Known *known = g_hash_table_lookup(vm->known, id);
    int state = known ? known->state : -1;
    g_mutex_unlock(&vm->lock);
    return state;
}

void stead_vm_unmute(SteadVm *vm, const char *id, gboolean changed)
{
    gint64 deadline = g_get_monotonic_time() + STRAGGLERS_MS * G_TIME_SPAN_MILLISECOND;
    g_autoptr(virDomain) domain = stead_vm_find(vm, id, NULL);
    int reason = 0, state = domain ? stead_vm_state(domain, &reason) : -1;
    guint seen = stead_vm_events_seen(vm);
    while (changed && state >= 0 && last_told(vm, id) != state &&
           g_get_monotonic_time() < deadline) {
        stead_vm_wait(vm, seen, deadline, NULL, NULL);
        seen = stead_vm_events_seen(vm);
    }
    set_muted(vm, id, FALSE);
    if (state < 0)
        return;
    News *news = g_new0(News, 1);
    news->vm = stead_vm_ref(vm);
    news->actual = stead_vm_actual_new(id, virDomainGetName(domain), state, reason);
    news->seen = seen;
    g_idle_add_full(G_PRIORITY_DEFAULT, tell_news, news, news_free);
}
