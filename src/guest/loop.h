/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's one loop: where bytes, readiness and signals come from. */
#pragma once

#include "guest/agent.h"

typedef struct {
    const char *port;        /* the virtio port's name; used when no other way is given */
    const char *socket_path; /* listens there, for one host after the other; or NULL */
    int fd;       /* a connection, with whose end the loop ends; or a listening socket; or -1 */
    bool is_init; /* signals ask for shutdown and reboot */
} GuestTransport;

/* Blocks the signals that it hears, and runs until it is told to end: the GuestShutdownHow that was
 * asked for, GUEST_NOT_ASKED when it shall just end, or a negative errno below GUEST_NOT_ASKED
 * when it cannot go on. */
int guest_loop(GuestAgent *agent, const GuestTransport *transport);

/* GuestOps.watch, in the loop that runs. */
int guest_loop_watch(int fd, unsigned channel, GuestStream stream);
