/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries are read by walking the document rather than by XPath, since each has several attributes
 * that belong together and any of them may be absent.
 */
#include "net/entries.h"

#include <string.h>

#include "host/xml.h"

void stead_entries_free(SteadEntries *entries)
{
    if (entries == NULL)
        return;
    g_ptr_array_unref(entries->hosts);
    g_hash_table_unref(entries->dns);
    g_free(entries);
}

static SteadEntries *entries_new(void)
{
    SteadEntries *entries = g_new0(SteadEntries, 1);
    entries->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)stead_reservation_free);
    entries->dns = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return entries;
}

static gboolean is_element(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static char *attribute(xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetProp(node, (const xmlChar *)name);
    char *copy = g_strdup((const char *)value);
    xmlFree(value);
    return copy;
}

static void read_dhcp_host(SteadEntries *entries, xmlNode *host)
{
    g_autoptr(SteadReservation) reservation = g_new0(SteadReservation, 1);
    reservation->mac = attribute(host, "mac");
    reservation->ip = attribute(host, "ip");
    reservation->hostname = attribute(host, "name");
    if (reservation->mac && reservation->ip)
        g_ptr_array_add(entries->hosts, g_steal_pointer(&reservation));
}

static void read_dns_host(SteadEntries *entries, xmlNode *host)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (xmlNode *child = host->children; child; child = child->next) {
        if (!is_element(child, "hostname"))
            continue;
        xmlChar *name = xmlNodeGetContent(child);
        g_string_append_printf(names, "%s%s", names->len ? " " : "", (const char *)name);
        xmlFree(name);
    }
    char *ip = attribute(host, "ip");
    if (ip)
        g_hash_table_replace(entries->dns, ip, g_strdup(names->str));
}

/* Calls `read` for each <host> in a <group> below `parent`. */
static void read_hosts(SteadEntries *entries, xmlNode *parent, const char *group,
                       void (*read)(SteadEntries *, xmlNode *))
{
    for (xmlNode *node = parent->children; node; node = node->next) {
        if (!is_element(node, group))
            continue;
        for (xmlNode *host = node->children; host; host = host->next)
            if (is_element(host, "host"))
                read(entries, host);
    }
}

SteadEntries *stead_entries_parse(xmlDocPtr doc)
{
    SteadEntries *entries = entries_new();
    xmlNode *root = xmlDocGetRootElement(doc);
    read_hosts(entries, root, "dns", read_dns_host);
    for (xmlNode *node = root->children; node; node = node->next)
        if (is_element(node, "ip"))
            read_hosts(entries, node, "dhcp", read_dhcp_host);
    return entries;
}

SteadEntries *stead_entries_read(virNetworkPtr network, guint flags, GError **error)
{
    const char *name = virNetworkGetName(network);
    g_autofree char *xml = virNetworkGetXMLDesc(network, flags);
    if (xml == NULL) {
        stead_libvirt_error(error, "reading network %s", name);
        return NULL;
    }
    g_autoptr(xmlDoc) doc = stead_xml_parse(name, xml, error);
    return doc ? stead_entries_parse(doc) : NULL;
}

const SteadReservation *stead_entries_find(const SteadEntries *entries, const char *mac)
{
    for (guint i = 0; i < entries->hosts->len; i++) {
        const SteadReservation *host = g_ptr_array_index(entries->hosts, i);
        if (g_ascii_strcasecmp(host->mac, mac) == 0)
            return host;
    }
    return NULL;
}

const SteadReservation *stead_entries_find_ip(const SteadEntries *entries, const char *ip)
{
    for (guint i = 0; i < entries->hosts->len; i++) {
        const SteadReservation *host = g_ptr_array_index(entries->hosts, i);
        if (strcmp(host->ip, ip) == 0)
            return host;
    }
    return NULL;
}
