/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on a byte stream: Consistent Overhead Byte Stuffing (Cheshire and Baker), ended by a byte
 * 0. Nothing is allocated; a decoder takes any bytes, cut anywhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_FRAME_MAX 65536 /* decoded: head and payload */
#define GUEST_FRAME_HEAD 4    /* u16 type, u16 channel */
#define GUEST_PAYLOAD_MAX (GUEST_FRAME_MAX - GUEST_FRAME_HEAD)

/* The most that a frame of so many decoded bytes takes on the stream, its closing 0 included. */
#define GUEST_ENCODED_SIZE(decoded) ((decoded) + (decoded) / 254 + 2)
#define GUEST_ENCODED_MAX GUEST_ENCODED_SIZE(GUEST_FRAME_MAX)

/* A frame that was read. The payload lies in the decoder, and may be changed there, until the
 * decoder's next feed. One byte beyond it may be read and written too. */
typedef struct {
    uint16_t type;
    uint16_t channel;
    uint8_t *payload;
    size_t length;
} GuestFrame;

/* Plain memory; all zero is a decoder at the beginning of a frame. */
typedef struct {
    size_t length;  /* decoded so far */
    uint32_t left;  /* bytes that the block under way still has */
    bool is_begun;  /* something came since the last 0 */
    bool is_spoilt; /* too long or cut: to be thrown away up to the next 0 */
    bool owes_zero; /* a 0 stands between the last block and the next */
    uint8_t data[GUEST_FRAME_MAX + 1];
} GuestDecoder;

typedef enum {
    GUEST_FEED_MORE,  /* all bytes were taken, and no frame ended */
    GUEST_FEED_FRAME, /* *frame is the next one */
    GUEST_FEED_BAD,   /* what stood before this 0 was no frame, and is gone */
} GuestFeed;

/* Takes bytes up to the end of one frame; *used is how many. Call again with the rest. A 0 that
 * follows a 0 is nothing. */
GuestFeed guest_decoder_feed(GuestDecoder *decoder, const void *bytes, size_t length, size_t *used,
                             GuestFrame *frame);

/* Writes a frame to `out`, which may not overlap the payload. Returns the bytes written,
 * -EMSGSIZE for a payload above GUEST_PAYLOAD_MAX, or -ENOBUFS where `room` is less than
 * GUEST_ENCODED_SIZE(GUEST_FRAME_HEAD + length), even if it would do for these very bytes. */
ssize_t guest_frame_encode(uint8_t *out, size_t room, uint16_t type, uint16_t channel,
                           const void *payload, size_t length);
