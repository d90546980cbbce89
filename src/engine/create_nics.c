/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces of an instance that is being made. Addresses and MACs are chosen on the main loop
 * and put on record, so that no two instances choose the same, and an attempt that was cut off is
 * repeated with what it had chosen. To reserve them in the network is part of the start (start.c).
 */
#include "base/error.h"
#include "engine/create.h"
#include "net/addresses.h"

static gboolean uses_default(gpointer data, GError **error)
{
    Create *create = data;
    SteadInstance *instance = stead_engine_expect(create->engine, create->id, error);
    gboolean used = FALSE;
    for (guint i = 0; instance && i < instance->spec->networks->len; i++)
        used |=
            g_str_equal(((SteadNicSpec *)instance->spec->networks->pdata[i])->network, "default");
    return used;
}

/* The addresses that others have, or were given on paper, in a network. */
static GStrv addresses_taken(SteadEngine *engine, const SteadInstance *except, const char *network)
{
    g_autoptr(GStrvBuilder) taken = g_strv_builder_new();
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    for (guint i = 0; i < instances->len; i++) {
        const SteadInstance *other = instances->pdata[i];
        for (guint n = 0; other != except && n < other->nics->len; n++) {
            const SteadNicRecord *nic = other->nics->pdata[n];
            if (nic->address && g_str_equal(nic->network, network))
                g_strv_builder_add(taken, nic->address);
        }
    }
    return g_strv_builder_end(taken);
}

static gboolean choose_address(Create *create, SteadInstance *instance, const SteadNicSpec *spec,
                               const SteadNetwork *network, SteadNicRecord *nic, GError **error)
{
    SteadAddressPlan plan;
    if (network->spec->mode == STEAD_NETWORK_BRIDGE) {
        if (spec->address == NULL)
            return TRUE;
        stead_set_error(error, STEAD_ERROR_INVALID,
                        "Leave it out, and give it by DHCP or in the instance's user-data.",
                        "stead gives out no addresses on the bridge network '%s', so %s cannot "
                        "have %s",
                        network->name, instance->name, spec->address);
        return FALSE;
    }
    if (!stead_address_plan(network->spec, &plan, error))
        return FALSE;
    g_auto(GStrv) taken = addresses_taken(create->engine, instance, network->name);
    if (spec->address) {
        if (g_strv_contains((const char *const *)taken, spec->address)) {
            stead_set_error(error, STEAD_ERROR_CONFLICT, "Choose another address.",
                            "the address %s of network '%s' is taken", spec->address,
                            network->name);
            return FALSE;
        }
        nic->address = g_strdup(spec->address);
        return stead_address_check(&plan, spec->address, error);
    }
    g_autoptr(GHashTable) set = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; taken[i]; i++)
        g_hash_table_add(set, taken[i]);
    nic->address = stead_address_choose(&plan, set, error);
    return nic->address != NULL;
}

/* With a prepared address comes its MAC. */
static char *choose_mac(const SteadInstance *instance, const SteadNetwork *network,
                        const SteadNicRecord *nic, guint n)
{
    SteadAddressPlan plan;
    char *mac = nic->address && stead_address_plan(network->spec, &plan, NULL)
                    ? stead_address_mac(&plan, network->id, nic->address)
                    : NULL;
    return mac ? mac : stead_mac_derive(instance->id, n);
}

/* Gives each interface its MAC and address, on the main loop, so that no two get the same. */
static gboolean assign_nics(gpointer data, GError **error)
{
    Create *create = data;
    SteadEngine *engine = create->engine;
    SteadInstance *instance = stead_engine_expect(engine, create->id, error);
    if (instance == NULL)
        return FALSE;
    create->networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    gboolean assigned = instance->nics->len > 0; /* by an attempt that was cut off */
    for (guint i = 0; i < instance->spec->networks->len; i++) {
        const SteadNicSpec *spec = instance->spec->networks->pdata[i];
        SteadNetwork *network = stead_table_find(engine->networks, spec->network, error);
        if (network == NULL)
            return FALSE;
        if (network->removing) {
            stead_set_error(error, STEAD_ERROR_BUSY, NULL, "the network '%s' is being removed",
                            network->name);
            return FALSE;
        }
        g_ptr_array_add(create->networks, stead_network_copy(network));
        if (assigned)
            continue;
        SteadNicRecord *nic = g_new0(SteadNicRecord, 1);
        g_ptr_array_add(instance->nics, nic);
        nic->network = g_strdup(network->name);
        if (!choose_address(create, instance, spec, network, nic, error))
            return FALSE;
        nic->mac = spec->mac ? g_strdup(spec->mac) : choose_mac(instance, network, nic, i);
    }
    g_clear_pointer(&create->instance, stead_instance_free);
    create->instance = stead_instance_copy(instance);
    return stead_table_save(engine->instances, instance, error);
}

gboolean stead_create_nics(Create *create, GError **error)
{
    if (stead_job_sync(create->job, uses_default, create, NULL) &&
        !stead_engine_ensure_default_network(create->engine, create->job, error))
        return FALSE;
    return stead_job_sync(create->job, assign_nics, create, error);
}
