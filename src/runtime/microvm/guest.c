/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the guest, through its agent.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "net/tap.h"
#include "runtime/microvm/internal.h"

#define PING_TIMEOUT_MS 3000
/* Until a command has begun, or a file is open. */
#define START_TIMEOUT_MS 20000

static gint64 deadline_after(guint64 timeout_ms)
{
    return g_get_monotonic_time() + (gint64)MIN(timeout_ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND;
}

SteadExecResult *stead_microvm_exec(gpointer self, const char *id, const char *const argv[],
                                    const char *input, guint64 timeout_ms,
                                    GCancellable *cancellable, GError **error)
{
    gint64 deadline = deadline_after(timeout_ms);
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, cancellable, error);
    if (monitor == NULL ||
        !stead_agent_await_ready(monitor->agent, MIN(deadline, deadline_after(PING_TIMEOUT_MS)),
                                 cancellable, error))
        return NULL;
    return stead_agent_exec(monitor->agent, argv, input, deadline, cancellable, error);
}

/* A time-out here is the agent's. */
static gboolean await_started(SteadStream *stream, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (stead_stream_await_started(stream, deadline_after(START_TIMEOUT_MS), cancellable, &why))
        return TRUE;
    if (g_error_matches(why, STEAD_ERROR, STEAD_ERROR_TIMEOUT))
        stead_set_error(error, STEAD_ERROR_GUEST, NULL, "the agent in the guest does not answer");
    else
        g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static SteadStream *open_stream(SteadAgent *agent, const SteadStreamRequest *request,
                                GCancellable *cancellable, GError **error)
{
    g_autoptr(SteadStream) stream = stead_agent_stream(agent, request, error);
    if (stream && await_started(stream, cancellable, error))
        return g_steal_pointer(&stream);
    return NULL;
}

SteadStream *stead_microvm_stream(gpointer self, const char *id, const SteadStreamRequest *request,
                                  GCancellable *cancellable, GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, cancellable, error);
    if (monitor == NULL || !stead_agent_await_ready(monitor->agent, deadline_after(PING_TIMEOUT_MS),
                                                    cancellable, error))
        return NULL;
    g_autoptr(GError) why = NULL;
    SteadStream *stream = open_stream(monitor->agent, request, cancellable, &why);
    if (stream == NULL && request->name &&
        g_error_matches(why, STEAD_ERROR, STEAD_ERROR_CONFLICT)) {
        g_autofree char *path = g_build_filename(request->path, request->name, NULL);
        SteadStreamRequest inside = *request;
        inside.path = path;
        return open_stream(monitor->agent, &inside, cancellable, error);
    }
    if (stream == NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    return stream;
}

gboolean stead_microvm_agent_ping(gpointer self, const char *id, GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, NULL, error);
    if (monitor == NULL)
        return FALSE;
    if (!stead_agent_is_ready(monitor->agent) || stead_monitor_is_nameless(monitor)) {
        stead_set_error(error, STEAD_ERROR_GUEST, NULL, "the agent has not answered yet");
        return FALSE;
    }
    g_autoptr(GBytes) pong = stead_agent_ask(monitor->agent, GUEST_PING, "?", 1, GUEST_PONG,
                                             deadline_after(PING_TIMEOUT_MS), NULL, error);
    return pong != NULL;
}

/* ---- addresses ---- */

static void add_addresses(const GuestInterface *interface, GPtrArray *addresses)
{
    for (guint i = 0; i < interface->n_addresses; i++) {
        char text[INET_ADDRSTRLEN];
        if (interface->addresses[i].family == 4 &&
            inet_ntop(AF_INET, interface->addresses[i].address, text, sizeof text))
            g_ptr_array_add(addresses, g_strdup(text));
    }
}

