/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the host's end of the agent's channel, shared by the agent*.c and by nobody else.
 *
 * A call is one use of a channel, from its request to the agent's last word on it, or to its end by
 * the caller: a question that waits for one answer, or a stream. What comes for it is told to its
 * functions, by the wires' thread, with the agent's lock held.
 *
 * A channel that was given up belongs to its former call until the agent's last word on it: what is
 * under way for that one must not come to another.
 */
#pragma once

#include "runtime/microvm/agent.h"

typedef struct AgentCall AgentCall;

typedef struct {
    /* A frame for it, of any type and content, but none after it is done. Sets `done` when it was
     * the last one. */
    void (*frame)(AgentCall *call, const GuestFrame *frame);
    /* There will be none: the channel, or the agent, is gone. */
    void (*lost)(AgentCall *call, int failure, const char *reason);
} AgentCallFuncs;

struct AgentCall {
    SteadAgent *agent;
    const AgentCallFuncs *funcs;
    guint16 number;
    gboolean sent; /* the agent knows of it */
    gboolean done; /* the agent's lock */
};

struct _SteadAgent {
    SteadWire *wire;
    SteadAgentFunc func;
    gpointer user;
    GDestroyNotify release;
    GuestDecoder decoder; /* the reader's alone */
    GMutex lock;          /* of what follows */
    GCond changed;
    GHashTable *calls;                     /* number → AgentCall, borrowed from the callers */
    gboolean given_up[GUEST_CHANNELS + 1]; /* channels without a call that are in use yet */
    guint64 nonce;
    gint64 turn;    /* when the guest's began to open its end, monotonic */
    guint hellos;   /* that it made us say in it */
    gboolean open;  /* its end of the channel, as it said last */
    gboolean waits; /* a HELLO, for the next turn */
    gboolean ready;
    gboolean closed;
    guint next_tag;
};

/* ---- agent.c ---- */

SteadAgent *stead_agent_ref(SteadAgent *agent);

/* Never waits, and takes no lock of the agent's: it may be held. */
gboolean stead_agent_send(SteadAgent *agent, guint type, guint channel, const void *payload,
                          gsize length, GError **error);
/* The length of a payload that was written; 0 with INVALID when it is none. */
gsize stead_agent_end_fields(const GuestFields *fields, GError **error);

/* Has g_cond_broadcast(&agent->changed) called when it is cancelled. */
gulong stead_agent_watch(SteadAgent *agent, GCancellable *cancellable);
/* FALSE, with CANCELLED, when there is nothing more to wait for, or without a reason at the
 * deadline. (lock held) */
gboolean stead_agent_wait_more(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                               GError **error);
/* GUEST, unless there is an error. */
void stead_agent_set_silent(GError **error);

/* ---- agent_call.c ---- */

/* Takes a channel for a call that lasts, or a tag for a question that is answered at once. GUEST
 * when the agent is not ready, EXHAUSTED. */
gboolean stead_agent_begin_call(SteadAgent *agent, AgentCall *call, gboolean lasts, GError **error);
/* The last of it: no function of it is called any more. What goes on is given up. */
void stead_agent_end_call(AgentCall *call);

/* What comes (lock held). */
void stead_agent_take_frame(SteadAgent *agent, const GuestFrame *frame);
void stead_agent_lose_calls(SteadAgent *agent, int failure, const char *reason);

/* Reads a FAILED; a positive errno and the agent's words, owned by the caller. EPROTO when it is
 * none. */
int stead_agent_read_failed(const GuestFrame *frame, char **text);
