/* SPDX-License-Identifier: Apache-2.0 */
/* What tells one clone from the next, each part by itself. All return 0 or a negative errno. */
#pragma once

#include "guest/messages.h"

int guest_set_clock(uint64_t realtime);

/* Credits the bytes as full entropy, and lets the generator make use of them at once. */
int guest_add_entropy(const GuestBytes *entropy);

/* The kernel's, /etc/hostname where that is, and the line of 127.0.1.1 in /etc/hosts. */
int guest_set_host_name(const char *name);

/* /etc/machine-id, and /var/lib/dbus/machine-id where that is a file of its own. */
int guest_set_machine_id(const char *id);

/* /etc/resolv.conf, unless a service keeps it. */
int guest_set_name_servers(const uint8_t (*servers)[4], uint32_t count, const char *domain);

/* GuestOps.renew: all that is asked for, in the order of GuestRenew. */
void guest_renew(const GuestRenew *renew, GuestRenewed *renewed);
