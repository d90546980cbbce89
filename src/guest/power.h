/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest goes down. */
#pragma once

#include <stdbool.h>

#include "guest/messages.h"

/* Whether process 1 is systemd. */
bool guest_is_systemd(void);

/* Asks process 1, which is not us, to end the system. 0 or a negative errno. */
int guest_power_ask(GuestShutdownHow how);

/* As process 1: ends all processes, by force those that do not listen, writes out and unmounts
 * file systems, and ends the machine. Comes back only when the kernel refuses. SIGCHLD is
 * blocked. */
int guest_power_end(GuestShutdownHow how);
