/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subnets in use. A network whose subnet overlaps another one of the host would take that one's
 * traffic, so it is refused before anything is made. Interfaces alone do not tell enough (a VPN
 * routes subnets that no interface has an address in), nor do routes (an interface that is down has
 * none), and a libvirt network that is not started shows in neither; hence three readers.
 */
#include "net/subnets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "host/libvirt.h"
#include "host/xml.h"

#define ROUTES_FILE "/proc/net/route"
#define CHOSEN_PREFIX 24
#define LOOPBACK_NET 127

/* Where a free subnet is looked for, in this order. */
static const SteadSubnet ranges[] = {
    {0x0a4d0000, 16}, /* 10.77.0.0/16 */
    {0xac100000, 12}, /* 172.16.0.0/12 */
    {0xc0a80000, 16}, /* 192.168.0.0/16 */
    {0x0a000000, 8},  /* 10.0.0.0/8 */
};

static void use_free(gpointer data)
{
    SteadSubnetUse *use = data;
    g_free(use->holder);
    g_free(use);
}

GPtrArray *stead_subnet_uses_new(void)
{
    return g_ptr_array_new_with_free_func(use_free);
}

void stead_subnet_uses_add(GPtrArray *uses, guint32 address, guint prefix, const char *what,
                           const char *name)
{
    if (prefix < 8 || prefix > 32 || address >> 24 == LOOPBACK_NET ||
        uses->len >= STEAD_MAX_SUBNET_USES)
        return;
    SteadSubnetUse *use = g_new0(SteadSubnetUse, 1);
    use->subnet.network = address & ~(guint32)0 << (32 - prefix);
    use->subnet.prefix = prefix;
    use->holder = g_strdup_printf("%s %s", what, name);
    g_ptr_array_add(uses, use);
}

static const SteadSubnetUse *find_overlap(const SteadSubnet *wanted, const GPtrArray *uses)
{
    for (guint i = 0; i < uses->len; i++) {
        const SteadSubnetUse *use = g_ptr_array_index(uses, i);
        if (stead_subnets_overlap(wanted, &use->subnet))
            return use;
    }
    return NULL;
}

gboolean stead_subnet_choose(const GPtrArray *uses, SteadSubnet *chosen, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(ranges); i++) {
        guint n = 1u << (CHOSEN_PREFIX - ranges[i].prefix);
        for (guint j = 0; j < n; j++) {
            SteadSubnet candidate = {ranges[i].network + (j << (32 - CHOSEN_PREFIX)),
                                     CHOSEN_PREFIX};
            if (find_overlap(&candidate, uses) == NULL) {
                *chosen = candidate;
                return TRUE;
            }
        }
    }
    stead_set_error(error, STEAD_ERROR_EXHAUSTED,
                    "Name a subnet yourself, or remove networks that are not needed.",
                    "every private /24 subnet overlaps one that this host uses");
    return FALSE;
}

gboolean stead_subnet_check_free(const SteadSubnet *wanted, const GPtrArray *uses, GError **error)
{
    const SteadSubnetUse *use = find_overlap(wanted, uses);
    if (use == NULL)
        return TRUE;
    g_autofree char *wanted_text = stead_subnet_format(wanted);
    g_autofree char *use_text = stead_subnet_format(&use->subnet);
    g_autofree char *hint = NULL;
    SteadSubnet free_subnet;
    if (stead_subnet_choose(uses, &free_subnet, NULL)) {
        g_autofree char *free_text = stead_subnet_format(&free_subnet);
        hint = g_strdup_printf("%s is free.", free_text);
    }
    stead_set_error(error, STEAD_ERROR_CONFLICT, hint,
                    "the subnet %s overlaps %s, which the %s of this host has", wanted_text,
                    use_text, use->holder);
    return FALSE;
}

static guint prefix_of_mask(guint32 mask)
{
    return (guint)__builtin_popcount(mask);
}

/* One line: Iface Destination Gateway Flags RefCnt Use Metric Mask ...; addresses are the bytes in
 * network order, printed as one number of the host's. */
static void add_route(GPtrArray *uses, const char *line, const char *except_interface)
{
    char name[IFNAMSIZ + 1];
    guint destination, gateway, mask;
    if (sscanf(line, "%16s %8x %8x %*x %*u %*u %*u %8x", name, &destination, &gateway, &mask) != 4)
        return;
    if (g_strcmp0(name, except_interface) != 0)
        stead_subnet_uses_add(uses, ntohl(destination), prefix_of_mask(mask), "route through",
                              name);
}

