/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libvirt network has two states, the running one and the definition, and a daemon may die
 * between changing one and the other. So each is read, compared with what is wanted and changed by
 * itself. A DNS record carries no MAC: it belongs to whoever has its address reserved. Therefore
 * the DHCP entry is made first and removed last.
 *
 * One lock covers reading and changing, so that two jobs do not take the same address.
 */
#include "net/reservations.h"

#include <string.h>

#include "base/error.h"
#include "net/addresses.h"
#include "net/entries.h"
#include "net/lease.h"
#include "net/network_xml.h"

static GMutex reserving;

void stead_reservation_free(SteadReservation *reservation)
{
    if (reservation == NULL)
        return;
    g_free(reservation->mac);
    g_free(reservation->ip);
    g_free(reservation->hostname);
    g_free(reservation);
}

/* ---- changing ---- */

typedef struct {
    const char *id; /* the network's */
    const SteadAddressPlan *plan;
    virNetworkPtr network;
    guint state; /* VIR_NETWORK_UPDATE_AFFECT_LIVE or _CONFIG */
    const SteadEntries *entries;
} Change;

/* Whether an entry is one that the network was made with. It stays. */
static gboolean is_prepared(const Change *change, const SteadReservation *host)
{
    g_autofree char *mac = stead_address_mac(change->plan, change->id, host->ip);
    return mac && g_ascii_strcasecmp(mac, host->mac) == 0;
}

static gboolean update(const Change *change, guint command, guint section, const char *xml,
                       GError **error)
{
    if (virNetworkUpdate(change->network, command, section, -1, xml, change->state) == 0)
        return TRUE;
    return stead_libvirt_error(error, "changing the addresses of network %s",
                               virNetworkGetName(change->network));
}

static gboolean drop_dns(const Change *change, const char *ip, GError **error)
{
    if (!g_hash_table_contains(change->entries->dns, ip))
        return TRUE;
    g_autofree char *xml = g_markup_printf_escaped("<host ip='%s'/>", ip);
    return update(change, VIR_NETWORK_UPDATE_COMMAND_DELETE, VIR_NETWORK_SECTION_DNS_HOST, xml,
                  error);
}

static gboolean drop(const Change *change, const SteadReservation *host, GError **error)
{
    g_autofree char *xml = g_markup_printf_escaped("<host mac='%s' ip='%s'/>", host->mac, host->ip);
    return drop_dns(change, host->ip, error) &&
           update(change, VIR_NETWORK_UPDATE_COMMAND_DELETE, VIR_NETWORK_SECTION_IP_DHCP_HOST, xml,
                  error);
}

/* "web.example web" for web.example: the short name resolves as well. */
static char *dns_names(const char *hostname)
{
    const char *dot = strchr(hostname, '.');
    return dot ? g_strdup_printf("%s %.*s", hostname, (int)(dot - hostname), hostname)
               : g_strdup(hostname);
}

static char *dns_xml(const char *ip, const char *names)
{
    g_autoptr(GString) xml = g_string_new(NULL);
    g_auto(GStrv) each = g_strsplit(names, " ", -1);
    g_string_append_printf(xml, "<host ip='%s'>", ip);
    for (guint i = 0; each[i]; i++) {
        g_autofree char *name = g_markup_printf_escaped("<hostname>%s</hostname>", each[i]);
        g_string_append(xml, name);
    }
    g_string_append(xml, "</host>");
    return g_string_free(g_steal_pointer(&xml), FALSE);
}

static gboolean put_dns(const Change *change, const SteadReservation *wanted, GError **error)
{
    const char *has = g_hash_table_lookup(change->entries->dns, wanted->ip);
    if (wanted->hostname == NULL)
        return drop_dns(change, wanted->ip, error);
    g_autofree char *names = dns_names(wanted->hostname);
    if (g_strcmp0(has, names) == 0)
        return TRUE;
    g_autofree char *xml = dns_xml(wanted->ip, names);
    return drop_dns(change, wanted->ip, error) &&
           update(change, VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, VIR_NETWORK_SECTION_DNS_HOST, xml,
                  error);
}

