/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a subnet. Its first address is the host's. The dynamic range is all the others,
 * unless the spec narrows it: dnsmasq keeps reserved addresses out of what it hands to strangers,
 * but counts every lease against the size of the range, so a range that leaves reserved addresses
 * out would run dry early.
 */
#include "net/addresses.h"

#include "base/error.h"

/* libvirt takes no range whose ends differ in their upper 16 bits. */
#define DHCP_BLOCK 65536u

static guint32 broadcast_of(const SteadSubnet *subnet)
{
    return subnet->network | (guint32)(G_MAXUINT32 >> subnet->prefix);
}

static gboolean check_usable(const SteadAddressPlan *plan, const char *what, const char *text,
                             guint32 *address, GError **error)
{
    g_autofree char *subnet = stead_subnet_format(&plan->subnet);
    const char *why = NULL;
    if (!stead_ipv4_parse(text, address))
        why = "is not an IPv4 address";
    else if (!stead_subnet_contains(&plan->subnet, *address))
        why = "is not within the network's subnet";
    else if (*address == plan->subnet.network || *address == broadcast_of(&plan->subnet))
        why = "is not one that a machine may have in the network's subnet";
    else if (*address == plan->gateway)
        why = "is the host's own address in the network's subnet";
    if (why == NULL)
        return TRUE;
    g_autofree char *low = stead_ipv4_format(plan->gateway + 1);
    g_autofree char *high = stead_ipv4_format(broadcast_of(&plan->subnet) - 1);
    g_autofree char *hint = g_strdup_printf("Choose one from %s to %s.", low, high);
    stead_set_error(error, STEAD_ERROR_INVALID, hint, "%s %.64s %s (%s)", what, text, why, subnet);
    return FALSE;
}

/* "This network", the host itself, multicast and beyond. */
static gboolean check_range(const SteadSubnet *subnet, GError **error)
{
    guint8 first = (guint8)(subnet->network >> 24);
    if (first != 0 && first != 127 && first < 224)
        return TRUE;
    g_autofree char *text = stead_subnet_format(subnet);
    stead_set_error(error, STEAD_ERROR_INVALID, "Choose a private one, as 10.77.0.0/24.",
                    "the subnet %s is none that machines can have", text);
    return FALSE;
}

gboolean stead_address_plan(const SteadNetworkSpec *spec, SteadAddressPlan *plan, GError **error)
{
    if (spec->subnet == NULL) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the network has no subnet");
        return FALSE;
    }
    if (!stead_subnet_parse(spec->subnet, &plan->subnet, error) ||
        !check_range(&plan->subnet, error))
        return FALSE;
    guint32 highest = broadcast_of(&plan->subnet) - 1;
    plan->gateway = plan->subnet.network + 1;
    plan->first = plan->gateway + 1;
    if (spec->dhcp_start &&
        !check_usable(plan, "the first DHCP address", spec->dhcp_start, &plan->first, error))
        return FALSE;
    plan->last = highest;
    if (spec->dhcp_end) {
        if (!check_usable(plan, "the last DHCP address", spec->dhcp_end, &plan->last, error))
            return FALSE;
    } else if (highest >= plan->first) {
        plan->last = MIN(highest, plan->first | (guint32)(DHCP_BLOCK - 1));
    }
    if (plan->last < plan->first || plan->last - plan->first >= STEAD_MAX_DHCP_RANGE ||
        plan->last / DHCP_BLOCK != plan->first / DHCP_BLOCK) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "the DHCP range %s to %s is empty, or has more than %d addresses or others "
                        "in its first two numbers",
                        spec->dhcp_start ? spec->dhcp_start : "(first)",
                        spec->dhcp_end ? spec->dhcp_end : "(last)", STEAD_MAX_DHCP_RANGE);
        return FALSE;
    }
    return TRUE;
}

gboolean stead_address_check(const SteadAddressPlan *plan, const char *address, GError **error)
{
    guint32 value;
    return check_usable(plan, "the address", address, &value, error);
}

char *stead_address_choose(const SteadAddressPlan *plan, GHashTable *taken, GError **error)
{
    for (guint32 address = plan->first;; address++) {
        g_autofree char *text = stead_ipv4_format(address);
        if (!g_hash_table_contains(taken, text))
            return g_steal_pointer(&text);
        if (address == plan->last)
            break;
    }
    g_autofree char *first = stead_ipv4_format(plan->first);
    g_autofree char *last = stead_ipv4_format(plan->last);
    stead_set_error(error, STEAD_ERROR_EXHAUSTED,
                    "Remove instances, or use a network with a larger subnet or DHCP range.",
                    "all addresses from %s to %s are taken", first, last);
    return NULL;
}

guint stead_address_n_prepared(const SteadAddressPlan *plan)
{
    return MIN((plan->last - plan->first + 1) / 2, STEAD_MAX_PREPARED);
}

/* 52:54, 15 bits that tell networks of one guest apart, and the lower 16 of the address, which tell
 * those of one range apart (DHCP_BLOCK). */
char *stead_address_mac(const SteadAddressPlan *plan, const char *network_id, const char *address)
{
    guint32 value;
    if (!stead_ipv4_parse(address, &value) || value < plan->first ||
        value - plan->first >= stead_address_n_prepared(plan))
        return NULL;
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, network_id, -1);
    guint64 id = g_ascii_strtoull(sum + 56, NULL, 16); /* its last 32 bits */
    return g_strdup_printf("52:54:%02x:%02x:%02x:%02x", (guint)(id >> 8 & 0x7f) | 0x80,
                           (guint)(id & 0xff), value >> 8 & 0xff, value & 0xff);
}
