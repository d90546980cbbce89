/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a network. The libvirt network has the record's id as its UUID, so a repeated attempt
 * finds exactly what a former one made; a network of the wanted name with another UUID is either
 * an orphan of this root, which is replaced, or somebody else's, which is a conflict.
 *
 * Choosing a subnet and defining the network are one step under a lock, so that two jobs do not
 * choose the same. Another daemon's choice may still come between; libvirt then refuses to start
 * the second network, and another subnet is chosen.
 */
#include "net/network.h"

#include <string.h>

#include "base/error.h"
#include "host/xml.h"
#include "net/host_bridge.h"
#include "net/network_xml.h"
#include "net/subnets.h"

#define CHOICE_ATTEMPTS 8

static GMutex making;

static xmlDocPtr read_definition(virNetworkPtr network, GError **error)
{
    const char *name = virNetworkGetName(network);
    g_autofree char *xml = virNetworkGetXMLDesc(network, VIR_NETWORK_XML_INACTIVE);
    if (xml == NULL) {
        stead_libvirt_error(error, "reading network %s", name);
        return NULL;
    }
    return stead_xml_parse(name, xml, error);
}

static gboolean is_gone(void)
{
    const virError *failure = virGetLastError();
    return failure && failure->code == VIR_ERR_NO_NETWORK;
}

/* Brings it to be active or not. Success also when another was faster. Asking whether it is active
 * forgets libvirt's error, so that is kept first. */
static gboolean set_active(virNetworkPtr network, gboolean active, GError **error)
{
    const char *name = virNetworkGetName(network);
    g_autoptr(GError) why = NULL;
    if ((virNetworkIsActive(network) == 1) == active)
        return TRUE;
    if ((active ? virNetworkCreate(network) : virNetworkDestroy(network)) == 0)
        return TRUE;
    stead_libvirt_error(&why, "%s network %s", active ? "starting" : "stopping", name);
    if ((virNetworkIsActive(network) == 1) == active)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* Stops and undefines; success when it went away meanwhile. */
static gboolean unmake(virNetworkPtr network, GError **error)
{
    if (!set_active(network, FALSE, error))
        return FALSE;
    if (virNetworkIsPersistent(network) == 1 && virNetworkUndefine(network) < 0 && !is_gone())
        return stead_libvirt_error(error, "removing network %s", virNetworkGetName(network));
    return TRUE;
}

static gboolean is_of_root(virNetworkPtr network, const SteadPaths *paths)
{
    g_autoptr(xmlDoc) doc = read_definition(network, NULL);
    g_autofree char *root = doc ? stead_network_xml_root(doc) : NULL;
    return g_strcmp0(root, paths->state) == 0;
}

/* Sees to it that no other network has the name. */
static gboolean clear_name(virConnectPtr conn, const SteadNetwork *network, const SteadPaths *paths,
                           GError **error)
{
    g_autoptr(virNetwork) holder = virNetworkLookupByName(conn, network->libvirt_name);
    if (holder == NULL)
        return is_gone() || stead_libvirt_error(error, "looking for %s", network->libvirt_name);
    if (is_of_root(holder, paths))
        return unmake(holder, error);
    g_autofree char *hint = g_strdup_printf(
        "Choose another name, or remove it: virsh net-undefine %s", network->libvirt_name);
    stead_set_error(error, STEAD_ERROR_CONFLICT, hint,
                    "libvirt has a network %s already, which stead did not make",
                    network->libvirt_name);
    return FALSE;
}

/* *found is NULL when there is none. */
static gboolean find(virConnectPtr conn, const char *id, virNetworkPtr *found, GError **error)
{
    *found = virNetworkLookupByUUIDString(conn, id);
    if (*found || is_gone())
        return TRUE;
    return stead_libvirt_error(error, "looking for network %s", id);
}

static gboolean define_and_start(virConnectPtr conn, const char *name, const char *xml,
                                 GError **error)
{
    g_autoptr(virNetwork) made = virNetworkDefineXML(conn, xml);
    if (made == NULL)
        return stead_libvirt_error(error, "defining network %s", name);
    if (!set_active(made, TRUE, error)) {
        unmake(made, NULL);
        return FALSE;
    }
    /* Not needed by stead, which starts its networks; other tools expect it of one that is in use.
     */
    virNetworkSetAutostart(made, 1);
    return TRUE;
}

static GPtrArray *read_uses(virConnectPtr conn, const SteadNetwork *network, GError **error)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    if (!stead_subnet_uses_read_libvirt(uses, conn, network->libvirt_name, error) ||
        !stead_subnet_uses_read_host(uses, network->bridge, error))
        return NULL;
    return g_steal_pointer(&uses);
}

