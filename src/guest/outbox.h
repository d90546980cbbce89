/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on their way to the host: a bounded queue of encoded bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/protocol.h"

/* Room for an answer of any size while one is being sent. */
#define GUEST_OUTBOX_SIZE (2 * (size_t)GUEST_ENCODED_MAX)

/* Plain memory; all zero is empty. */
typedef struct {
    size_t begin, end;
    uint8_t bytes[GUEST_OUTBOX_SIZE];
} GuestOutbox;

/* Whether a frame with a payload of so many bytes can be added. */
bool guest_outbox_has_room(const GuestOutbox *outbox, size_t payload);

/* Adds a frame. Returns 0, -EMSGSIZE for a payload that no frame carries, or -ENOBUFS where
 * guest_outbox_has_room() would have been false: then nothing is added. */
int guest_outbox_add(GuestOutbox *outbox, GuestType type, uint16_t channel, const void *payload,
                     size_t length);

/* Forgets what was not sent, and begins anew with the byte 0 that ends a frame cut by that. */
void guest_outbox_restart(GuestOutbox *outbox);

static inline bool guest_outbox_is_empty(const GuestOutbox *outbox)
{
    return outbox->begin == outbox->end;
}

/* Sends what the descriptor takes, without waiting: 0 when all of it is sent, or the negative
 * errno, of which -EAGAIN means that the rest waits. */
int guest_outbox_flush(GuestOutbox *outbox, int fd);
