/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's interfaces: what they are, and what a clone's are to be. */
#pragma once

#include "guest/messages.h"

/* GuestOps.network. */
int guest_network_list(GuestNetwork *network);

/* Renews the interfaces of a RENEW; result[i] is 0 or the negative errno of nics[i]: -ENODEV where
 * no interface has the MAC to match. */
void guest_network_renew(const GuestNic *nics, uint32_t count, int results[]);

/* Part of GuestOps.settle: reads what there is, so that a renewal finds it known while nothing
 * changes. */
void guest_network_keep(void);

/* Brings loopback up. */
int guest_network_up_loopback(void);