/* dnsmasq tells a guest its name by the DNS record of its address, so the entry carries none. */
static gboolean put_dhcp(const Change *change, const SteadReservation *wanted, GError **error)
{
    const SteadReservation *has = stead_entries_find(change->entries, wanted->mac);
    const SteadReservation *holder = stead_entries_find_ip(change->entries, wanted->ip);
    if (has && strcmp(has->ip, wanted->ip) == 0)
        return TRUE;
    if ((has && !drop(change, has, error)) || (holder && !drop(change, holder, error)))
        return FALSE;
    if (has)
        g_hash_table_remove(change->entries->dns, has->ip);
    g_autofree char *xml =
        g_markup_printf_escaped("<host mac='%s' ip='%s'/>", wanted->mac, wanted->ip);
    return update(change, VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, VIR_NETWORK_SECTION_IP_DHCP_HOST,
                  xml, error);
}

typedef gboolean (*ChangeFunc)(const Change *change, const SteadReservation *what, GError **error);

static gboolean put(const Change *change, const SteadReservation *wanted, GError **error)
{
    return put_dhcp(change, wanted, error) && put_dns(change, wanted, error);
}

static gboolean take(const Change *change, const SteadReservation *what, GError **error)
{
    const SteadReservation *has = stead_entries_find(change->entries, what->mac);
    if (has == NULL)
        return TRUE;
    return is_prepared(change, has) ? drop_dns(change, has->ip, error) : drop(change, has, error);
}

/* Changes the definition (`change`) first: what runs but is not defined would be gone after a
 * restart. */
static gboolean in_both_states(Change *change, ChangeFunc func, const SteadReservation *what,
                               GError **error)
{
    if (!func(change, what, error))
        return FALSE;
    if (virNetworkIsActive(change->network) != 1)
        return TRUE;
    g_autoptr(SteadEntries) running = stead_entries_read(change->network, 0, error);
    if (running == NULL)
        return FALSE;
    Change live = *change;
    live.state = VIR_NETWORK_UPDATE_AFFECT_LIVE;
    live.entries = running;
    return func(&live, what, error);
}

/* ---- claims ---- */

/* Whether two lists of names, separated by blanks, have one in common; either may be NULL. */
static gboolean share_a_name(const char *a, const char *b)
{
    g_auto(GStrv) ours = g_strsplit(a ? a : "", " ", -1);
    g_auto(GStrv) theirs = g_strsplit(b ? b : "", " ", -1);
    for (guint i = 0; ours[i]; i++)
        if (g_strv_contains((const char *const *)theirs, ours[i]))
            return TRUE;
    return FALSE;
}

static void refuse(const SteadNetwork *network, const SteadReservation *wanted,
                   const SteadReservation *host, const char *names, gboolean same_ip,
                   GError **error)
{
    const char *what = same_ip ? "address" : "host name";
    g_autofree char *hint =
        g_strdup_printf("Choose another %s, or remove the instance that has it.", what);
    stead_set_error(error, STEAD_ERROR_CONFLICT, hint,
                    "the %s %s in network %s belongs to %s (%s, MAC %s)", what,
                    same_ip ? wanted->ip : wanted->hostname, network->name,
                    names ? names : "another interface", host->ip, host->mac);
}

/* A prepared address without a name is nobody's yet. */
static gboolean check_unclaimed(const Change *change, const SteadNetwork *network,
                                const SteadReservation *wanted, GError **error)
{
    const SteadEntries *entries = change->entries;
    g_autofree char *wanted_names = wanted->hostname ? dns_names(wanted->hostname) : NULL;
    for (guint i = 0; i < entries->hosts->len; i++) {
        const SteadReservation *host = g_ptr_array_index(entries->hosts, i);
        const char *names = g_hash_table_lookup(entries->dns, host->ip);
        gboolean same_ip = strcmp(host->ip, wanted->ip) == 0;
        if (g_ascii_strcasecmp(host->mac, wanted->mac) == 0 ||
            (!same_ip && !share_a_name(wanted_names, names)) ||
            (names == NULL && is_prepared(change, host)))
            continue;
        refuse(network, wanted, host, names, same_ip, error);
        return FALSE;
    }
    return TRUE;
}

