/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks made real. The records are the engine's; these functions make the host agree with one.
 * All block, and all may be repeated after a daemon was killed in the middle of one.
 */
#pragma once

#include "base/paths.h"
#include "host/libvirt.h"
#include "model/instance.h"

/*
 * Makes what the record says, and starts it: a libvirt network, with DHCP and DNS, whose UUID is
 * the record's id. Fills in libvirt_name, bridge, and spec->subnet where it is NULL (a free one).
 * For BRIDGE it only checks that the host's bridge exists and fills in bridge.
 *
 * What a former attempt left is taken over. A definition that differs (the spec was changed) is
 * replaced, without reservations: repeat stead_network_reserve() for each instance before its
 * start.
 *
 * Errors: CONFLICT when the subnet collides with one of the host's, or libvirt has a network of
 * that name that stead did not make; BUSY when the definition changed while interfaces are in the
 * bridge; NOT_FOUND for a BRIDGE that is not there; INVALID. Nothing is left upon failure.
 */
gboolean stead_network_make(SteadLibvirt *libvirt, SteadNetwork *network, const SteadPaths *paths,
                            GError **error);

/* Sees to it that a network that was made runs: after a reboot, after libvirtd was restarted,
 * before an instance is started. Makes it anew where it went away. */
gboolean stead_network_ensure_started(SteadLibvirt *libvirt, const SteadNetwork *network,
                                      const SteadPaths *paths, GError **error);

/* Stops and removes it, with its reservations and leases. Success when there is none. Does not ask
 * whether instances use it. */
gboolean stead_network_remove(SteadLibvirt *libvirt, const SteadNetwork *network, GError **error);

/* libvirt's names of networks that this root made but whose id is not a key of `known` (a set of
 * ids). The array owns them. */
GPtrArray *stead_network_orphans(SteadLibvirt *libvirt, const SteadPaths *paths, GHashTable *known,
                                 GError **error);

/* Removes one of them; refuses (DENIED) what this root did not make. Success when there is none. */
gboolean stead_network_remove_orphan(SteadLibvirt *libvirt, const SteadPaths *paths,
                                     const char *libvirt_name, GError **error);
