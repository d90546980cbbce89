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