/* Defines and starts with the subnet that the spec names. */
static gboolean make_with_subnet(virConnectPtr conn, const SteadNetwork *network,
                                 const SteadPaths *paths, GPtrArray *uses, GError **error)
{
    SteadSubnet subnet;
    g_autofree char *xml = stead_network_xml(network, paths, error);
    return xml && stead_subnet_parse(network->spec->subnet, &subnet, error) &&
           stead_subnet_check_free(&subnet, uses, error) &&
           define_and_start(conn, network->libvirt_name, xml, error);
}

/* Likewise with one that is chosen; spec->subnet is NULL again upon failure. */
static gboolean make_with_choice(virConnectPtr conn, SteadNetwork *network, const SteadPaths *paths,
                                 GPtrArray *uses, GError **error)
{
    for (guint attempt = 1;; attempt++) {
        g_autoptr(GError) local = NULL;
        SteadSubnet subnet;
        if (!stead_subnet_choose(uses, &subnet, error))
            return FALSE;
        network->spec->subnet = stead_subnet_format(&subnet);
        if (make_with_subnet(conn, network, paths, uses, &local))
            return TRUE;
        g_clear_pointer(&network->spec->subnet, g_free);
        if (attempt == CHOICE_ATTEMPTS ||
            !g_error_matches(local, STEAD_ERROR, STEAD_ERROR_CONFLICT)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        stead_subnet_uses_add(uses, subnet.network, subnet.prefix, "network", "of another daemon");
    }
}

static gboolean make_new(virConnectPtr conn, SteadNetwork *network, const SteadPaths *paths,
                         GError **error)
{
    if (!clear_name(conn, network, paths, error))
        return FALSE;
    g_autoptr(GPtrArray) uses = read_uses(conn, network, error);
    if (uses == NULL)
        return FALSE;
    return network->spec->subnet ? make_with_subnet(conn, network, paths, uses, error)
                                 : make_with_choice(conn, network, paths, uses, error);
}

/* Whether `doc` is the very definition that the record asks for. */
static gboolean is_as_wanted(xmlDocPtr doc, const char *wanted_xml)
{
    g_autoptr(xmlDoc) wanted = stead_xml_parse("network", wanted_xml, NULL);
    g_autofree char *has = stead_network_xml_digest(doc);
    g_autofree char *wants = wanted ? stead_network_xml_digest(wanted) : NULL;
    return has && g_strcmp0(has, wants) == 0;
}

/* A network of the record's id exists: takes it over, or replaces it. */
static gboolean make_again(virConnectPtr conn, virNetworkPtr existing, SteadNetwork *network,
                           const SteadPaths *paths, GError **error)
{
    g_autoptr(xmlDoc) doc = read_definition(existing, error);
    if (doc == NULL)
        return FALSE;
    if (network->spec->subnet == NULL)
        network->spec->subnet = stead_network_xml_subnet(doc);
    g_autofree char *xml = network->spec->subnet ? stead_network_xml(network, paths, error) : NULL;
    if (network->spec->subnet && xml == NULL)
        return FALSE;
    if (xml && is_as_wanted(doc, xml))
        return set_active(existing, TRUE, error);
    guint ports = stead_host_bridge_ports(STEAD_SYS_CLASS_NET, network->bridge);
    if (ports > 0) {
        stead_set_error(error, STEAD_ERROR_BUSY, "Stop the instances that use it, then repeat.",
                        "network %s cannot be changed while %u interfaces are in it", network->name,
                        ports);
        return FALSE;
    }
    return unmake(existing, error) && make_new(conn, network, paths, error);
}

static gboolean make_locked(virConnectPtr conn, SteadNetwork *network, const SteadPaths *paths,
                            GError **error)
{
    g_autoptr(virNetwork) existing = NULL;
    if (!find(conn, network->id, &existing, error))
        return FALSE;
    return existing ? make_again(conn, existing, network, paths, error)
                    : make_new(conn, network, paths, error);
}

static gboolean make_bridge(SteadNetwork *network, GError **error)
{
    if (!stead_host_bridge_check(STEAD_SYS_CLASS_NET, network->spec->bridge, error))
        return FALSE;
    g_free(network->bridge);
    network->bridge = g_strdup(network->spec->bridge);
    return TRUE;
}

gboolean stead_network_make(SteadLibvirt *libvirt, SteadNetwork *network, const SteadPaths *paths,
                            GError **error)
{
    if (network->spec->mode == STEAD_NETWORK_BRIDGE)
        return make_bridge(network, error);
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    if (conn == NULL)
        return FALSE;
    if (network->libvirt_name == NULL)
        network->libvirt_name = stead_network_libvirt_name(paths, network->name);
    if (network->bridge == NULL)
        network->bridge = stead_network_bridge_name(network->id);
    g_mutex_lock(&making);
    gboolean made = make_locked(conn, network, paths, error);
    g_mutex_unlock(&making);
    return made;
}

gboolean stead_network_ensure_started(SteadLibvirt *libvirt, const SteadNetwork *network,
                                      const SteadPaths *paths, GError **error)
{
    if (network->spec->mode == STEAD_NETWORK_BRIDGE)
        return stead_host_bridge_check(STEAD_SYS_CLASS_NET, network->spec->bridge, error);
    if (network->spec->subnet == NULL || !network->libvirt_name || !network->bridge) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "network %s was not made yet",
                        network->name);
        return FALSE;
    }
    /* With all of that filled in, making changes nothing in the record. */
    SteadNetwork same = *network;
    return stead_network_make(libvirt, &same, paths, error);
}

