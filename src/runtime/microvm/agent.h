/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent's channel (guest/protocol.h), one connection for each running
 * instance, whichever engine runs it. Everything that comes from the guest is bounded, and waited
 * for with a deadline: a guest that is silent, or lies, fails its own operation and nothing else.
 *
 * All functions may be called from any thread; those that take a deadline (monotonic time,
 * microseconds) block until then at most.
 */
#pragma once

#include "guest/protocol.h"
#include "runtime/microvm/wire.h"
#include "runtime/runtime.h"

typedef struct _SteadAgent SteadAgent;

/* On the wires' thread: the agent has answered for the first time since the connection, or the
 * guest, began, with these flags (GUEST_AGENT_...). May come before stead_agent_open() returns. */
typedef void (*SteadAgentFunc)(guint32 flags, gpointer user);

/* Connects to the channel's socket. `release` is called with `user` when no call of `func` can
 * follow, upon failure too. The caller owns one reference. */
SteadAgent *stead_agent_open(SteadWires *wires, const char *path, SteadAgentFunc func,
                             gpointer user, GDestroyNotify release, GError **error);
void stead_agent_unref(SteadAgent *agent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadAgent, stead_agent_unref)
void stead_agent_close(SteadAgent *agent);

/* The guest has opened (or closed) its end of the channel: what was under way is over. */
void stead_agent_port_changed(SteadAgent *agent, gboolean open);

/* Whether the agent has answered on this connection. */
gboolean stead_agent_is_ready(SteadAgent *agent);

/* GUEST when the agent has not answered by the deadline. */
gboolean stead_agent_await_ready(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                                 GError **error);

/* A question and its answer: GUEST when there is none, with the agent's reason where it gave one.
 * The answer's payload is owned by the caller. */
GBytes *stead_agent_ask(SteadAgent *agent, GuestType question, const void *payload, gsize length,
                        GuestType answer, gint64 deadline, GCancellable *cancellable,
                        GError **error);

/* Sends the request of a stream, and does not wait for what comes of it. GUEST when the agent is
 * not ready, EXHAUSTED when its channels are all in use. The stream keeps the agent. */
SteadStream *stead_agent_stream(SteadAgent *agent, const SteadStreamRequest *request,
                                GError **error);

/* See SteadDriver's exec. */
SteadExecResult *stead_agent_exec(SteadAgent *agent, const char *const argv[], const char *input,
                                  gint64 deadline, GCancellable *cancellable, GError **error);

/* The guest's file systems are written out. */
gboolean stead_agent_sync(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                          GError **error);

/* Asks the guest to go down; it has said that it will. */
gboolean stead_agent_shut_down(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                               GError **error);

/* Gives a clone its identity; GUEST, naming the step, unless all of it was done. */
gboolean stead_agent_renew(SteadAgent *agent, const GuestRenew *renew, gint64 deadline,
                           GCancellable *cancellable, GError **error);
