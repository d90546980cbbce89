/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One turn after the other. A frame is acted on only while the outbox has room for the greatest
 * answer, so that a host that asks without listening holds up nobody but itself.
 */
#include "guest/agent.h"

#include "guest/channel.h"
#include "guest/dispatch.h"

void guest_agent_init(GuestAgent *agent, const GuestOps *ops, uint32_t flags)
{
    agent->ops = ops;
    agent->flags = flags;
    agent->shutdown = GUEST_NOT_ASKED;
}

size_t guest_agent_receive(GuestAgent *agent, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    size_t left = length;
    while (left > 0 && guest_outbox_has_room(&agent->outbox, GUEST_PAYLOAD_MAX)) {
        GuestFrame frame;
        size_t used;
        GuestFeed fed = guest_decoder_feed(&agent->decoder, at, left, &used, &frame);
        at += used;
        left -= used;
        if (fed == GUEST_FEED_FRAME)
            guest_dispatch(agent, &frame);
        else if (fed == GUEST_FEED_BAD)
            guest_dispatch_bad(agent);
    }
    return length - left;
}

void guest_agent_ready(GuestAgent *agent, unsigned number, GuestStream stream, bool is_hung_up)
{
    GuestChannel *channel = guest_channel_find(agent, (uint16_t)number, GUEST_SESSION);
    if (channel == NULL)
        return;
    channel->is_ready[stream] = true;
    channel->is_hung_up[stream] |= is_hung_up;
    if (channel->is_pty)
        channel->is_ready[GUEST_IN] = true;
}

void guest_agent_exited(GuestAgent *agent, pid_t pid, int status)
{
    for (unsigned i = 0; i < GUEST_CHANNELS; i++) {
        GuestChannel *channel = &agent->channels[i];
        bool has_process = channel->use == GUEST_SESSION || channel->use == GUEST_SYNCING;
        if (!has_process || channel->pid != pid || channel->has_exited)
            continue;
        channel->has_exited = true;
        channel->status = status;
        channel->is_ready[GUEST_OUT] = channel->is_ready[GUEST_ERR] = true;
        return;
    }
}

static bool turn_of(GuestAgent *agent, GuestChannel *channel)
{
    switch (channel->use) {
    case GUEST_SESSION:
    case GUEST_SYNCING:
        return guest_session_turn(agent, channel);
    case GUEST_PUTTING:
    case GUEST_GETTING:
        return guest_transfer_turn(agent, channel);
    case GUEST_FREE:
        break;
    }
    return false;
}

bool guest_agent_turn(GuestAgent *agent)
{
    bool is_more = false;
    unsigned busy = agent->busy;
    for (unsigned i = 0; i < GUEST_CHANNELS && busy > 0; i++) {
        GuestChannel *channel = &agent->channels[(agent->next + i) % GUEST_CHANNELS];
        if (channel->use == GUEST_FREE)
            continue;
        busy--;
        is_more |= turn_of(agent, channel);
    }
    agent->next = agent->busy > 1 ? (agent->next + 1) % GUEST_CHANNELS : 0;
    return is_more || !guest_outbox_has_room(&agent->outbox, GUEST_PAYLOAD_MAX);
}

void guest_agent_hang_up(GuestAgent *agent)
{
    for (unsigned i = 0; i < GUEST_CHANNELS && agent->busy > 0; i++) {
        GuestChannel *channel = &agent->channels[i];
        if (channel->use != GUEST_FREE)
            guest_channel_abort(agent, channel);
    }
    guest_outbox_restart(&agent->outbox);
    agent->is_greeted = false;
}
