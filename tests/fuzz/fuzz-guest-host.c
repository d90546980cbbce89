/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a guest says. The first byte cuts them; what comes out as frames is read as
 * every message there is, and so are the bytes themselves. What can be read can be written, and
 * gives the same bytes.
 */
#include <stddef.h>
#include <string.h>

#include <glib.h>

#include "fuzz.h"
#include "guest/protocol.h"

static union {
    GuestHello hello;
    GuestHelloReply hello_reply;
    GuestFailed failed;
    GuestExec exec;
    GuestStarted started;
    GuestExit exit;
    GuestResize resize;
    GuestSignal signal;
    GuestCredit credit;
    GuestPut put;
    GuestGet get;
    GuestFile file;
    GuestClock clock;
    GuestShutdown shutdown;
    GuestMemory memory;
    GuestNetwork network;
    GuestRenew renew;
    GuestRenewed renewed;
} message;

/* Its reading must not depend on what was there before. */
#define CHECK(fields_of, member)                                                                   \
    do {                                                                                           \
        memset(&message, 0xa5, sizeof message);                                                    \
        GuestFields reader = guest_fields_reader(payload, length);                                 \
        fields_of(&reader, &message.member);                                                       \
        if (guest_fields_end(&reader) < 0)                                                         \
            break;                                                                                 \
        GuestFields writer = guest_fields_writer(again, sizeof again);                             \
        fields_of(&writer, &message.member);                                                       \
        g_assert_cmpint(guest_fields_end(&writer), ==, (gssize)length);                            \
        g_assert_true(memcmp(again, payload, length) == 0);                                        \
    } while (0)

static void read_as_everything(guint8 *payload, gsize length)
{
    static guint8 again[GUEST_PAYLOAD_MAX];
    CHECK(guest_hello_fields, hello);
    CHECK(guest_hello_reply_fields, hello_reply);
    CHECK(guest_failed_fields, failed);
    CHECK(guest_exec_fields, exec);
    CHECK(guest_started_fields, started);
    CHECK(guest_exit_fields, exit);
    CHECK(guest_resize_fields, resize);
    CHECK(guest_signal_fields, signal);
    CHECK(guest_credit_fields, credit);
    CHECK(guest_put_fields, put);
    CHECK(guest_get_fields, get);
    CHECK(guest_file_fields, file);
    CHECK(guest_clock_fields, clock);
    CHECK(guest_shutdown_fields, shutdown);
    CHECK(guest_memory_fields, memory);
    CHECK(guest_network_fields, network);
    CHECK(guest_renew_fields, renew);
    CHECK(guest_renewed_fields, renewed);
}

static void check_frame(GuestFrame *frame)
{
    static guint8 encoded[GUEST_ENCODED_MAX];
    g_assert_cmpuint(frame->length, <=, GUEST_PAYLOAD_MAX);
    ssize_t n = guest_frame_encode(encoded, sizeof encoded, frame->type, frame->channel,
                                   frame->payload, frame->length);
    g_assert_cmpint(n, >, 0);
    g_assert_true(memchr(encoded, 0, (gsize)n) == encoded + n - 1);
    g_assert_nonnull(guest_type_name(frame->type));
    read_as_everything(frame->payload, frame->length);
}

static void decode(const guint8 *data, gsize size, gsize piece)
{
    static GuestDecoder decoder;
    memset(&decoder, 0, offsetof(GuestDecoder, data));
    while (size > 0) {
        gsize used, n = MIN(piece, size);
        GuestFrame frame;
        GuestFeed fed = guest_decoder_feed(&decoder, data, n, &used, &frame);
        g_assert_cmpuint(used, <=, n);
        g_assert_true(used > 0);
        if (fed == GUEST_FEED_FRAME)
            check_frame(&frame);
        data += used;
        size -= used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > GUEST_PAYLOAD_MAX)
        return 0;
    decode(data + 1, size - 1, data[0] ? data[0] : size);
    g_autofree guint8 *payload = g_memdup2(data, size);
    read_as_everything(payload, size);
    return 0;
}
