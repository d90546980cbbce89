/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP leases: reading them, and ending one whose holder is gone. */
#pragma once

#include "host/libvirt.h"
#include "model/instance.h"

typedef struct {
    char *mac;
    char *ip;       /* IPv4 */
    char *hostname; /* as the guest gave it; NULL: none */
    gint64 expiry;  /* seconds since the epoch; 0: never */
} SteadLease;

void stead_lease_free(SteadLease *lease);

/* The IPv4 leases of a network, as SteadLease; the array owns them. Blocking. Empty for BRIDGE. */
GPtrArray *stead_network_leases(SteadLibvirt *libvirt, const SteadNetwork *network, GError **error);

/* The same of a network that was looked up already. */
GPtrArray *stead_leases_read(virNetworkPtr real, GError **error);

/* Ends the leases of `mac`, so that its address can be given to another interface at once. Sent to
 * the DHCP server as the holder would; nothing is waited for. */
gboolean stead_leases_end(virNetworkPtr real, const SteadNetwork *network, const char *mac,
                          GError **error);

/* Room for the packet below. */
#define STEAD_DHCP_RELEASE_MAX 300

/* Writes the DHCPRELEASE (RFC 2131, section 4.4.6) of an address, all in host byte order; returns
 * its length. Pure. FALSE is never returned for a valid MAC. */
gsize stead_dhcp_release_packet(guint8 packet[STEAD_DHCP_RELEASE_MAX], const guint8 mac[6],
                                guint32 address, guint32 server, guint32 transaction);
