/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone wakes up with its template's MAC and addresses on every interface. They are replaced
 * while the link stays up where the driver lets us (virtio does): the kernel drops its neighbour
 * cache by itself when a MAC changes, and we do where it stays. IPv6 addresses go with the MAC
 * they were made of; the link-local one is made anew from the new MAC, as taking the link down for
 * it would cost more. Global ones come back with the next router advertisement.
 */
#include "guest/network.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/netlink.h"

#define LINKS_MAX 64
#define OLD_ADDRESSES_MAX 64
#define MAC_SIZE 6
#define ETHERNET 1

typedef struct {
    int index;
    unsigned flags;
    uint8_t mac[MAC_SIZE];
    char name[GUEST_INTERFACE_NAME_MAX + 1];
} Link;

typedef struct {
    size_t count;
    Link links[LINKS_MAX];
} Links;

typedef struct {
    struct ifaddrmsg head;
    uint8_t address[16];
} Address;

typedef struct {
    size_t count;
    Address addresses[OLD_ADDRESSES_MAX];
} Addresses;

static GuestNetlink netlink = {.fd = -1}; /* stays open until it fails */
static Links links;
static Addresses addresses;
static int changes = -1; /* a socket that has something to read once they are out of date */

static const uint8_t no_bytes[16];

static bool is_set(const uint8_t *bytes, size_t length)
{
    return memcmp(bytes, no_bytes, length) != 0;
}

static size_t address_size(const struct ifaddrmsg *head)
{
    return head->ifa_family == AF_INET ? 4 : 16;
}

/* --- what there is --- */

static void take_link(const struct nlmsghdr *message, void *data)
{
    Links *all = data;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    const struct rtattr *attributes[IFLA_IFNAME + 1];
    guest_netlink_attributes(message, sizeof *info, attributes, IFLA_IFNAME);
    const struct rtattr *mac = attributes[IFLA_ADDRESS], *name = attributes[IFLA_IFNAME];
    bool is_ethernet = info->ifi_type == ETHERNET && mac && RTA_PAYLOAD(mac) == MAC_SIZE;
    if (message->nlmsg_type != RTM_NEWLINK || !is_ethernet || all->count == LINKS_MAX)
        return;
    Link *link = &all->links[all->count++];
    *link = (Link){.index = info->ifi_index, .flags = info->ifi_flags};
    memcpy(link->mac, RTA_DATA(mac), MAC_SIZE);
    if (name)
        memcpy(link->name, RTA_DATA(name), strnlen(RTA_DATA(name), GUEST_INTERFACE_NAME_MAX));
}

static void take_address(const struct nlmsghdr *message, void *data)
{
    Addresses *all = data;
    const struct ifaddrmsg *head = NLMSG_DATA(message);
    const struct rtattr *attributes[IFA_LOCAL + 1];
    guest_netlink_attributes(message, sizeof *head, attributes, IFA_LOCAL);
    const struct rtattr *value =
        attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
    bool is_known = head->ifa_family == AF_INET || head->ifa_family == AF_INET6;
    if (message->nlmsg_type != RTM_NEWADDR || !is_known || all->count == OLD_ADDRESSES_MAX)
        return;
    if (value == NULL || RTA_PAYLOAD(value) != address_size(head))
        return;
    Address *address = &all->addresses[all->count++];
    address->head = *head;
    memcpy(address->address, RTA_DATA(value), address_size(head));
}

static int open_netlink(void)
{
    return netlink.fd >= 0 ? 0 : guest_netlink_open(&netlink);
}

/* One that failed may still have something to say, and is not asked again. */
static int end_with(int failed)
{
    if (failed)
        guest_netlink_close(&netlink);
    return failed;
}

static int read_once(void)
{
    links.count = addresses.count = 0;
    int failed = open_netlink();
    if (!failed)
        failed = guest_netlink_dump(&netlink, RTM_GETLINK, AF_UNSPEC, take_link, &links);
    if (!failed)
        failed = guest_netlink_dump(&netlink, RTM_GETADDR, AF_UNSPEC, take_address, &addresses);
    return end_with(failed);
}

/* A list that changes while it is read is read again; what is there after that is good enough. */
static int read_all(void)
{
    int failed = -EINTR;
    for (int tries = 0; tries < 3 && failed == -EINTR; tries++)
        failed = read_once();
    return failed;
}

void guest_network_keep(void)
{
    const struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    if (changes >= 0)
        close(changes);
    changes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool is_told = changes >= 0 &&
                   bind(changes, (const struct sockaddr *)&address, sizeof address) == 0 &&
                   read_all() == 0;
    if (!is_told && changes >= 0) {
        close(changes);
        changes = -1;
    }
}