GStrv stead_microvm_addresses(gpointer self, const char *id, GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, NULL, error);
    g_autoptr(GBytes) answer =
        monitor == NULL
            ? NULL
            : stead_agent_ask(monitor->agent, GUEST_NETWORK, NULL, 0, GUEST_NETWORK_REPLY,
                              deadline_after(PING_TIMEOUT_MS), NULL, error);
    if (answer == NULL)
        return NULL;
    gsize length;
    g_autofree guint8 *bytes = g_bytes_unref_to_data(g_steal_pointer(&answer), &length);
    g_autofree GuestNetwork *network = g_new0(GuestNetwork, 1);
    GPtrArray *addresses = g_ptr_array_new();
    GuestFields fields = guest_fields_reader(bytes, length);
    guest_network_fields(&fields, network);
    for (guint i = 0; guest_fields_end(&fields) == 0 && i < network->n_interfaces; i++)
        add_addresses(&network->interfaces[i], addresses);
    g_ptr_array_add(addresses, NULL);
    return (GStrv)g_ptr_array_free(addresses, FALSE);
}

/* ---- identity ---- */

static gboolean parse_mac(const char *text, guint8 mac[6])
{
    return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3],
                  &mac[4], &mac[5]) == 6;
}

static gboolean fill_nic(const SteadIdentityNic *from, GuestNic *to, GError **error)
{
    to->prefix = from->address ? (guint8)from->prefix : 0;
    if (parse_mac(from->was, to->match) && parse_mac(from->mac, to->mac) &&
        (from->address == NULL || inet_pton(AF_INET, from->address, to->address) == 1) &&
        (from->gateway == NULL || inet_pton(AF_INET, from->gateway, to->gateway) == 1))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "an interface of it makes no sense");
    return FALSE;
}

static gboolean fill_files(const SteadIdentity *identity, GuestRenew *renew, GError **error)
{
    for (guint i = 0; i < identity->keys->len; i++) {
        const SteadIdentityFile *file = identity->keys->pdata[i];
        gsize length;
        if (renew->n_files == GUEST_FILES_MAX || renew->n_removed == GUEST_FILES_MAX) {
            stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "too many files");
            return FALSE;
        }
        if (file->content == NULL) {
            renew->removed[renew->n_removed++] = file->path;
            continue;
        }
        GuestRenewFile *to = &renew->files[renew->n_files++];
        to->path = file->path;
        to->mode = file->mode;
        to->content.data = g_bytes_get_data(file->content, &length);
        to->content.length = (guint32)length;
    }
    return TRUE;
}

static gboolean fill(const SteadIdentity *identity, GuestRenew *renew, GError **error)
{
    renew->realtime = (guint64)g_get_real_time() * 1000;
    renew->host_name = identity->hostname;
    renew->machine_id = identity->machine_id;
    renew->domain = identity->domain ? identity->domain : "";
    if (identity->dns && inet_pton(AF_INET, identity->dns, renew->servers[0]) == 1)
        renew->n_servers = 1;
    for (guint i = 0; i < identity->nics->len && i < GUEST_INTERFACES_MAX; i++)
        if (!fill_nic(identity->nics->pdata[i], &renew->nics[renew->n_nics++], error))
            return FALSE;
    return fill_files(identity, renew, error);
}

static gboolean join_bridges(const char *id, const SteadIdentity *identity, GError **error)
{
    for (guint i = 0; i < identity->nics->len; i++) {
        const SteadIdentityNic *nic = identity->nics->pdata[i];
        if (nic->bridge && !stead_tap_join(nic->bridge, id, i, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_microvm_renew(gpointer self, const char *id, const SteadIdentity *identity,
                             guint64 timeout_ms, GCancellable *cancellable, GError **error)
{
    gint64 deadline = deadline_after(timeout_ms);
    guint8 entropy[64];
    g_autofree GuestRenew *renew = g_new0(GuestRenew, 1);
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, cancellable, error);
    if (monitor == NULL || !fill(identity, renew, error))
        return FALSE;
    if (getrandom(entropy, sizeof entropy, 0) == (ssize_t)sizeof entropy)
        renew->entropy = (GuestBytes){entropy, sizeof entropy};
    if (!stead_agent_renew(monitor->agent, renew, deadline, cancellable, error) ||
        !join_bridges(id, identity, error))
        return FALSE;
    g_mutex_lock(&monitor->lock);
    monitor->named = TRUE;
    g_mutex_unlock(&monitor->lock);
    return TRUE;
}
