/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the agent in the guest. It has no way to say that a command has ended, so its status is
 * asked for with pauses that grow; cancelling ends a pause at once. A command that is given up is
 * killed in the guest, as well as the agent can.
 */
#include <libvirt/libvirt-qemu.h>
#include <string.h>

#include "base/error.h"
#include "runtime/vm/agent_reply.h"
#include "runtime/vm/internal.h"

#define PING_TIMEOUT_S 3
#define COMMAND_TIMEOUT_S 20
#define STATUS_PAUSE_MIN_MS 10
#define STATUS_PAUSE_MAX_MS 500
/* libvirt's transport refuses a longer request. */
#define REQUEST_MAX (3 * 1024 * 1024)
#define ADDRESSES_MAX 64

/* The agent's answer to `request`; NULL upon failure. */
static JsonNode *ask(virDomainPtr domain, const char *request, int timeout_s, GError **error)
{
    char *reply = virDomainQemuAgentCommand(domain, request, timeout_s, 0);
    if (reply == NULL) {
        stead_libvirt_error(error, "the guest's agent");
        return NULL;
    }
    JsonNode *node = stead_agent_reply_parse(reply, error);
    free(reply);
    return node;
}

gboolean stead_vm_agent_ping(gpointer self, const char *id, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    if (domain == NULL)
        return FALSE;
    g_autoptr(JsonNode) answer = ask(domain, "{\"execute\":\"guest-ping\"}", PING_TIMEOUT_S, error);
    return answer != NULL;
}

/* Best effort: a command of which nobody wants to know any more, and what it started. */
static void abandon(virDomainPtr domain, gint64 pid)
{
    g_autofree char *script =
        g_strdup_printf("kill -9 -- -%" G_GINT64_FORMAT "; pkill -9 -P %" G_GINT64_FORMAT
                        "; kill -9 %" G_GINT64_FORMAT,
                        pid, pid, pid);
    const char *const argv[] = {"sh", "-c", script, NULL};
    g_autofree char *request = stead_agent_exec_request(argv, NULL);
    JsonNode *answer = ask(domain, request, PING_TIMEOUT_S, NULL);
    g_clear_pointer(&answer, json_node_unref);
}

/* Waits `ms`, or until it is cancelled. */
static void pause_for(GCancellable *cancellable, gint64 ms)
{
    GPollFD fd = {.fd = -1};
    gboolean pollable = g_cancellable_make_pollfd(cancellable, &fd);
    g_poll(&fd, pollable ? 1 : 0, (gint)ms);
    if (pollable)
        g_cancellable_release_fd(cancellable);
}

static gboolean may_go_on(gint64 deadline, GCancellable *cancellable, GError **error)
{
    if (g_cancellable_is_cancelled(cancellable)) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
        return FALSE;
    }
    if (g_get_monotonic_time() < deadline)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL,
                    "the command did not end in the time allowed");
    return FALSE;
}

/* A status that libvirt cannot carry is that of a command with too much output. */
static void explain_size(GError **error)
{
    if (error == NULL || !g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED))
        return;
    g_clear_error(error);
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Write it to a file in the guest instead.",
                    "the command wrote more than the agent's channel carries, about 3 MiB");
}

static SteadExecResult *await_exit(virDomainPtr domain, gint64 pid, gint64 deadline,
                                   GCancellable *cancellable, GError **error)
{
    g_autofree char *request = g_strdup_printf(
        "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%" G_GINT64_FORMAT "}}", pid);
    for (gint64 pause = STATUS_PAUSE_MIN_MS;; pause = MIN(pause * 2, STATUS_PAUSE_MAX_MS)) {
        pause_for(cancellable, pause);
        SteadExecResult *result = NULL;
        g_autoptr(JsonNode) answer = ask(domain, request, COMMAND_TIMEOUT_S, error);
        if (answer == NULL)
            explain_size(error);
        if (answer == NULL || !stead_agent_reply_status(answer, &result, error))
            return NULL;
        if (result)
            return result;
        if (!may_go_on(deadline, cancellable, error)) {
            abandon(domain, pid);
            return NULL;
        }
    }
}

/* The agent's own words for a program that it cannot start carry GLib's reason in a tail. */
static void explain_refusal(const char *program, GError **error)
{
    if (error == NULL || *error == NULL || !strstr((*error)->message, "Failed to execute child"))
        return;
    const char *open = strrchr((*error)->message, '(');
    g_autofree char *why = g_strdup(open ? open + 1 : "it cannot be executed");
    if (strrchr(why, ')'))
        *strrchr(why, ')') = '\0';
    g_clear_error(error);
    stead_set_error(error, STEAD_ERROR_NOT_FOUND,
                    "No shell is involved: give a program and its arguments, or sh -c '...'.",
                    "the guest cannot run '%s': %s", program, why);
}

SteadExecResult *stead_vm_exec(gpointer self, const char *id, const char *const argv[],
                               const char *input, guint64 timeout_ms, GCancellable *cancellable,
                               GError **error)
{
    gint64 deadline =
        g_get_monotonic_time() + (gint64)MIN(timeout_ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND;
    g_autofree char *request = stead_agent_exec_request(argv, input);
    if (strlen(request) > REQUEST_MAX) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "the command and its input are longer than %d bytes", REQUEST_MAX);
        return NULL;
    }
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    gint64 pid = 0;
    if (domain == NULL)
        return NULL;
    g_autoptr(JsonNode) answer = ask(domain, request, COMMAND_TIMEOUT_S, error);
    if (answer == NULL)
        explain_refusal(argv[0], error);
    if (answer == NULL || !stead_agent_reply_pid(answer, &pid, error))
        return NULL;
    return await_exit(domain, pid, deadline, cancellable, error);
}

/* Adds the IPv4 addresses that `source` knows. Not knowing any is no failure. */
static void collect(virDomainPtr domain, guint source, GPtrArray *addresses)
{
    virDomainInterfacePtr *interfaces = NULL;
    int n = virDomainInterfaceAddresses(domain, &interfaces, source, 0);
    for (int i = 0; i < n; i++) {
        for (guint j = 0; j < interfaces[i]->naddrs; j++) {
            const virDomainIPAddress *address = &interfaces[i]->addrs[j];
            if (address->type == VIR_IP_ADDR_TYPE_IPV4 &&
                !g_str_has_prefix(address->addr, "127.") &&
                g_hostname_is_ip_address(address->addr) && addresses->len < ADDRESSES_MAX &&
                !g_ptr_array_find_with_equal_func(addresses, address->addr, g_str_equal, NULL))
                g_ptr_array_add(addresses, g_strdup(address->addr));
        }
        virDomainInterfaceFree(interfaces[i]);
    }
    free(interfaces);
}

static gboolean is_agent_connected(virDomainPtr domain)
{
    g_autoptr(xmlDoc) doc = stead_vm_describe(domain, 0, NULL);
    g_autofree char *state =
        doc ? stead_xml_string(doc, "/domain/devices/channel/"
                                    "target[@name='org.qemu.guest_agent.0']/@state")
            : NULL;
    return g_strcmp0(state, "connected") == 0;
}

GStrv stead_vm_addresses(gpointer self, const char *id, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    if (domain == NULL)
        return NULL;
    GPtrArray *addresses = g_ptr_array_new_with_free_func(g_free);
    collect(domain, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, addresses);
    if (is_agent_connected(domain))
        collect(domain, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, addresses);
    g_ptr_array_set_free_func(addresses, NULL);
    g_ptr_array_add(addresses, NULL);
    return (GStrv)g_ptr_array_free(addresses, FALSE);
}
