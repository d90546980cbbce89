/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases. dnsmasq keeps a lease for an hour although the instance and its reservation are gone, and
 * meanwhile refuses the address to whoever has it reserved next. libvirt has no call to end one, so
 * the daemon sends the server the DHCPRELEASE that the instance did not send.
 *
 * The packet never leaves the host: it goes to the bridge's own address. The socket is bound to the
 * bridge, because dnsmasq answers only to what came in through it.
 */
#include "net/lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "net/addresses.h"

#define DHCP_SERVER_PORT 67
#define DHCP_COOKIE 0x63825363u

void stead_lease_free(SteadLease *lease)
{
    if (lease == NULL)
        return;
    g_free(lease->mac);
    g_free(lease->ip);
    g_free(lease->hostname);
    g_free(lease);
}

static SteadLease *lease_from_libvirt(const virNetworkDHCPLease *from)
{
    SteadLease *lease = g_new0(SteadLease, 1);
    lease->mac = g_strdup(from->mac);
    lease->ip = g_strdup(from->ipaddr);
    lease->hostname = g_strdup(from->hostname);
    lease->expiry = from->expirytime;
    return lease;
}

GPtrArray *stead_leases_read(virNetworkPtr real, GError **error)
{
    virNetworkDHCPLeasePtr *all = NULL;
    int n = virNetworkGetDHCPLeases(real, NULL, &all, 0);
    if (n < 0) {
        stead_libvirt_error(error, "reading the leases of network %s", virNetworkGetName(real));
        return NULL;
    }
    GPtrArray *leases = g_ptr_array_new_with_free_func((GDestroyNotify)stead_lease_free);
    for (int i = 0; i < n; i++) {
        if (all[i]->type == VIR_IP_ADDR_TYPE_IPV4 && all[i]->mac && all[i]->ipaddr)
            g_ptr_array_add(leases, lease_from_libvirt(all[i]));
        virNetworkDHCPLeaseFree(all[i]);
    }
    free(all);
    return leases;
}

GPtrArray *stead_network_leases(SteadLibvirt *libvirt, const SteadNetwork *network, GError **error)
{
    if (network->spec->mode == STEAD_NETWORK_BRIDGE)
        return g_ptr_array_new_with_free_func((GDestroyNotify)stead_lease_free);
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    if (conn == NULL)
        return NULL;
    g_autoptr(virNetwork) real = virNetworkLookupByUUIDString(conn, network->id);
    if (real == NULL) {
        stead_libvirt_error(error, "looking for network %s", network->name);
        return NULL;
    }
    return stead_leases_read(real, error);
}

static void put_u32(guint8 *at, guint32 value)
{
    guint32 big = htonl(value);
    memcpy(at, &big, sizeof big);
}

gsize stead_dhcp_release_packet(guint8 packet[STEAD_DHCP_RELEASE_MAX], const guint8 mac[6],
                                guint32 address, guint32 server, guint32 transaction)
{
    memset(packet, 0, STEAD_DHCP_RELEASE_MAX);
    packet[0] = 1; /* a request */
    packet[1] = 1; /* Ethernet */
    packet[2] = 6; /* length of its addresses */
    put_u32(packet + 4, transaction);
    put_u32(packet + 12, address);
    memcpy(packet + 28, mac, 6);
    put_u32(packet + 236, DHCP_COOKIE);
    packet[240] = 53; /* message type: release */
    packet[241] = 1;
    packet[242] = 7;
    packet[243] = 54; /* server identifier */
    packet[244] = 4;
    put_u32(packet + 245, server);
    packet[249] = 255; /* end */
    return STEAD_DHCP_RELEASE_MAX;
}

static gboolean parse_mac(const char *text, guint8 mac[6])
{
    if (!stead_mac_is_valid(text))
        return FALSE;
    for (guint i = 0; i < 6; i++)
        mac[i] = (guint8)(g_ascii_xdigit_value(text[3 * i]) << 4 |
                          g_ascii_xdigit_value(text[3 * i + 1]));
    return TRUE;
}

static gboolean send_to_server(const char *bridge, guint32 server, const guint8 *packet,
                               gsize length, GError **error)
{
    stead_autofd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(DHCP_SERVER_PORT),
                             .sin_addr.s_addr = htonl(server)};
    if (fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, bridge, (socklen_t)strlen(bridge)) == 0 &&
        sendto(fd, packet, length, 0, (const struct sockaddr *)&to, sizeof to) == (ssize_t)length)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "ending a DHCP lease on %s: %s", bridge,
                    g_strerror(errno));
    return FALSE;
}

static gboolean end_lease(const SteadNetwork *network, guint32 server, const SteadLease *lease,
                          GError **error)
{
    guint8 packet[STEAD_DHCP_RELEASE_MAX], mac[6];
    guint32 address;
    if (!parse_mac(lease->mac, mac) || !stead_ipv4_parse(lease->ip, &address))
        return TRUE;
    gsize length = stead_dhcp_release_packet(packet, mac, address, server, g_random_int());
    return send_to_server(network->bridge, server, packet, length, error);
}

gboolean stead_leases_end(virNetworkPtr real, const SteadNetwork *network, const char *mac,
                          GError **error)
{
    SteadAddressPlan plan;
    if (virNetworkIsActive(real) != 1)
        return TRUE;
    g_autoptr(GPtrArray) leases = stead_leases_read(real, error);
    if (leases == NULL || !stead_address_plan(network->spec, &plan, error))
        return FALSE;
    for (guint i = 0; i < leases->len; i++) {
        const SteadLease *lease = g_ptr_array_index(leases, i);
        if (g_ascii_strcasecmp(lease->mac, mac) == 0 &&
            !end_lease(network, plan.gateway, lease, error))
            return FALSE;
    }
    return TRUE;
}
