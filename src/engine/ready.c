/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readiness: `ready` is a condition on `running`, which the spec's rule describes: the agent
 * answers, cloud-init is done, a port accepts, a console line was seen. The console's part is found
 * in watch.c; the rest is asked for once a second by a few threads, so that a guest that hangs
 * costs no more than one of them for a moment.
 */
#include "base/error.h"
#include "base/units.h"
#include "engine/state.h"

#define ASK_EVERY_MS 1000
#define PORT_TIMEOUT_S 2
#define CLOUD_INIT_TIMEOUT_MS 5000
#define CLOUD_INIT_RESULT "/run/cloud-init/result.json"

typedef struct {
    SteadEngine *engine;
    SteadRuntime *runtime;
    char *id;
    char *address;
    gboolean agent, cloud_init;
    guint port;
    gint64 run;     /* in which run it was asked: SteadLive's run_started */
    gboolean holds; /* the answer */
    GStrv addresses;
} Probe;

static void probe_free(Probe *probe)
{
    g_free(probe->id);
    g_free(probe->address);
    g_strfreev(probe->addresses);
    g_free(probe);
}

static gboolean port_accepts(const char *address, guint port)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_timeout(client, PORT_TIMEOUT_S);
    g_socket_client_set_enable_proxy(client, FALSE);
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_to_host(client, address, (guint16)port, NULL, NULL);
    return connection != NULL;
}

static gboolean cloud_init_done(const Probe *probe)
{
    static const char *const command[] = {"test", "-e", CLOUD_INIT_RESULT, NULL};
    g_autoptr(SteadExecResult) result = stead_runtime_exec(probe->runtime, probe->id, command, NULL,
                                                           CLOUD_INIT_TIMEOUT_MS, NULL, NULL);
    return result && result->exit_code == 0;
}

static void set_ready(SteadLive *live, SteadInstance *instance)
{
    SteadEngine *engine = live->engine;
    instance->ready = TRUE;
    g_clear_handle_id(&live->ready_timer, g_source_remove);
    stead_engine_save(engine, instance);
    g_autofree char *elapsed =
        g_strdup_printf("%" G_GINT64_FORMAT, (g_get_monotonic_time() - live->run_started) / 1000);
    stead_events_emit(engine->events, "instance.ready", instance->name,
                      stead_event_data("elapsed-ms", elapsed, NULL));
    stead_engine_changed(engine);
}

void stead_engine_agent_answered(SteadEngine *engine, SteadInstance *instance)
{
    SteadLive *live = stead_engine_live(engine, instance->id);
    const SteadReadySpec *rule = &instance->spec->ready;
    if (rule->agent && !rule->cloud_init && rule->port == 0 && live->rule == NULL)
        set_ready(live, instance);
    else
        stead_engine_await_ready(engine, live);
}

static gboolean on_probed(gpointer data)
{
    Probe *probe = data;
    SteadEngine *engine = probe->engine;
    SteadLive *live = g_hash_table_lookup(engine->live, probe->id);
    SteadInstance *instance = stead_table_get(engine->instances, probe->id);
    if (live)
        live->probing = FALSE;
    if (live && instance && probe->holds && live->rule == NULL && live->run_started == probe->run &&
        instance->state == STEAD_STATE_RUNNING && !instance->ready) {
        if (probe->addresses && probe->addresses[0]) {
            g_strfreev(instance->addresses);
            instance->addresses = g_steal_pointer(&probe->addresses);
        }
        set_ready(live, instance);
    }
    probe_free(probe);
    return G_SOURCE_REMOVE;
}

/* In one of the probes' threads. */
static void run_probe(gpointer data, gpointer unused)
{
    Probe *probe = data;
    gboolean agent_asked = probe->agent || probe->cloud_init;
    probe->holds =
        (!agent_asked || stead_runtime_agent_ping(probe->runtime, probe->id, NULL)) &&
        (!probe->cloud_init || cloud_init_done(probe)) &&
        (probe->port == 0 || (probe->address && port_accepts(probe->address, probe->port)));
    if (probe->holds)
        probe->addresses = stead_runtime_addresses(probe->runtime, probe->id, NULL);
    stead_call_on_main(on_probed, probe);
}

static const char *known_address(const SteadInstance *instance)
{
    for (guint i = 0; i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        if (nic->address && *nic->address)
            return nic->address;
    }
    return instance->addresses ? instance->addresses[0] : NULL;
}

/* Begins a probe, unless one is under way or it is too early; FALSE when none is needed. */
static gboolean ask(SteadLive *live)
{
    SteadEngine *engine = live->engine;
    SteadInstance *instance = stead_table_get(engine->instances, live->id);
    if (instance == NULL || instance->ready)
        return FALSE;
    if (live->probing || live->rule != NULL || instance->state != STEAD_STATE_RUNNING)
        return TRUE;
    const SteadReadySpec *ready = &instance->spec->ready;
    Probe *probe = g_new0(Probe, 1);
    probe->engine = engine;
    probe->runtime = stead_engine_runtime(engine, instance->kind);
    probe->id = g_strdup(live->id);
    probe->run = live->run_started;
    probe->address = g_strdup(known_address(instance));
    probe->agent = ready->agent;
    probe->cloud_init = ready->cloud_init;
    probe->port = ready->port;
    live->probing = TRUE;
    if (engine->probes == NULL)
        engine->probes = g_thread_pool_new(run_probe, NULL, 4, FALSE, NULL);
    g_thread_pool_push(engine->probes, probe, NULL);
    return TRUE;
}

/* It goes on, and may become ready yet; but who waits by the rule need not wait any longer. */
static void tell_if_late(SteadLive *live)
{
    SteadInstance *instance = stead_table_get(live->engine->instances, live->id);
    gint64 elapsed = (g_get_monotonic_time() - live->run_started) / 1000;
    if (live->late || instance == NULL || instance->ready ||
        instance->state != STEAD_STATE_RUNNING || live->run_started == 0 ||
        elapsed < (gint64)instance->spec->ready.timeout)
        return;
    live->late = TRUE;
    g_autofree char *limit = stead_format_duration(instance->spec->ready.timeout);
    stead_events_emit(live->engine->events, "instance.late", instance->name,
                      stead_event_data("timeout", limit, NULL));
}

static gboolean on_timer(gpointer data)
{
    SteadLive *live = data;
    tell_if_late(live);
    if (ask(live))
        return G_SOURCE_CONTINUE;
    live->ready_timer = 0;
    return G_SOURCE_REMOVE;
}

void stead_engine_await_ready(SteadEngine *engine, SteadLive *live)
{
    if (ask(live) && live->ready_timer == 0)
        live->ready_timer = g_timeout_add(ASK_EVERY_MS, on_timer, live);
}
