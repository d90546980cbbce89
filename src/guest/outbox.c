/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes lie in one piece, so that they go out in one call; what is left of them moves to the
 * front when there is no room behind. Mostly all is sent at once and the same first pages serve
 * for every answer.
 */
#include "guest/outbox.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool guest_outbox_has_room(const GuestOutbox *outbox, size_t payload)
{
    size_t room = sizeof outbox->bytes - (outbox->end - outbox->begin);
    return payload <= GUEST_PAYLOAD_MAX && GUEST_ENCODED_SIZE(GUEST_FRAME_HEAD + payload) <= room;
}

int guest_outbox_add(GuestOutbox *outbox, GuestType type, uint16_t channel, const void *payload,
                     size_t length)
{
    if (!guest_outbox_has_room(outbox, length))
        return length > GUEST_PAYLOAD_MAX ? -EMSGSIZE : -ENOBUFS;
    if (GUEST_ENCODED_SIZE(GUEST_FRAME_HEAD + length) > sizeof outbox->bytes - outbox->end) {
        memmove(outbox->bytes, outbox->bytes + outbox->begin, outbox->end - outbox->begin);
        outbox->end -= outbox->begin;
        outbox->begin = 0;
    }
    ssize_t n = guest_frame_encode(outbox->bytes + outbox->end, sizeof outbox->bytes - outbox->end,
                                   (uint16_t)type, channel, payload, length);
    if (n < 0)
        return (int)n;
    outbox->end += (size_t)n;
    return 0;
}

void guest_outbox_restart(GuestOutbox *outbox)
{
    outbox->begin = 0;
    outbox->end = 1;
    outbox->bytes[0] = 0;
}

int guest_outbox_flush(GuestOutbox *outbox, int fd)
{
    while (outbox->begin < outbox->end) {
        ssize_t n = write(fd, outbox->bytes + outbox->begin, outbox->end - outbox->begin);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EAGAIN;
        outbox->begin += (size_t)n;
    }
    outbox->begin = outbox->end = 0;
    return 0;
}
