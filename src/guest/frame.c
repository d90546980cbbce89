/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COBS: a block is a byte n from 1 to 255 and n - 1 bytes that are not 0; after each block but
 * the last stands a 0 in the decoded text, unless n was 255. The decoder works on runs, not bytes,
 * and never holds more than one frame: what would not fit is passed over up to the next 0.
 */
#include "guest/frame.h"

#include <errno.h>
#include <string.h>

#define BLOCK_MAX 255

static void append(GuestDecoder *decoder, const uint8_t *bytes, size_t length)
{
    if (length > GUEST_FRAME_MAX - decoder->length) {
        decoder->is_spoilt = true;
        return;
    }
    memcpy(decoder->data + decoder->length, bytes, length);
    decoder->length += length;
}

static void begin_block(GuestDecoder *decoder, uint8_t code)
{
    static const uint8_t zero = 0;
    if (decoder->owes_zero)
        append(decoder, &zero, 1);
    decoder->is_begun = true;
    decoder->left = code - 1U;
    decoder->owes_zero = code != BLOCK_MAX;
}

static void restart(GuestDecoder *decoder)
{
    decoder->length = 0;
    decoder->left = 0;
    decoder->is_begun = decoder->is_spoilt = decoder->owes_zero = false;
}

/* At a 0. The decoded bytes stay where they are until the next feed. */
static GuestFeed end_frame(GuestDecoder *decoder, GuestFrame *frame)
{
    size_t length = decoder->length;
    bool is_whole = !decoder->is_spoilt && decoder->left == 0 && length >= GUEST_FRAME_HEAD;
    restart(decoder);
    if (!is_whole)
        return GUEST_FEED_BAD;
    const uint8_t *data = decoder->data;
    *frame = (GuestFrame){
        .type = (uint16_t)(data[0] | data[1] << 8),
        .channel = (uint16_t)(data[2] | data[3] << 8),
        .payload = decoder->data + GUEST_FRAME_HEAD,
        .length = length - GUEST_FRAME_HEAD,
    };
    return GUEST_FEED_FRAME;
}

/* Takes from bytes without a 0 what belongs to one block; returns how many. */
static size_t take_run(GuestDecoder *decoder, const uint8_t *bytes, size_t length)
{
    if (decoder->is_spoilt)
        return length;
    if (decoder->left == 0) {
        begin_block(decoder, *bytes);
        return 1;
    }
    size_t n = length < decoder->left ? length : decoder->left;
    append(decoder, bytes, n);
    decoder->left -= (uint32_t)n;
    return n;
}

GuestFeed guest_decoder_feed(GuestDecoder *decoder, const void *bytes, size_t length, size_t *used,
                             GuestFrame *frame)
{
    const uint8_t *at = bytes, *end = at + length;
    while (at < end) {
        const uint8_t *zero = memchr(at, 0, (size_t)(end - at));
        const uint8_t *stop = zero ? zero : end;
        while (at < stop)
            at += take_run(decoder, at, (size_t)(stop - at));
        if (!zero)
            break;
        at++;
        if (decoder->is_begun) {
            *used = (size_t)(at - (const uint8_t *)bytes);
            return end_frame(decoder, frame);
        }
    }
    *used = length;
    return GUEST_FEED_MORE;
}

/* Blocks are written as bytes come, from several pieces of memory. */
typedef struct {
    uint8_t *code; /* where the length of the block under way goes */
    uint8_t *at;
} Encoder;

static void end_block(Encoder *encoder)
{
    *encoder->code = (uint8_t)(encoder->at - encoder->code);
    encoder->code = encoder->at++;
}

static void encode_run(Encoder *encoder, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t room = BLOCK_MAX - (size_t)(encoder->at - encoder->code);
        size_t n = length < room ? length : room;
        memcpy(encoder->at, bytes, n);
        encoder->at += n;
        bytes += n;
        length -= n;
        if (n == room)
            end_block(encoder);
    }
}

static void encode(Encoder *encoder, const uint8_t *bytes, size_t length)
{
    const uint8_t *end = bytes + length, *zero;
    while (bytes < end && (zero = memchr(bytes, 0, (size_t)(end - bytes)))) {
        encode_run(encoder, bytes, (size_t)(zero - bytes));
        end_block(encoder);
        bytes = zero + 1;
    }
    if (bytes < end)
        encode_run(encoder, bytes, (size_t)(end - bytes));
}

ssize_t guest_frame_encode(uint8_t *out, size_t room, uint16_t type, uint16_t channel,
                           const void *payload, size_t length)
{
    const uint8_t head[GUEST_FRAME_HEAD] = {(uint8_t)type, (uint8_t)(type >> 8), (uint8_t)channel,
                                            (uint8_t)(channel >> 8)};
    if (length > GUEST_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (room < GUEST_ENCODED_SIZE(sizeof head + length))
        return -ENOBUFS;
    Encoder encoder = {.code = out, .at = out + 1};
    encode(&encoder, head, sizeof head);
    if (length > 0)
        encode(&encoder, payload, length);
    end_block(&encoder);
    encoder.at[-1] = 0;
    return encoder.at - out;
}
