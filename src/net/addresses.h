/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of one network's subnet: which is the host's own, which are handed out, which is
 * next. Pure.
 */
#pragma once

#include "model/check.h"
#include "model/spec.h"

/* libvirt refuses a DHCP range of more addresses than this. */
#define STEAD_MAX_DHCP_RANGE 65535
/* No more addresses of one network are prepared (stead_address_mac()) than this. */
#define STEAD_MAX_PREPARED 256

typedef struct {
    SteadSubnet subnet;
    guint32 gateway;     /* the host's own address: the first of the subnet */
    guint32 first, last; /* the dynamic range, both inclusive */
} SteadAddressPlan;

/* Fails (INVALID) when spec->subnet is NULL or wrong, or the dynamic range is not a range of
 * addresses that instances may have. */
gboolean stead_address_plan(const SteadNetworkSpec *spec, SteadAddressPlan *plan, GError **error);

/* Whether an instance may have the address; INVALID with the reason when not. */
gboolean stead_address_check(const SteadAddressPlan *plan, const char *address, GError **error);

/* The lowest address of the dynamic range that is not a key of `taken` (addresses as text; a set).
 * EXHAUSTED when there is none. Owned by the caller. */
char *stead_address_choose(const SteadAddressPlan *plan, GHashTable *taken, GError **error);

/*
 * A network is made with its first addresses already reserved, each for a MAC that follows from it,
 * because to reserve one later makes libvirt rewrite the whole firewall of the network (a third of
 * a second), while an interface that takes the MAC with the address finds everything ready. So many
 * of them, counted from plan->first: half of the range, the rest is for machines that stead did not
 * make.
 */
guint stead_address_n_prepared(const SteadAddressPlan *plan);

/* The MAC that a prepared address of the network with this id is reserved for; NULL when `address`
 * is none of those. Locally administered, and never one of libvirt's own (52:54:00:...). Owned by
 * the caller. */
char *stead_address_mac(const SteadAddressPlan *plan, const char *network_id, const char *address);
