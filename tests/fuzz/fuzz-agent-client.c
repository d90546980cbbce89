/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frames as what a guest answers to a host that runs a command, copies a file each way, and has
 * asked something. The input is a list of steps:
 *
 *     u8 type, u8 channel, u8 length, u8 what, payload
 *
 * of which each is a frame, and something that the streams' user does after it. The wire is ours:
 * what is sent goes nowhere, but the greeting is answered. The host keeps no more than a window of
 * each stream, sends no more than it was given credit for, and every stream can be freed at any
 * time.
 */
#include <string.h>

#include "base/error.h"
#include "fuzz.h"
#include "runtime/microvm/agent.h"

#define STREAMS 3
#define WHAT_CUT 0x80  /* the frame comes in two pieces */
#define WHAT_LONG 0x40 /* its payload is the rest of the input */

/* ---- the wire ---- */

static struct {
    const SteadWireFuncs *funcs;
    gpointer data;
    GuestDecoder decoder;
    guint64 nonce;
    gsize input; /* bytes of STDIN and DATA that were sent */
} wire;

SteadWire *stead_wire_open(SteadWires *wires, const char *path, const SteadWireFuncs *funcs,
                           gpointer data, GError **error)
{
    wire.funcs = funcs;
    wire.data = data;
    return (SteadWire *)&wire;
}

gboolean stead_wire_send(SteadWire *unused, const void *bytes, gsize n, int fd, GError **error)
{
    const guint8 *at = bytes;
    while (n > 0) {
        size_t used;
        GuestFrame frame;
        if (guest_decoder_feed(&wire.decoder, at, n, &used, &frame) == GUEST_FEED_FRAME) {
            GuestHello hello = {0};
            GuestFields fields = guest_fields_reader(frame.payload, frame.length);
            if (frame.type == GUEST_HELLO)
                guest_hello_fields(&fields, &hello);
            wire.nonce = frame.type == GUEST_HELLO ? hello.nonce : wire.nonce;
            if (frame.type == GUEST_STDIN || frame.type == GUEST_DATA)
                wire.input += frame.length;
        }
        at += used;
        n -= used;
    }
    return TRUE;
}

void stead_wire_later(SteadWire *unused, guint ms, void (*func)(gpointer data), gpointer data,
                      GDestroyNotify release)
{
    release(data); /* the next turn never comes */
}

void stead_wire_close(SteadWire *unused)
{
}

void stead_wire_unref(SteadWire *unused)
{
}

/* ---- the guest ---- */

static void say(guint type, guint channel, const void *payload, gsize length, gsize first)
{
    static guint8 encoded[GUEST_ENCODED_MAX];
    ssize_t n = guest_frame_encode(encoded, sizeof encoded, (uint16_t)type, (uint16_t)channel,
                                   payload, length);
    g_assert_cmpint(n, >, 0);
    first = MIN(first, (gsize)n);
    if (first > 0)
        wire.funcs->bytes(encoded, first, wire.data);
    if (first < (gsize)n)
        wire.funcs->bytes(encoded + first, (gsize)n - first, wire.data);
}

static void greet(void)
{
    guint8 payload[128];
    GuestHelloReply reply = {GUEST_PROTOCOL_VERSION, wire.nonce, 0, "1"};
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    guest_hello_reply_fields(&fields, &reply);
    say(GUEST_HELLO_REPLY, 0, payload, (gsize)guest_fields_end(&fields), 0);
}

/* ---- the host ---- */

static void on_ready(guint32 flags, gpointer user)
{
}

static void open_streams(SteadAgent *agent, SteadStream *streams[STREAMS])
{
    static const char *const argv[] = {"cat", NULL};
    const SteadStreamRequest requests[STREAMS] = {
        {.kind = STEAD_STREAM_EXEC, .command = (GStrv)(gsize)argv, .input = TRUE},
        {.kind = STEAD_STREAM_PUT, .path = (char *)(gsize) "/file"},
        {.kind = STEAD_STREAM_GET, .path = (char *)(gsize) "/file"},
    };
    for (int i = 0; i < STREAMS; i++)
        if (streams[i] == NULL)
            streams[i] = stead_agent_stream(agent, &requests[i], NULL);
}

static void take_all(SteadStream *stream)
{
    gsize n = 0;
    SteadStreamEvent *event;
    while ((event = stead_stream_take(stream)) != NULL) {
        gsize part = event->bytes ? g_bytes_get_size(event->bytes) : 0;
        g_assert_true((event->bytes != NULL) == (event->what <= STEAD_STREAM_ERR));
        g_assert_true((event->error != NULL) == (event->what == STEAD_STREAM_FAILED));
        g_assert_cmpuint(part, <=, STEAD_STREAM_WINDOW);
        n += part;
        stead_stream_event_free(event);
    }
    g_assert_cmpuint(n, <=, STEAD_STREAM_WINDOW);
}

static void write_much(SteadStream *stream)
{
    static const char bytes[2 * STEAD_STREAM_WINDOW];
    gsize before = wire.input;
    stead_stream_write(stream, bytes, sizeof bytes);
    g_assert_cmpuint(wire.input - before, <=, STEAD_STREAM_WINDOW);
}

static void act(SteadAgent *agent, SteadStream *streams[STREAMS], guint what)
{
    SteadStream **stream = &streams[what % STREAMS];
    switch (what / STREAMS % 8) {
    case 1:
        take_all(*stream);
        return;
    case 2:
        write_much(*stream);
        return;
    case 3:
        g_clear_pointer(stream, stead_stream_free);
        open_streams(agent, streams);
        return;
    case 4:
        stead_stream_end_input(*stream);
        return;
    case 5:
        stead_agent_port_changed(agent, TRUE);
        greet();
        for (int i = 0; i < STREAMS; i++)
            g_clear_pointer(&streams[i], stead_stream_free);
        open_streams(agent, streams);
        return;
    default:
        return;
    }
}

static void play(SteadAgent *agent, const uint8_t *data, size_t size)
{
    SteadStream *streams[STREAMS] = {NULL};
    open_streams(agent, streams);
    while (size >= 4) {
        guint type = data[0], channel = data[1], what = data[3];
        gsize length = MIN(what & WHAT_LONG ? size - 4 : data[2], size - 4);
        say(type, channel, data + 4, length, what & WHAT_CUT ? length / 2 : 0);
        data += 4 + length;
        size -= 4 + length;
        /* Streams that could not be opened are tried anew. */
        if (streams[0] && streams[1] && streams[2])
            act(agent, streams, what & 0x3f);
        else
            open_streams(agent, streams);
    }
    for (int i = 0; i < STREAMS; i++)
        stead_stream_free(streams[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&wire, 0, offsetof(__typeof__(wire), nonce));
    if (size > GUEST_PAYLOAD_MAX)
        return 0;
    SteadAgent *agent = stead_agent_open(NULL, "", on_ready, NULL, NULL, NULL);
    greet();
    play(agent, data, size);
    wire.funcs->closed(wire.data);
    wire.funcs->release(wire.data);
    stead_agent_unref(agent);
    return 0;
}