/* Under emulation, reading the lists is what costs a clone most. */
static bool is_known(void)
{
    char byte;
    return changes >= 0 && recv(changes, &byte, sizeof byte, MSG_DONTWAIT | MSG_PEEK) < 0 &&
           errno == EAGAIN;
}

static void list_addresses(const Link *link, GuestInterface *interface)
{
    for (size_t i = 0; i < addresses.count; i++) {
        const Address *address = &addresses.addresses[i];
        if ((int)address->head.ifa_index != link->index ||
            interface->n_addresses == GUEST_ADDRESSES_MAX)
            continue;
        GuestAddress *to = &interface->addresses[interface->n_addresses++];
        to->family = address->head.ifa_family == AF_INET ? 4 : 6;
        to->prefix = address->head.ifa_prefixlen;
        memcpy(to->address, address->address, address_size(&address->head));
    }
}

int guest_network_list(GuestNetwork *network)
{
    static char host_name[GUEST_HOST_NAME_MAX + 1];
    int failed = read_all();
    if (failed)
        return failed;
    if (gethostname(host_name, sizeof host_name) < 0)
        return -errno;
    network->host_name = host_name;
    for (size_t i = 0; i < links.count && network->n_interfaces < GUEST_INTERFACES_MAX; i++) {
        const Link *link = &links.links[i];
        GuestInterface *interface = &network->interfaces[network->n_interfaces++];
        *interface = (GuestInterface){.name = link->name, .is_up = (link->flags & IFF_UP) != 0};
        memcpy(interface->mac, link->mac, MAC_SIZE);
        list_addresses(link, interface);
    }
    return 0;
}

/* --- what it is to be --- */

static void set_flags(int index, unsigned flags)
{
    struct ifinfomsg *info = guest_netlink_begin(&netlink, RTM_NEWLINK, 0, sizeof *info);
    if (info == NULL)
        return;
    info->ifi_index = index;
    info->ifi_flags = flags;
    info->ifi_change = IFF_UP;
}

static void set_mac(int index, const uint8_t *mac)
{
    struct ifinfomsg *info = guest_netlink_begin(&netlink, RTM_NEWLINK, 0, sizeof *info);
    if (info == NULL)
        return;
    info->ifi_index = index;
    guest_netlink_add(&netlink, IFLA_ADDRESS, mac, MAC_SIZE);
}

static int renew_mac(const Link *link, const uint8_t *mac)
{
    set_mac(link->index, mac);
    int failed = guest_netlink_run(&netlink, false);
    if (failed != -EBUSY)
        return failed;
    set_flags(link->index, 0);
    set_mac(link->index, mac);
    set_flags(link->index, IFF_UP);
    return guest_netlink_run(&netlink, false);
}

static void address_request(uint16_t type, uint16_t flags, const struct ifaddrmsg *head,
                            const uint8_t *address)
{
    struct ifaddrmsg *body = guest_netlink_begin(&netlink, type, flags, sizeof *body);
    if (body == NULL)
        return;
    *body = *head;
    guest_netlink_add(&netlink, IFA_LOCAL, address, address_size(head));
    guest_netlink_add(&netlink, IFA_ADDRESS, address, address_size(head));
}

static void remove_addresses(int index, int family)
{
    for (size_t i = 0; i < addresses.count; i++) {
        const Address *address = &addresses.addresses[i];
        if ((int)address->head.ifa_index == index && address->head.ifa_family == family)
            address_request(RTM_DELADDR, 0, &address->head, address->address);
    }
}

static bool has_family(int index, int family)
{
    for (size_t i = 0; i < addresses.count; i++)
        if ((int)addresses.addresses[i].head.ifa_index == index &&
            addresses.addresses[i].head.ifa_family == family)
            return true;
    return false;
}

/* The new link-local address comes before the old ones go: without any, IPv6 would be off. */
static void renew_ipv6(const Link *link, const uint8_t *mac)
{
    if (!has_family(link->index, AF_INET6))
        return;
    const struct ifaddrmsg head = {.ifa_family = AF_INET6,
                                   .ifa_prefixlen = 64,
                                   .ifa_scope = RT_SCOPE_LINK,
                                   .ifa_index = (uint32_t)link->index};
    const uint8_t address[16] = {0xfe,       0x80,   0,      0,    0,    0,      0,      0,
                                 mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
    address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, address);
    remove_addresses(link->index, AF_INET6);
    guest_netlink_run(&netlink, true);
}

