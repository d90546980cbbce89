/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's XML of a network: written, and what stead put into it read back. Pure. */
#pragma once

#include <libxml/tree.h>

#include "base/paths.h"
#include "model/instance.h"

/* The namespace of what stead keeps in a libvirt network's metadata. */
#define STEAD_NETWORK_NAMESPACE "https://stead.dev/xmlns/network/1"

/* "stead-lab", or "stead-1a2b3c-lab" with a root's tag; and the bridge's name, of at most 15
 * characters. Both follow from the record, so that a repeated attempt finds what a former one left.
 * Owned by the caller. */
char *stead_network_libvirt_name(const SteadPaths *paths, const char *name);
char *stead_network_bridge_name(const char *id);

/* The definition of a NAT, ISOLATED or ROUTED network with subnet, libvirt_name and bridge filled
 * in. INVALID for a subnet, DHCP range or domain that cannot be. Owned by the caller. */
char *stead_network_xml(const SteadNetwork *network, const SteadPaths *paths, GError **error);

/* What stead_network_xml() put into the metadata; NULL in a network that stead did not make. The
 * state folder of the root that made it, and the digest of the definition. Owned by the caller. */
char *stead_network_xml_root(xmlDocPtr doc);
char *stead_network_xml_digest(xmlDocPtr doc);

/* The subnet of a definition, as stead_subnet_format() writes it; NULL when there is none. */
char *stead_network_xml_subnet(xmlDocPtr doc);

/* A DNS name: labels of letters, digits and '-', 253 characters at most. Nothing else may reach
 * dnsmasq's configuration, where a line break would begin another option. */
gboolean stead_dns_name_is_valid(const char *name);
