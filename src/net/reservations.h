/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reservations: each interface of an instance has one address in its network from its creation to
 * its removal, so that the address is known before the guest boots, its name resolves at once, and
 * published ports need not follow it. A reservation is a DHCP host entry and a DNS record of the
 * libvirt network, both in the running one and in its definition.
 *
 * All block and may be repeated.
 */
#pragma once

#include "host/libvirt.h"
#include "model/instance.h"

typedef struct {
    char *mac;
    char *ip;
    char *hostname; /* NULL: none */
} SteadReservation;

void stead_reservation_free(SteadReservation *reservation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadReservation, stead_reservation_free)

/*
 * Reserves an address for `mac` and makes `hostname` (NULL: none) resolve to it. `address` NULL:
 * the one that `mac` has, else a free one of the network's DHCP range; `taken` (NULL-terminated,
 * may be NULL) are addresses not to choose, such as static ones of instances that are not made yet.
 *
 * Returns the address, owned by the caller; NULL upon failure. Errors: CONFLICT when the address
 * or the host name belongs to another interface (the message names it); INVALID for an address
 * that is not of the network; EXHAUSTED; NOT_FOUND when the network was not made.
 *
 * On a network of mode BRIDGE nothing is reserved, since its addresses are not stead's: returns a
 * copy of `address`, or "" without one.
 */
char *stead_network_reserve(SteadLibvirt *libvirt, const SteadNetwork *network, const char *mac,
                            const char *address, const char *hostname, const char *const *taken,
                            GError **error);

/* Takes the reservation and the lease of `mac` back. Success when there is none, or no network. */
gboolean stead_network_release(SteadLibvirt *libvirt, const SteadNetwork *network, const char *mac,
                               GError **error);

/* What is reserved, as SteadReservation; the array owns them. Empty for BRIDGE. */
GPtrArray *stead_network_reservations(SteadLibvirt *libvirt, const SteadNetwork *network,
                                      GError **error);
