/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent's channel for tests: against a real agent, which is a child of the
 * test, or against a peer that the test plays itself.
 */
#pragma once

#include "runtime/microvm/agent.h"
#include "unit/guest/host.h"

typedef struct {
    Host *host; /* of the peer that we play it has only what a connection needs */
    SteadWires *wires;
    SteadAgent *agent;
    gint greeted, released; /* how often */
} Fixture;

/* The monotonic time at which a test that waits has failed. */
gint64 patience(void);

void open_agent(Fixture *f);
void await_ready(Fixture *f);
void hang_up(Fixture *f);

/* With a real agent. */
void set_up(Fixture *f, gconstpointer unused);
void tear_down(Fixture *f, gconstpointer unused);

/* With a peer that has not answered HELLO yet, or has. */
void set_up_peer(Fixture *f, gconstpointer unused);
void set_up_greeted_peer(Fixture *f, gconstpointer unused);
void tear_down_peer(Fixture *f, gconstpointer unused);

guint64 read_hello(Fixture *f); /* its nonce */
void send_hello(Fixture *f, guint64 nonce);
void send_exit(Fixture *f, guint channel, guint code);
void send_failed(Fixture *f, guint channel, int error);
/* The channel of the next frame, which has to be of that type. */
guint16 read_request(Fixture *f, GuestType type);
guint16 read_exec(Fixture *f);
