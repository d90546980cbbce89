/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ports are the same when number and protocol are and their addresses meet: one without an
 * address is on all of them. MACs and addresses count within one network. An instance that is being
 * removed has given up its claims.
 */
#include "engine/claims.h"

#include "base/error.h"

static gboolean is_everywhere(const char *address)
{
    return address == NULL || g_str_equal(address, "0.0.0.0");
}

static gboolean same_port(const SteadPortSpec *a, const SteadPortSpec *b)
{
    return a->host == b->host && a->protocol == b->protocol &&
           (is_everywhere(a->host_address) || is_everywhere(b->host_address) ||
            g_str_equal(a->host_address, b->host_address));
}

static gboolean check_port(const SteadInstance *other, const SteadPortSpec *port, GError **error)
{
    for (guint i = 0; i < other->spec->ports->len; i++) {
        if (!same_port(port, other->spec->ports->pdata[i]))
            continue;
        stead_set_error(error, STEAD_ERROR_CONFLICT,
                        "Publish another port of the host, or remove that instance.",
                        "port %u/%s of the host is given to '%s' already", port->host,
                        stead_name_of(&stead_protocol_names, (int)port->protocol), other->name);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_nic(const SteadInstance *other, const SteadNicSpec *nic, GError **error)
{
    for (guint i = 0; i < other->nics->len; i++) {
        const SteadNicRecord *has = other->nics->pdata[i];
        gboolean same_mac = nic->mac && g_ascii_strcasecmp(nic->mac, has->mac) == 0;
        gboolean same_address = nic->address && g_strcmp0(nic->address, has->address) == 0;
        if (!g_str_equal(nic->network, has->network) || !(same_mac || same_address))
            continue;
        stead_set_error(error, STEAD_ERROR_CONFLICT, "Choose another one, or leave it out.",
                        "the address %s in network '%s' is given to '%s' already",
                        same_mac ? nic->mac : nic->address, nic->network, other->name);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_against(const SteadInstance *other, const SteadInstanceSpec *spec,
                              GError **error)
{
    for (guint i = 0; i < spec->ports->len; i++)
        if (!check_port(other, spec->ports->pdata[i], error))
            return FALSE;
    for (guint i = 0; i < spec->networks->len; i++)
        if (!check_nic(other, spec->networks->pdata[i], error))
            return FALSE;
    return TRUE;
}

gboolean stead_claims_check(const GPtrArray *others, const char *except,
                            const SteadInstanceSpec *spec, GError **error)
{
    for (guint i = 0; i < others->len; i++) {
        const SteadInstance *other = others->pdata[i];
        if (g_strcmp0(other->id, except) != 0 && other->state != STEAD_STATE_REMOVING &&
            !check_against(other, spec, error))
            return FALSE;
    }
    return TRUE;
}
