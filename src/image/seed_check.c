/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a seed, looked at once more before they are written. JSON keeps them from breaking
 * out of their strings; this keeps them from meaning something else where cloud-init takes the
 * strings apart: in /etc/environment, /etc/hosts and the network's configuration.
 */
#include "image/seed_check.h"

#include <string.h>

#include "base/error.h"
#include "model/check.h"

#define MAX_HOSTNAME 253
#define MAX_PROXY 1024

static gboolean invalid(GError **error, const char *what, const char *value)
{
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.200s' is not %s", value ? value : "",
                    what);
    return FALSE;
}

/* A DNS name, which is also all that a host name may be. */
static gboolean is_dns_name(const char *name)
{
    gsize n = strnlen(name, MAX_HOSTNAME + 1);
    return n > 0 && n <= MAX_HOSTNAME && g_ascii_isalnum(name[0]) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == n;
}

/* Goes into /etc/environment between quotation marks, where nothing can be escaped. */
static gboolean is_plain(const char *value)
{
    gsize n = strnlen(value, MAX_PROXY + 1);
    if (n == 0 || n > MAX_PROXY)
        return FALSE;
    for (const char *p = value; *p; p++)
        if (!g_ascii_isgraph(*p) || strchr("\"'\\`$", *p))
            return FALSE;
    return TRUE;
}

static gboolean check_optional_address(const char *address, GError **error)
{
    guint32 parsed;
    return address == NULL || stead_ipv4_parse(address, &parsed)
               ? TRUE
               : invalid(error, "an IPv4 address", address);
}

static gboolean check_nic(const SteadSeedNic *nic, GError **error)
{
    if (nic->mac == NULL || !stead_mac_is_valid(nic->mac))
        return invalid(error, "a MAC address", nic->mac);
    if (nic->search && !is_dns_name(nic->search))
        return invalid(error, "a DNS domain", nic->search);
    if (nic->address == NULL)
        return check_optional_address(nic->dns, error);
    if (nic->prefix < 1 || nic->prefix > 32) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%u is not a prefix length", nic->prefix);
        return FALSE;
    }
    return check_optional_address(nic->address, error) &&
           check_optional_address(nic->gateway, error) && check_optional_address(nic->dns, error);
}

gboolean stead_seed_check(const SteadSeedOptions *options, GError **error)
{
    const SteadProxySpec *proxy = &options->spec->proxy;
    const char *const values[] = {proxy->http, proxy->https, proxy->no_proxy};
    if (options->hostname == NULL || !is_dns_name(options->hostname))
        return invalid(error, "a host name", options->hostname);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        if (values[i] && !is_plain(values[i]))
            return invalid(error, "a proxy setting without spaces and quotation marks", values[i]);
    if (options->n_nics > STEAD_MAX_NICS) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "more than %d interfaces",
                        STEAD_MAX_NICS);
        return FALSE;
    }
    for (gsize i = 0; i < options->n_nics; i++)
        if (!check_nic(&options->nics[i], error))
            return FALSE;
    if (options->spec->user_data &&
        strnlen(options->spec->user_data, STEAD_MAX_USER_DATA + 1) > STEAD_MAX_USER_DATA) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the user-data is larger than 512 KiB");
        return FALSE;
    }
    return TRUE;
}
