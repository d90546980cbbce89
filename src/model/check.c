/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of single values. Each is one pass over the text with an explicit bound, so that no input
 * is too long or too odd for it; the C library's lenient readers (inet_aton, strtoul) are not used,
 * because what they accept ("010.1", "-1", " 7") means different things to different programs.
 */
#include "model/check.h"

#include <string.h>

#include "base/error.h"
#include "model/spec.h"

#define MAX_IMAGE_PART 64
#define MAX_CPU 4095
#define MAX_CPU_LIST 512 /* characters */
#define MIN_PREFIX 8
#define MAX_PREFIX 30

static gboolean is_lower_alnum(char c)
{
    return g_ascii_islower(c) || g_ascii_isdigit(c);
}

gboolean stead_name_is_valid(const char *name)
{
    gsize n = strnlen(name, STEAD_MAX_NAME + 1);
    if (n == 0 || n > STEAD_MAX_NAME)
        return FALSE;
    for (gsize i = 0; i < n; i++)
        if (!is_lower_alnum(name[i]) && name[i] != '-')
            return FALSE;
    return name[0] != '-' && name[n - 1] != '-';
}

gboolean stead_name_check(const char *what, const char *name, GError **error)
{
    if (stead_name_is_valid(name))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                    "'%.64s' is not a name for %s; use lower-case letters, digits and '-', at most "
                    "%d, with a letter or digit first and last",
                    name, what, STEAD_MAX_NAME);
    return FALSE;
}

/* The length of [a-z0-9][a-z0-9._-]* at `text`; 0 when there is none or it is too long. */
static gsize image_part(const char *text)
{
    gsize n = 0;
    while (n <= MAX_IMAGE_PART &&
           (is_lower_alnum(text[n]) || (n > 0 && text[n] && strchr("._-", text[n]))))
        n++;
    return n <= MAX_IMAGE_PART ? n : 0;
}

gboolean stead_image_ref_is_valid(const char *ref)
{
    gsize n = image_part(ref);
    if (n == 0)
        return FALSE;
    if (ref[n] == '\0')
        return TRUE;
    if (ref[n] != ':')
        return FALSE;
    const char *tag = ref + n + 1;
    gsize m = image_part(tag);
    return m > 0 && tag[m] == '\0';
}

gboolean stead_image_ref_check(const char *ref, GError **error)
{
    if (stead_image_ref_is_valid(ref))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                    "'%.64s' is not the name of an image; write it like debian:12", ref);
    return FALSE;
}

gboolean stead_mac_is_valid(const char *mac)
{
    guint sum = 0;
    for (guint i = 0; i < 17; i++) {
        if (i % 3 == 2 ? mac[i] != ':' : !g_ascii_isxdigit(mac[i]))
            return FALSE;
        sum += i % 3 == 2 ? 0 : (guint)g_ascii_xdigit_value(mac[i]);
    }
    gboolean multicast = g_ascii_xdigit_value(mac[1]) & 1;
    return mac[17] == '\0' && !multicast && sum > 0;
}

/* Reads a decimal number without sign or leading zero; FALSE when there is none or it exceeds
 * `max`. */
static gboolean read_decimal(const char **at, guint max, guint *value)
{
    const char *p = *at;
    *value = 0;
    for (; g_ascii_isdigit(*p); p++) {
        *value = *value * 10 + (guint)(*p - '0');
        if (*value > max || (p > *at && **at == '0'))
            return FALSE;
    }
    gboolean any = p > *at;
    *at = p;
    return any;
}

static gboolean read_ipv4(const char **at, guint32 *address)
{
    *address = 0;
    for (int i = 0; i < 4; i++) {
        guint byte;
        if (i > 0 && *(*at)++ != '.')
            return FALSE;
        if (!read_decimal(at, 255, &byte))
            return FALSE;
        *address = *address << 8 | byte;
    }
    return TRUE;
}

gboolean stead_ipv4_parse(const char *text, guint32 *address)
{
    return read_ipv4(&text, address) && *text == '\0';
}

