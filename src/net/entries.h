/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCP and DNS entries of a libvirt network, read from its XML. Shared by this layer's files.
 */
#pragma once

#include <libxml/tree.h>

#include "net/reservations.h"

typedef struct {
    GPtrArray *hosts; /* SteadReservation, of DHCP */
    GHashTable *dns;  /* address → host names, separated by a blank */
} SteadEntries;

void stead_entries_free(SteadEntries *entries);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadEntries, stead_entries_free)

/* Never NULL. Entries without MAC or address are left out. Pure. */
SteadEntries *stead_entries_parse(xmlDocPtr doc);

/* The entries of one state: `flags` is 0 for the running network (for its definition where it does
 * not run), or VIR_NETWORK_XML_INACTIVE. */
SteadEntries *stead_entries_read(virNetworkPtr network, guint flags, GError **error);

/* The DHCP entry of a MAC, or of an address; NULL when there is none. Owned by `entries`. */
const SteadReservation *stead_entries_find(const SteadEntries *entries, const char *mac);
const SteadReservation *stead_entries_find_ip(const SteadEntries *entries, const char *ip);
