/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports: a port of the host whose traffic goes to a port of an instance. One forwarder
 * process a port carries it; it outlives the daemon, and lies on record below `run_dir`/ports.
 *
 * `ports` holds SteadPortSpec. All functions but the pure one block.
 */
#pragma once

#include "model/spec.h"

/* Connections (for UDP: peers) that one published port serves at a time; more wait. */
#define STEAD_MAX_PORT_CONNECTIONS 256

/*
 * Makes the published ports of an instance be `ports`, going to `guest_address`: adopts forwarders
 * that run and are right, ends the others, starts what is missing. All or nothing: upon failure no
 * port of the instance is published.
 *
 * Errors: CONFLICT when a port is taken (by whom, if that can be found); INVALID for an address
 * that the host does not have; MISSING without socat.
 */
gboolean stead_ports_publish(const char *run_dir, const GPtrArray *ports, const char *guest_address,
                             GError **error);

/* Ends every forwarder that is on record below `run_dir`. Success when there is none. */
gboolean stead_ports_unpublish(const char *run_dir, GError **error);

/* Whether all of them could be published now: CONFLICT as above, also when two of them collide. */
gboolean stead_ports_check_free(const GPtrArray *ports, GError **error);

/* How many forwarders of `run_dir` there are on record. */
guint stead_ports_count(const char *run_dir);

/* The argv of a port's forwarder, NULL-terminated; INVALID for what cannot be an address or port.
 * `socat` is the program's path; `setpriv` that of the one which drops root, NULL: stay as is.
 * Pure. Owned by the caller. */
GStrv stead_port_argv(const SteadPortSpec *port, const char *guest_address, const char *socat,
                      const char *setpriv, GError **error);