char *stead_ipv4_format(guint32 address)
{
    return g_strdup_printf("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                           address & 255);
}

static guint32 subnet_mask(guint prefix)
{
    return ~(guint32)0 << (32 - prefix);
}

static gboolean read_subnet(const char *text, SteadSubnet *subnet)
{
    return read_ipv4(&text, &subnet->network) && *text++ == '/' &&
           read_decimal(&text, MAX_PREFIX, &subnet->prefix) && *text == '\0' &&
           subnet->prefix >= MIN_PREFIX;
}

gboolean stead_subnet_parse(const char *text, SteadSubnet *subnet, GError **error)
{
    SteadSubnet read;
    if (!read_subnet(text, &read)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "'%.64s' is not an IPv4 subnet; write it like 10.77.0.0/24, with a prefix "
                        "from %d to %d",
                        text, MIN_PREFIX, MAX_PREFIX);
        return FALSE;
    }
    guint32 network = read.network & subnet_mask(read.prefix);
    if (network != read.network) {
        g_autofree char *meant = stead_ipv4_format(network);
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "'%s' is an address within a subnet; did you mean '%s/%u'?", text, meant,
                        read.prefix);
        return FALSE;
    }
    *subnet = read;
    return TRUE;
}

char *stead_subnet_format(const SteadSubnet *subnet)
{
    g_autofree char *network = stead_ipv4_format(subnet->network);
    return g_strdup_printf("%s/%u", network, subnet->prefix);
}

gboolean stead_subnet_contains(const SteadSubnet *subnet, guint32 address)
{
    return (address & subnet_mask(subnet->prefix)) == subnet->network;
}

gboolean stead_subnets_overlap(const SteadSubnet *a, const SteadSubnet *b)
{
    return stead_subnet_contains(a, b->network) || stead_subnet_contains(b, a->network);
}

gboolean stead_cpu_list_is_valid(const char *list)
{
    if (strnlen(list, MAX_CPU_LIST + 1) > MAX_CPU_LIST)
        return FALSE;
    for (const char *p = list;; p++) {
        guint first, last;
        if (!read_decimal(&p, MAX_CPU, &first))
            return FALSE;
        last = first;
        if (*p == '-') {
            p++;
            if (!read_decimal(&p, MAX_CPU, &last))
                return FALSE;
        }
        if (last < first)
            return FALSE;
        if (*p != ',')
            return *p == '\0';
    }
}

char *stead_mac_derive(const char *instance_id, guint n)
{
    g_autofree char *seed = g_strdup_printf("%s/%u", instance_id, n);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, seed, -1);
    return g_strdup_printf("52:54:00:%.2s:%.2s:%.2s", sum, sum + 2, sum + 4);
}

char *stead_subnet_refuses(const SteadSubnet *subnet, const char *text)
{
    guint32 address, last = subnet->network | ~subnet_mask(subnet->prefix);
    const char *why = NULL;
    if (!stead_ipv4_parse(text, &address))
        return g_strdup_printf("'%.64s' is not an IPv4 address", text);
    if (!stead_subnet_contains(subnet, address))
        why = "lies outside";
    else if (address == subnet->network)
        why = "is the network's own address of";
    else if (address == last)
        why = "is the broadcast address of";
    else if (address == subnet->network + 1)
        why = "is the host's own address in";
    if (!why)
        return NULL;
    g_autofree char *format = stead_subnet_format(subnet);
    return g_strdup_printf("%s %s the subnet %s", text, why, format);
}

gboolean stead_ssh_key_is_file(const char *entry)
{
    static const char *const beginnings[] = {"~/", "/", "./", "../"};
    for (gsize i = 0; i < G_N_ELEMENTS(beginnings); i++)
        if (g_str_has_prefix(entry, beginnings[i]))
            return TRUE;
    return g_str_has_suffix(entry, ".pub") && strchr(entry, ' ') == NULL;
}
