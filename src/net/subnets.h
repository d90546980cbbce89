/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which IPv4 subnets are in use on this host, and which one is free.
 *
 * A list of uses is collected by the readers (interfaces, routes, libvirt's networks) and then
 * asked. The questions are pure: lists in, answer out.
 */
#pragma once

#include <libvirt/libvirt.h>

#include "model/check.h"

/* The most uses that are looked at; a host with a full routing table of the Internet has more, and
 * none of its routes beyond this number is private. */
#define STEAD_MAX_SUBNET_USES 4096

typedef struct {
    SteadSubnet subnet; /* prefix 8 to 32 */
    char *holder;       /* for people: "interface eth0", "libvirt network default" */
} SteadSubnetUse;

/* An empty list; elements are SteadSubnetUse, owned by it. */
GPtrArray *stead_subnet_uses_new(void);

/* Adds a use. Silently leaves out what cannot collide (a default route, loopback, a prefix
 * shorter than 8, which only VPN software uses, as a default route in halves). */
void stead_subnet_uses_add(GPtrArray *uses, guint32 address, guint prefix, const char *what,
                           const char *name);

/* CONFLICT when `wanted` overlaps a use; the message names the holder, the hint a free subnet. */
gboolean stead_subnet_check_free(const SteadSubnet *wanted, const GPtrArray *uses, GError **error);

/* The first free /24: of 10.77.0.0/16, then of the other private ranges. EXHAUSTED without one. */
gboolean stead_subnet_choose(const GPtrArray *uses, SteadSubnet *chosen, GError **error);

/* Adds the routes of a text in the format of /proc/net/route, without those through
 * `except_interface` (may be NULL). Lines that cannot be read are skipped. */
void stead_subnet_uses_add_routes(GPtrArray *uses, const char *text, const char *except_interface);

/* Adds the addresses of this host's interfaces and its routes, but those of `except_interface`. */
gboolean stead_subnet_uses_read_host(GPtrArray *uses, const char *except_interface, GError **error);

/* Adds the subnets of libvirt's networks, running or not, but of that named `except`. */
gboolean stead_subnet_uses_read_libvirt(GPtrArray *uses, virConnectPtr conn, const char *except,
                                        GError **error);
