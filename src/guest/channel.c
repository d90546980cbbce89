/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels and their credit. The host's window, what lies in the input buffer and what is owed
 * to the host add up to GUEST_WINDOW at all times, so that neither side can starve the other:
 * credit goes back at a quarter of it, while three quarters are left to be sent.
 */
#include "guest/channel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define GIVE_BACK_AT (GUEST_WINDOW / 4)

uint8_t guest_scratch[GUEST_DATA_MAX];

static GuestChannel *by_number(GuestAgent *agent, uint16_t number)
{
    return number >= 1 && number <= GUEST_CHANNELS ? &agent->channels[number - 1] : NULL;
}

GuestChannel *guest_channel_find(GuestAgent *agent, uint16_t number, GuestUse use)
{
    GuestChannel *channel = by_number(agent, number);
    return channel && channel->use == use ? channel : NULL;
}

bool guest_channel_is_used(GuestAgent *agent, uint16_t number)
{
    const GuestChannel *channel = by_number(agent, number);
    return channel && channel->use != GUEST_FREE;
}

int guest_channel_take(GuestAgent *agent, uint16_t number, GuestUse use, GuestChannel **channel)
{
    GuestChannel *taken = by_number(agent, number);
    if (taken == NULL)
        return -EBADMSG;
    if (taken->use != GUEST_FREE)
        return -EBUSY;
    *taken = (GuestChannel){
        .use = use,
        .fds = {-1, -1, -1},
        .credit = GUEST_WINDOW,
        .window = GUEST_WINDOW,
    };
    agent->busy++;
    *channel = taken;
    return 0;
}

uint16_t guest_channel_number(const GuestAgent *agent, const GuestChannel *channel)
{
    return (uint16_t)(channel - agent->channels + 1);
}

void guest_channel_close_stream(GuestChannel *channel, GuestStream stream)
{
    int fd = channel->fds[stream];
    channel->fds[stream] = -1;
    for (int i = 0; i < GUEST_STREAMS; i++)
        if (channel->fds[i] == fd)
            return; /* the other direction of a pty */
    close(fd);
}

void guest_channel_drop(GuestAgent *agent, GuestChannel *channel)
{
    for (int i = 0; i < GUEST_STREAMS; i++)
        if (channel->fds[i] >= 0)
            guest_channel_close_stream(channel, (GuestStream)i);
    channel->use = GUEST_FREE;
    agent->busy--;
}

void guest_channel_abort(GuestAgent *agent, GuestChannel *channel)
{
    if (channel->use == GUEST_SESSION && channel->pid > 0 && !channel->has_exited)
        agent->ops->signal(channel->pid, SIGHUP);
    guest_transfer_abort(agent, channel);
    guest_channel_drop(agent, channel);
}

void guest_agent_fail(GuestAgent *agent, uint16_t number, int error, const char *text)
{
    if (guest_channel_is_used(agent, number))
        guest_channel_abort(agent, by_number(agent, number));
    uint8_t payload[GUEST_ERROR_TEXT_MAX + 16];
    GuestFailed failed = {.error = error < 0 ? -error : error, .text = text};
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    guest_failed_fields(&fields, &failed);
    ssize_t length = guest_fields_end(&fields);
    guest_outbox_add(&agent->outbox, GUEST_FAILED, number, payload,
                     length > 0 ? (size_t)length : 0);
}

void guest_channel_fail(GuestAgent *agent, GuestChannel *channel, int error, const char *text)
{
    guest_agent_fail(agent, guest_channel_number(agent, channel), error, text);
}

bool guest_channel_accept(GuestChannel *channel, size_t length)
{
    if (length == 0 || length > GUEST_DATA_MAX || length > channel->window)
        return false;
    channel->window -= (uint32_t)length;
    return true;
}

void guest_channel_give_back(GuestAgent *agent, GuestChannel *channel, uint32_t bytes)
{
    channel->owed += bytes;
    if (channel->owed < GIVE_BACK_AT)
        return;
    GuestCredit credit = {.bytes = channel->owed};
    uint8_t payload[sizeof credit];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    guest_credit_fields(&fields, &credit);
    if (guest_outbox_add(&agent->outbox, GUEST_CREDIT, guest_channel_number(agent, channel),
                         payload, sizeof payload) < 0)
        return;
    channel->window += channel->owed;
    channel->owed = 0;
}

size_t guest_channel_may_send(const GuestAgent *agent, const GuestChannel *channel)
{
    size_t most = channel->credit < GUEST_DATA_MAX ? channel->credit : GUEST_DATA_MAX;
    return guest_outbox_has_room(&agent->outbox, GUEST_DATA_MAX) ? most : 0;
}
