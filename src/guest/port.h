/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio port that leads to the host, found by its name, whenever it appears. */
#pragma once

#include <stdbool.h>

/* A socket that becomes readable when the kernel announces devices. A negative errno when there is
 * none to be had. */
int guest_port_watch(void);

/* Reads what was announced; true when one of the announcements may be the port's, or when some
 * were lost. */
bool guest_port_is_announced(int watch);

/* Opens the port of that name, without blocking: the descriptor, -ENOENT when it is not there yet,
 * or another negative errno. */
int guest_port_open(const char *name);
