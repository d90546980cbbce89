/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While there is a client the listener is not watched, so that the next one stays in the queue.
 * Input is read into a small buffer and offered to the owner; as long as some of it is left, the
 * socket is not watched for more.
 */
#include "vmm/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER 4096
#define DESCRIPTORS_MAX 4 /* in one message; the kernel drops the others */

struct VmmChannel {
    VmmLoop *loop;
    const VmmChannelOps *ops;
    void *owner;
    int listener;
    int client; /* -1: none */
    VmmSource *listener_source;
    VmmSource *client_source;
    bool wants_room;
    uint32_t watched;
    size_t start, end; /* of what the buffer holds */
    uint8_t buffer[BUFFER];
};

static void watch(VmmChannel *channel)
{
    uint32_t events = 0;
    if (channel->start == channel->end)
        events |= EPOLLIN;
    if (channel->wants_room)
        events |= EPOLLOUT;
    if (events != channel->watched && vmm_source_set_events(channel->client_source, events) == 0)
        channel->watched = events;
}

void vmm_channel_hang_up(VmmChannel *channel)
{
    if (channel->client < 0)
        return;
    vmm_source_remove(channel->client_source);
    close(channel->client);
    channel->client_source = NULL;
    channel->client = -1;
    channel->wants_room = false;
    channel->start = channel->end = 0;
    vmm_source_set_events(channel->listener_source, EPOLLIN);
}

static void lose_client(VmmChannel *channel)
{
    if (channel->client < 0)
        return;
    vmm_channel_hang_up(channel);
    if (channel->ops->connected)
        channel->ops->connected(channel->owner, false);
}

/* Offers what the buffer holds. The owner may hang up meanwhile. */
static void offer(VmmChannel *channel)
{
    size_t length = channel->end - channel->start, taken = length;
    if (length > 0 && channel->ops->input)
        taken = channel->ops->input(channel->owner, channel->buffer + channel->start, length);
    if (channel->client < 0)
        return;
    channel->start += taken < length ? taken : length;
    if (channel->start == channel->end)
        channel->start = channel->end = 0;
    watch(channel);
}

static void take_descriptors(VmmChannel *channel, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (channel->ops->descriptor)
                channel->ops->descriptor(channel->owner, fd);
            else
                close(fd);
        }
    }
}

static void read_client(VmmChannel *channel)
{
    union {
        char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct iovec part = {channel->buffer, sizeof channel->buffer};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    ssize_t n = recvmsg(channel->client, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lose_client(channel);
        return;
    }
    take_descriptors(channel, &message);
    channel->start = 0;
    channel->end = (size_t)n;
    offer(channel);
}

static void on_client(void *data, uint32_t events)
{
    VmmChannel *channel = data;
    if ((events & EPOLLOUT) && channel->wants_room) {
        channel->wants_room = false;
        if (channel->ops->writable)
            channel->ops->writable(channel->owner);
        if (channel->client >= 0)
            watch(channel);
    }
    if (channel->client < 0)
        return;
    if ((events & EPOLLIN) && channel->start == channel->end)
        read_client(channel);
    else if (events & (EPOLLHUP | EPOLLERR))
        lose_client(channel);
}

static void on_listener(void *data, uint32_t events)
{
    VmmChannel *channel = data;
    (void)events;
    int client = accept4(channel->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0)
        return;
    if (vmm_loop_add(channel->loop, client, EPOLLIN, on_client, channel, &channel->client_source)) {
        close(client);
        return;
    }
    channel->client = client;
    channel->watched = EPOLLIN;
    vmm_source_set_events(channel->listener_source, 0);
    if (channel->ops->connected)
        channel->ops->connected(channel->owner, true);
}

int vmm_channel_new(VmmChannel **channel, VmmLoop *loop, int listener, const VmmChannelOps *ops,
                    void *owner)
{
    VmmChannel *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->loop = loop;
    made->ops = ops;
    made->owner = owner;
    made->listener = listener;
    made->client = -1;
    int failed = vmm_loop_add(loop, listener, EPOLLIN, on_listener, made, &made->listener_source);
    if (failed) {
        free(made);
        return failed;
    }
    *channel = made;
    return 0;
}

void vmm_channel_free(VmmChannel *channel)
{
    if (channel == NULL)
        return;
    vmm_channel_hang_up(channel);
    vmm_source_remove(channel->listener_source);
    free(channel);
}

bool vmm_channel_is_connected(const VmmChannel *channel)
{
    return channel->client >= 0;
}

size_t vmm_channel_write(VmmChannel *channel, const void *bytes, size_t length)
{
    if (channel->client < 0 || length == 0)
        return 0;
    ssize_t n = send(channel->client, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t taken = n < 0 ? 0 : (size_t)n;
    if (taken < length) { /* a client that is gone is found by the loop */
        channel->wants_room = true;
        watch(channel);
    }
    return taken;
}

void vmm_channel_resume(VmmChannel *channel)
{
    if (channel->client >= 0)
        offer(channel);
}
