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
 * Reserves `address` for `mac` and makes `hostname` (NULL: none) resolve to it, in place of what
 * `mac` had. With a prepared address and its MAC (stead_address_mac()) that takes some
 * milliseconds, else libvirt writes the network's firewall anew.
 *
 * Nothing is reserved without an address, and on a network of mode BRIDGE, since its addresses are
 * not stead's. Errors: CONFLICT when the address or the host name belongs to another interface (the
 * message names it); INVALID for an address that is not of the network; NOT_FOUND when the network
 * was not made.
 */
gboolean stead_network_reserve(SteadLibvirt *libvirt, const SteadNetwork *network, const char *mac,
                               const char *address, const char *hostname, GError **error);

/* Takes the reservation and the lease of `mac` back. Success when there is none, or no network. */
gboolean stead_network_release(SteadLibvirt *libvirt, const SteadNetwork *network, const char *mac,
                               GError **error);
