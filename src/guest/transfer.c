/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files to and from the host. What comes is written at once, to a temporary beside its place, and
 * renamed when all of it is there; what goes is read as far as the host gives credit.
 */
#include "guest/channel.h"

#include <errno.h>
#include <unistd.h>

static void say(GuestAgent *agent, const GuestChannel *channel, GuestType type, const void *payload,
                size_t length)
{
    guest_outbox_add(&agent->outbox, type, guest_channel_number(agent, channel), payload, length);
}

static GuestUpload *upload_of(GuestAgent *agent, const GuestChannel *channel)
{
    return &agent->uploads[channel - agent->channels];
}

static void end_put(GuestAgent *agent, GuestChannel *channel)
{
    channel->fds[GUEST_IN] = -1; /* the upload closes it */
    int failed = agent->ops->upload_end(upload_of(agent, channel), true);
    if (failed) {
        guest_channel_fail(agent, channel, failed, "rename");
        return;
    }
    say(agent, channel, GUEST_DONE, NULL, 0);
    guest_channel_drop(agent, channel);
}

void guest_transfer_abort(GuestAgent *agent, GuestChannel *channel)
{
    if (channel->use != GUEST_PUTTING || channel->fds[GUEST_IN] < 0)
        return;
    channel->fds[GUEST_IN] = -1;
    agent->ops->upload_end(upload_of(agent, channel), false);
}

void guest_transfer_put(GuestAgent *agent, uint16_t number, const GuestPut *put)
{
    GuestChannel *channel;
    int failed = guest_channel_take(agent, number, GUEST_PUTTING, &channel);
    if (failed) {
        guest_agent_fail(agent, number, failed, "channel");
        return;
    }
    GuestUpload *upload = upload_of(agent, channel);
    failed = agent->ops->upload(put, upload);
    if (failed) {
        guest_channel_fail(agent, channel, failed, "create");
        return;
    }
    channel->fds[GUEST_IN] = upload->fd;
    channel->left = put->size;
    uint32_t none = 0;
    say(agent, channel, GUEST_STARTED, &none, sizeof none);
    if (channel->left == 0)
        end_put(agent, channel);
}

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

void guest_transfer_data(GuestAgent *agent, GuestChannel *channel, const uint8_t *bytes,
                         size_t length)
{
    if (length > channel->left || !guest_channel_accept(channel, length)) {
        guest_channel_fail(agent, channel, EPROTO, "more than was announced");
        return;
    }
    int failed = write_all(channel->fds[GUEST_IN], bytes, length);
    if (failed) {
        guest_channel_fail(agent, channel, failed, "write");
        return;
    }
    channel->left -= length;
    if (channel->left == 0)
        end_put(agent, channel);
    else
        guest_channel_give_back(agent, channel, (uint32_t)length);
}

void guest_transfer_end(GuestAgent *agent, GuestChannel *channel)
{
    if (channel->left > INT64_MAX)
        end_put(agent, channel);
    else
        guest_channel_fail(agent, channel, EPROTO, "less than was announced");
}

static void say_file(GuestAgent *agent, const GuestChannel *channel, GuestFile *file)
{
    uint8_t payload[sizeof *file];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    guest_file_fields(&fields, file);
    ssize_t length = guest_fields_end(&fields);
    say(agent, channel, GUEST_FILE, payload, length > 0 ? (size_t)length : 0);
}

void guest_transfer_get(GuestAgent *agent, uint16_t number, const GuestGet *get)
{
    GuestChannel *channel;
    GuestFile file;
    int result = guest_channel_take(agent, number, GUEST_GETTING, &channel);
    if (result) {
        guest_agent_fail(agent, number, result, "channel");
        return;
    }
    result = agent->ops->download(get->path, &file);
    if (result < 0) {
        guest_channel_fail(agent, channel, result, "open");
        return;
    }
    channel->fds[GUEST_OUT] = result;
    say_file(agent, channel, &file);
}

bool guest_transfer_turn(GuestAgent *agent, GuestChannel *channel)
{
    guest_channel_give_back(agent, channel, 0);
    size_t most = guest_channel_may_send(agent, channel);
    if (channel->use != GUEST_GETTING || most == 0)
        return false;
    ssize_t n = read(channel->fds[GUEST_OUT], guest_scratch, most);
    if (n < 0) {
        guest_channel_fail(agent, channel, errno, "read");
        return false;
    }
    if (n == 0) {
        say(agent, channel, GUEST_DONE, NULL, 0);
        guest_channel_drop(agent, channel);
        return false;
    }
    say(agent, channel, GUEST_DATA, guest_scratch, (size_t)n);
    channel->credit -= (uint32_t)n;
    return true;
}