gboolean stead_network_remove(SteadLibvirt *libvirt, const SteadNetwork *network, GError **error)
{
    if (network->spec->mode == STEAD_NETWORK_BRIDGE)
        return TRUE;
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    g_autoptr(virNetwork) existing = NULL;
    if (conn == NULL || !find(conn, network->id, &existing, error))
        return FALSE;
    return existing == NULL || unmake(existing, error);
}

GPtrArray *stead_network_orphans(SteadLibvirt *libvirt, const SteadPaths *paths, GHashTable *known,
                                 GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    if (conn == NULL)
        return NULL;
    virNetworkPtr *networks = NULL;
    int n = virConnectListAllNetworks(conn, &networks, 0);
    if (n < 0) {
        stead_libvirt_error(error, "listing libvirt's networks");
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i < n; i++) {
        char id[VIR_UUID_STRING_BUFLEN] = "";
        virNetworkGetUUIDString(networks[i], id);
        if (!g_hash_table_contains(known, id) && is_of_root(networks[i], paths))
            g_ptr_array_add(names, g_strdup(virNetworkGetName(networks[i])));
        virNetworkFree(networks[i]);
    }
    free(networks);
    return names;
}

gboolean stead_network_remove_orphan(SteadLibvirt *libvirt, const SteadPaths *paths,
                                     const char *libvirt_name, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    if (conn == NULL)
        return FALSE;
    g_autoptr(virNetwork) network = virNetworkLookupByName(conn, libvirt_name);
    if (network == NULL)
        return is_gone() || stead_libvirt_error(error, "looking for network %s", libvirt_name);
    if (is_of_root(network, paths))
        return unmake(network, error);
    stead_set_error(error, STEAD_ERROR_DENIED, NULL, "network %s was not made by this root",
                    libvirt_name);
    return FALSE;
}
