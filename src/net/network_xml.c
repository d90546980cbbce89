/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The definition of a network. libvirt writes dnsmasq's configuration and the firewall's rules from
 * it. The metadata says which root made it, and holds a digest of the rest, by which a network that
 * was defined by an older record is told from one that only needs to be started.
 *
 * The digest leaves out reservations, which come and go with instances (reservations.c), and those
 * of prepared addresses too: a network that lacks them serves as well, only slower.
 */
#include "net/network_xml.h"

#include <string.h>

#include "base/error.h"
#include "host/xml.h"
#include "net/addresses.h"

#define MAX_DNS_NAME 253
#define MAX_DNS_LABEL 63
#define BRIDGE_ID_DIGITS 8

/* libvirt's forward modes; NULL: no <forward>, which isolates. */
static const char *const forward_modes[] = {
    [STEAD_NETWORK_NAT] = "nat",
    [STEAD_NETWORK_ISOLATED] = NULL,
    [STEAD_NETWORK_ROUTED] = "route",
    [STEAD_NETWORK_BRIDGE] = NULL,
};
G_STATIC_ASSERT(G_N_ELEMENTS(forward_modes) == STEAD_N_NETWORK_MODES);

char *stead_network_libvirt_name(const SteadPaths *paths, const char *name)
{
    return g_strdup_printf("stead%s-%s", paths->tag, name);
}

char *stead_network_bridge_name(const char *id)
{
    return g_strdup_printf("stead%.*s", BRIDGE_ID_DIGITS, id);
}

static gboolean is_dns_label(const char *label)
{
    gsize n = strnlen(label, MAX_DNS_LABEL + 1);
    if (n == 0 || n > MAX_DNS_LABEL || label[0] == '-' || label[n - 1] == '-')
        return FALSE;
    for (gsize i = 0; i < n; i++)
        if (!g_ascii_isalnum(label[i]) && label[i] != '-')
            return FALSE;
    return TRUE;
}

gboolean stead_dns_name_is_valid(const char *name)
{
    if (strnlen(name, MAX_DNS_NAME + 1) > MAX_DNS_NAME)
        return FALSE;
    g_auto(GStrv) labels = g_strsplit(name, ".", -1);
    for (guint i = 0; labels[i]; i++)
        if (!is_dns_label(labels[i]))
            return FALSE;
    return labels[0] != NULL;
}

static void append_prepared(GString *xml, const SteadAddressPlan *plan, const char *network_id)
{
    for (guint i = 0; i < stead_address_n_prepared(plan); i++) {
        g_autofree char *ip = stead_ipv4_format(plan->first + i);
        g_autofree char *mac = stead_address_mac(plan, network_id, ip);
        g_string_append_printf(xml, "      <host mac='%s' ip='%s'/>\n", mac, ip);
    }
}

/* With the prepared addresses where there is an id. */
static void append_ip(GString *xml, const SteadAddressPlan *plan, const char *network_id)
{
    g_autofree char *gateway = stead_ipv4_format(plan->gateway);
    g_autofree char *first = stead_ipv4_format(plan->first);
    g_autofree char *last = stead_ipv4_format(plan->last);
    g_string_append_printf(xml,
                           "  <ip address='%s' prefix='%u'>\n"
                           "    <dhcp>\n"
                           "      <range start='%s' end='%s'/>\n",
                           gateway, plan->subnet.prefix, first, last);
    if (network_id)
        append_prepared(xml, plan, network_id);
    g_string_append(xml, "    </dhcp>\n"
                         "  </ip>\n");
}

/* All but the metadata and the root element. No spanning tree: each port that joins would be deaf
 * for four seconds, and a clone is there at once. */
static char *body_xml(const SteadNetwork *network, const SteadAddressPlan *plan, gboolean prepared)
{
    const SteadNetworkSpec *spec = network->spec;
    GString *xml = g_string_new(NULL);
    const char *mode = forward_modes[spec->mode];
    g_autofree char *names =
        g_markup_printf_escaped("  <bridge name='%s' stp='off' delay='0'/>\n"
                                "  <domain name='%s' localOnly='yes'/>\n",
                                network->bridge, spec->domain ? spec->domain : network->name);
    if (mode)
        g_string_append_printf(xml, "  <forward mode='%s'/>\n", mode);
    g_string_append(xml, names);
    append_ip(xml, plan, prepared ? network->id : NULL);
    return g_string_free(xml, FALSE);
}

static gboolean check(const SteadNetwork *network, SteadAddressPlan *plan, GError **error)
{
    const SteadNetworkSpec *spec = network->spec;
    if (spec->mode >= STEAD_N_NETWORK_MODES || spec->mode == STEAD_NETWORK_BRIDGE) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "network %s is not libvirt's to make",
                        network->name);
        return FALSE;
    }
    if (spec->domain && !stead_dns_name_is_valid(spec->domain)) {
        stead_set_error(error, STEAD_ERROR_INVALID,
                        "Use letters, digits, '-' and '.', as in lab.example.",
                        "'%.64s' is not a DNS domain", spec->domain);
        return FALSE;
    }
    return stead_address_plan(spec, plan, error);
}

char *stead_network_xml(const SteadNetwork *network, const SteadPaths *paths, GError **error)
{
    SteadAddressPlan plan;
    if (!check(network, &plan, error))
        return NULL;
    g_autofree char *bare = body_xml(network, &plan, FALSE);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, bare, -1);
    g_autofree char *body = body_xml(network, &plan, TRUE);
    g_autofree char *head = g_markup_printf_escaped(
        "<network>\n"
        "  <name>%s</name>\n"
        "  <uuid>%s</uuid>\n"
        "  <metadata>\n"
        "    <stead:network xmlns:stead='%s' root='%s' name='%s' definition='%s'/>\n"
        "  </metadata>\n",
        network->libvirt_name, network->id, STEAD_NETWORK_NAMESPACE, paths->state, network->name,
        digest);
    return g_strconcat(head, body, "</network>\n", NULL);
}

#define METADATA                                                                                   \
    "/network/metadata/*[local-name()='network' and namespace-uri()='" STEAD_NETWORK_NAMESPACE "'" \
    "]"

char *stead_network_xml_root(xmlDocPtr doc)
{
    return stead_xml_string(doc, METADATA "/@root");
}

char *stead_network_xml_digest(xmlDocPtr doc)
{
    return stead_xml_string(doc, METADATA "/@definition");
}

char *stead_network_xml_subnet(xmlDocPtr doc)
{
    g_autofree char *address = stead_xml_string(doc, "/network/ip/@address");
    g_autofree char *prefix = stead_xml_string(doc, "/network/ip/@prefix");
    SteadSubnet subnet;
    if (address == NULL || prefix == NULL || !stead_ipv4_parse(address, &subnet.network))
        return NULL;
    subnet.prefix = (guint)g_ascii_strtoull(prefix, NULL, 10);
    if (subnet.prefix < 8 || subnet.prefix > 30)
        return NULL;
    subnet.network &= ~(guint32)0 << (32 - subnet.prefix);
    return stead_subnet_format(&subnet);
}
