/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels of an agent: sessions, files and synchronizations that are under way. Only the
 * agent's own files (dispatch.c, session.c, transfer.c) use this.
 */
#pragma once

#include "guest/agent.h"

/* The channel of that number if it has that use, else NULL. */
GuestChannel *guest_channel_find(GuestAgent *agent, uint16_t number, GuestUse use);

/* Takes a free channel into use, its fields as at the beginning. -EBADMSG for a number that is
 * none, -EBUSY for one in use. */
int guest_channel_take(GuestAgent *agent, uint16_t number, GuestUse use, GuestChannel **channel);

bool guest_channel_is_used(GuestAgent *agent, uint16_t number);

uint16_t guest_channel_number(const GuestAgent *agent, const GuestChannel *channel);

void guest_channel_close_stream(GuestChannel *channel, GuestStream stream);

/* Closes what is open and makes it free, without a word to the host. Its processes go on. */
void guest_channel_drop(GuestAgent *agent, GuestChannel *channel);

/* Gives it up as guest_agent_fail() does. */
void guest_channel_fail(GuestAgent *agent, GuestChannel *channel, int error, const char *text);

/* Ends what goes on: a session gets SIGHUP, a half-written file is removed. It is free then. */
void guest_channel_abort(GuestAgent *agent, GuestChannel *channel);

/* FAILED as the answer to a request. `error` may be negative. As that word ends whatever goes on on
 * a channel of this number, it is given up: a session gets SIGHUP, a half-written file is removed.
 */
void guest_agent_fail(GuestAgent *agent, uint16_t number, int error, const char *text);

/* Counts what the host sent against its window: false, when it is more. */
bool guest_channel_accept(GuestChannel *channel, size_t length);

/* The host may send that much more. CREDIT goes out when enough has come together. */
void guest_channel_give_back(GuestAgent *agent, GuestChannel *channel, uint32_t bytes);

/* The most that may be sent to the host now: its credit, a frame, and room in the outbox. */
size_t guest_channel_may_send(const GuestAgent *agent, const GuestChannel *channel);

/* Sessions (session.c). */
void guest_session_start(GuestAgent *agent, uint16_t number, const GuestExec *exec);
void guest_session_sync(GuestAgent *agent, uint16_t number);
void guest_session_input(GuestAgent *agent, GuestChannel *channel, const uint8_t *bytes,
                         size_t length);
void guest_session_end_input(GuestAgent *agent, GuestChannel *channel);
void guest_session_resize(GuestChannel *channel, const GuestResize *resize);
bool guest_session_turn(GuestAgent *agent, GuestChannel *channel);

/* Files (transfer.c). */
void guest_transfer_put(GuestAgent *agent, uint16_t number, const GuestPut *put);
void guest_transfer_get(GuestAgent *agent, uint16_t number, const GuestGet *get);
void guest_transfer_data(GuestAgent *agent, GuestChannel *channel, const uint8_t *bytes,
                         size_t length);
/* The file that comes is whole; only for one of unknown size. */
void guest_transfer_end(GuestAgent *agent, GuestChannel *channel);
bool guest_transfer_turn(GuestAgent *agent, GuestChannel *channel);
/* What is half-written is removed; its descriptor is closed. */
void guest_transfer_abort(GuestAgent *agent, GuestChannel *channel);

/* What a read from a stream goes through on its way to the outbox. Its content lives for one
 * call. */
extern uint8_t guest_scratch[GUEST_DATA_MAX];