void stead_subnet_uses_add_routes(GPtrArray *uses, const char *text, const char *except_interface)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", STEAD_MAX_SUBNET_USES);
    for (guint i = 0; lines[i]; i++)
        add_route(uses, lines[i], except_interface);
}

static gboolean read_interfaces(GPtrArray *uses, const char *except_interface, GError **error)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "listing the host's interfaces: %s",
                        g_strerror(errno));
        return FALSE;
    }
    for (const struct ifaddrs *ifa = all; ifa; ifa = ifa->ifa_next) {
        struct sockaddr_in address, mask;
        if (ifa->ifa_addr == NULL || ifa->ifa_netmask == NULL ||
            ifa->ifa_addr->sa_family != AF_INET || g_strcmp0(ifa->ifa_name, except_interface) == 0)
            continue;
        memcpy(&address, ifa->ifa_addr, sizeof address);
        memcpy(&mask, ifa->ifa_netmask, sizeof mask);
        stead_subnet_uses_add(uses, ntohl(address.sin_addr.s_addr),
                              prefix_of_mask(mask.sin_addr.s_addr), "interface", ifa->ifa_name);
    }
    freeifaddrs(all);
    return TRUE;
}

gboolean stead_subnet_uses_read_host(GPtrArray *uses, const char *except_interface, GError **error)
{
    g_autofree char *routes = NULL;
    if (!read_interfaces(uses, except_interface, error) ||
        !g_file_get_contents(ROUTES_FILE, &routes, NULL, error))
        return FALSE;
    stead_subnet_uses_add_routes(uses, routes, except_interface);
    return TRUE;
}

static void add_ip_element(GPtrArray *uses, xmlDocPtr doc, guint n, const char *name)
{
    g_autofree char *base = g_strdup_printf("/network/ip[not(@family='ipv6')][%u]/@", n);
    g_autofree char *address_path = g_strconcat(base, "address", NULL);
    g_autofree char *mask_path = g_strconcat(base, "netmask", NULL);
    g_autofree char *prefix_path = g_strconcat(base, "prefix", NULL);
    g_autofree char *address_text = stead_xml_string(doc, address_path);
    g_autofree char *mask_text = stead_xml_string(doc, mask_path);
    g_autofree char *prefix_text = stead_xml_string(doc, prefix_path);
    guint32 address, mask;
    guint prefix = 0;
    if (address_text == NULL || !stead_ipv4_parse(address_text, &address))
        return;
    if (prefix_text)
        prefix = (guint)g_ascii_strtoull(prefix_text, NULL, 10);
    else if (mask_text && stead_ipv4_parse(mask_text, &mask))
        prefix = prefix_of_mask(mask);
    stead_subnet_uses_add(uses, address, prefix, "libvirt network", name);
}

static gboolean add_libvirt_network(GPtrArray *uses, virNetworkPtr network, GError **error)
{
    const char *name = virNetworkGetName(network);
    g_autofree char *xml = virNetworkGetXMLDesc(network, 0);
    if (xml == NULL) /* it went away meanwhile */
        return TRUE;
    g_autoptr(xmlDoc) doc = stead_xml_parse(name, xml, error);
    if (doc == NULL)
        return FALSE;
    g_auto(GStrv) addresses = stead_xml_strings(doc, "/network/ip[not(@family='ipv6')]/@address");
    for (guint i = 0; addresses[i]; i++)
        add_ip_element(uses, doc, i + 1, name);
    return TRUE;
}

gboolean stead_subnet_uses_read_libvirt(GPtrArray *uses, virConnectPtr conn, const char *except,
                                        GError **error)
{
    virNetworkPtr *networks = NULL;
    int n = virConnectListAllNetworks(conn, &networks, 0);
    if (n < 0)
        return stead_libvirt_error(error, "listing libvirt's networks");
    gboolean done = TRUE;
    for (int i = 0; i < n; i++) {
        if (done && g_strcmp0(virNetworkGetName(networks[i]), except) != 0)
            done = add_libvirt_network(uses, networks[i], error);
        virNetworkFree(networks[i]);
    }
    free(networks);
    return done;
}