static void add_address(int index, const GuestNic *nic)
{
    const struct ifaddrmsg head = {.ifa_family = AF_INET,
                                   .ifa_prefixlen = nic->prefix,
                                   .ifa_scope = RT_SCOPE_UNIVERSE,
                                   .ifa_index = (uint32_t)index};
    address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, nic->address);
    if (nic->prefix > 30)
        return;
    uint8_t broadcast[4];
    uint32_t host_bits = __builtin_bswap32(UINT32_MAX >> nic->prefix), bits;
    memcpy(&bits, nic->address, sizeof bits);
    bits |= host_bits;
    memcpy(broadcast, &bits, sizeof bits);
    guest_netlink_add(&netlink, IFA_BROADCAST, broadcast, sizeof broadcast);
}

static void add_default_route(int index, const uint8_t *gateway)
{
    struct rtmsg *route =
        guest_netlink_begin(&netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof *route);
    if (route == NULL)
        return;
    *route = (struct rtmsg){.rtm_family = AF_INET,
                            .rtm_table = RT_TABLE_MAIN,
                            .rtm_protocol = RTPROT_STATIC,
                            .rtm_scope = RT_SCOPE_UNIVERSE,
                            .rtm_type = RTN_UNICAST};
    guest_netlink_add(&netlink, RTA_GATEWAY, gateway, 4);
    guest_netlink_add(&netlink, RTA_OIF, &index, sizeof index);
}

/* The addresses take their routes with them. */
static int renew_ipv4(const Link *link, const GuestNic *nic)
{
    if (has_family(link->index, AF_INET)) {
        remove_addresses(link->index, AF_INET);
        guest_netlink_run(&netlink, true);
    }
    if (!(link->flags & IFF_UP))
        set_flags(link->index, IFF_UP);
    add_address(link->index, nic);
    if (is_set(nic->gateway, sizeof nic->gateway))
        add_default_route(link->index, nic->gateway);
    return guest_netlink_run(&netlink, false);
}

static void drop_neighbour(const struct nlmsghdr *message, void *data)
{
    const struct ndmsg *neighbour = NLMSG_DATA(message);
    const struct rtattr *attributes[NDA_DST + 1];
    guest_netlink_attributes(message, sizeof *neighbour, attributes, NDA_DST);
    const struct rtattr *to = attributes[NDA_DST];
    bool is_ours = neighbour->ndm_ifindex == *(const int *)data;
    if (!is_ours || !to || neighbour->ndm_state & (NUD_PERMANENT | NUD_NOARP))
        return;
    struct ndmsg *body = guest_netlink_begin(&netlink, RTM_DELNEIGH, 0, sizeof *body);
    if (body == NULL)
        return;
    *body = *neighbour;
    guest_netlink_add(&netlink, NDA_DST, RTA_DATA(to), RTA_PAYLOAD(to));
}

static void drop_neighbours(int index)
{
    guest_netlink_dump(&netlink, RTM_GETNEIGH, AF_INET, drop_neighbour, &index);
    guest_netlink_run(&netlink, true);
}

static const Link *find_link(const uint8_t *mac)
{
    for (size_t i = 0; i < links.count; i++)
        if (memcmp(links.links[i].mac, mac, MAC_SIZE) == 0)
            return &links.links[i];
    return NULL;
}

static int renew_nic(const GuestNic *nic)
{
    const Link *link = find_link(nic->match);
    bool has_new_mac = is_set(nic->mac, sizeof nic->mac);
    if (link == NULL && has_new_mac)
        link = find_link(nic->mac);
    if (link == NULL)
        return -ENODEV;
    int failed = 0;
    if (has_new_mac && memcmp(link->mac, nic->mac, MAC_SIZE) != 0) {
        failed = renew_mac(link, nic->mac);
        if (!failed)
            renew_ipv6(link, nic->mac);
    } else {
        drop_neighbours(link->index);
    }
    if (!failed && nic->prefix > 0)
        failed = renew_ipv4(link, nic);
    return failed;
}

void guest_network_renew(const GuestNic *nics, uint32_t count, int results[])
{
    int failed = is_known() ? 0 : read_all();
    for (uint32_t i = 0; i < count; i++) {
        results[i] = failed ? failed : open_netlink();
        if (!results[i])
            results[i] = end_with(renew_nic(&nics[i]));
    }
}

int guest_network_up_loopback(void)
{
    int failed = open_netlink();
    if (!failed) {
        set_flags(1, IFF_UP); /* loopback is the first of every network namespace */
        failed = guest_netlink_run(&netlink, false);
    }
    return end_with(failed);
}