static virNetworkPtr look_up(SteadLibvirt *libvirt, const SteadNetwork *network, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    virNetworkPtr real = conn ? virNetworkLookupByUUIDString(conn, network->id) : NULL;
    if (conn && real == NULL)
        stead_libvirt_error(error, "looking for network %s", network->name);
    return real;
}

static gboolean check_arguments(const char *mac, const char *hostname, GError **error)
{
    if (!stead_mac_is_valid(mac))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.64s' is not a MAC address", mac);
    else if (hostname && !stead_dns_name_is_valid(hostname))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.64s' is not a host name", hostname);
    else
        return TRUE;
    return FALSE;
}

static gboolean reserve_locked(const SteadNetwork *network, virNetworkPtr real,
                               const SteadAddressPlan *plan, const SteadReservation *wanted,
                               GError **error)
{
    g_autoptr(SteadEntries) defined = stead_entries_read(real, VIR_NETWORK_XML_INACTIVE, error);
    Change change = {network->id, plan, real, VIR_NETWORK_UPDATE_AFFECT_CONFIG, defined};
    return defined && check_unclaimed(&change, network, wanted, error) &&
           in_both_states(&change, put, wanted, error);
}

static gboolean release_locked(const SteadNetwork *network, virNetworkPtr real,
                               const SteadAddressPlan *plan, const SteadReservation *what,
                               GError **error)
{
    g_autoptr(SteadEntries) defined = stead_entries_read(real, VIR_NETWORK_XML_INACTIVE, error);
    Change change = {network->id, plan, real, VIR_NETWORK_UPDATE_AFFECT_CONFIG, defined};
    return defined && in_both_states(&change, take, what, error);
}

gboolean stead_network_reserve(SteadLibvirt *libvirt, const SteadNetwork *network, const char *mac,
                               const char *address, const char *hostname, GError **error)
{
    SteadAddressPlan plan;
    if (network->spec->mode == STEAD_NETWORK_BRIDGE || address == NULL)
        return TRUE;
    if (!check_arguments(mac, hostname, error) ||
        !stead_address_plan(network->spec, &plan, error) ||
        !stead_address_check(&plan, address, error))
        return FALSE;
    g_autoptr(virNetwork) real = look_up(libvirt, network, error);
    if (real == NULL)
        return FALSE;
    g_autoptr(SteadReservation) wanted = g_new0(SteadReservation, 1);
    wanted->mac = g_strdup(mac);
    wanted->ip = g_strdup(address);
    wanted->hostname = g_strdup(hostname);
    g_mutex_lock(&reserving);
    gboolean done = reserve_locked(network, real, &plan, wanted, error);
    g_mutex_unlock(&reserving);
    return done;
}

gboolean stead_network_release(SteadLibvirt *libvirt, const SteadNetwork *network, const char *mac,
                               GError **error)
{
    if (network->spec->mode == STEAD_NETWORK_BRIDGE)
        return TRUE;
    SteadAddressPlan plan;
    g_autoptr(GError) local = NULL;
    g_autoptr(virNetwork) real = look_up(libvirt, network, &local);
    if (g_error_matches(local, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return TRUE;
    if (real == NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (!stead_address_plan(network->spec, &plan, error))
        return FALSE;
    g_autoptr(SteadReservation) what = g_new0(SteadReservation, 1);
    what->mac = g_strdup(mac);
    g_mutex_lock(&reserving);
    gboolean done = release_locked(network, real, &plan, what, error);
    g_mutex_unlock(&reserving);
    return done && stead_leases_end(real, network, mac, error);
}
