/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of single values: names, addresses, CPU lists. Each `..._is_valid` is pure; each
 * `..._check` also sets an INVALID error that says what is expected.
 */
#pragma once

#include <glib.h>

/* Names of instances, networks, volumes, snapshots, pools and specs: a DNS label (RFC 1123,
 * section 2.1) in lower case, at most STEAD_MAX_NAME characters. So a name can never leave a
 * folder, and is a host name as it is. `what` names the thing in the message ("instance"). */
gboolean stead_name_is_valid(const char *name);
gboolean stead_name_check(const char *what, const char *name, GError **error);

/* Image references: NAME or NAME:TAG, each [a-z0-9][a-z0-9._-]*, at most 64 characters each. */
gboolean stead_image_ref_is_valid(const char *ref);
gboolean stead_image_ref_check(const char *ref, GError **error);

/* A unicast MAC address, "52:54:00:12:34:56". */
gboolean stead_mac_is_valid(const char *mac);

/* IPv4 in dotted quad; host byte order. */
gboolean stead_ipv4_parse(const char *text, guint32 *address);
/* Owned by the caller. */
char *stead_ipv4_format(guint32 address);

/* IPv4 CIDR with no host bits set, prefix 8 to 30: "10.77.0.0/24". */
typedef struct {
    guint32 network; /* host byte order */
    guint prefix;
} SteadSubnet;

/* INVALID for what is no subnet, and for an address within one: the subnet that was meant is named.
 * *subnet is set on success only. */
gboolean stead_subnet_parse(const char *text, SteadSubnet *subnet, GError **error);
/* Owned by the caller. */
char *stead_subnet_format(const SteadSubnet *subnet);
/* The network's and the broadcast address count as part of a subnet. */
gboolean stead_subnet_contains(const SteadSubnet *subnet, guint32 address);
gboolean stead_subnets_overlap(const SteadSubnet *a, const SteadSubnet *b);

/* Why a guest of the subnet cannot have the address: it lies outside, or is the network's, the
 * broadcast or the host's own (the first). NULL when it can. Owned by the caller. */
char *stead_subnet_refuses(const SteadSubnet *subnet, const char *address);

/* "0-3,8": Linux's CPU and node list format; numbers up to 4095. */
gboolean stead_cpu_list_is_valid(const char *list);

/* The MAC of an instance's nth interface where its spec gives none: 52:54:00 and 3 bytes of
 * SHA-256(id, n). Owned by the caller. */
char *stead_mac_derive(const char *instance_id, guint n);

/* Whether an entry of ssh-keys names a file of keys instead: it begins with "~/", "/", "./" or
 * "../", or ends in ".pub" and has no blank. The client puts the keys in its place. */
gboolean stead_ssh_key_is_file(const char *entry);
