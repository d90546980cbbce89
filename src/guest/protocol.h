/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host and the agent inside a guest say to each other: the contract of both ends.
 *
 * They share one byte stream that can be cut off at any byte, on either side, and taken up again by
 * a peer that knows nothing of what went before (a virtio port named GUEST_PORT_NAME; in tests a
 * socket). So each frame is COBS-encoded and ended by a byte 0, which occurs nowhere else
 * (guest/frame.h): whoever waits for the next 0 has found the beginning of a frame.
 *
 *     frame   = u16 type, u16 channel, payload          at most GUEST_FRAME_MAX bytes decoded
 *     u8, u16, u32, u64, i32                            little endian
 *     text    = u32 length, bytes without 0, a byte 0   read in place as a C string
 *     bytes   = u32 length, bytes
 *     list    = u32 count, so many of what it lists
 *
 * One description of a payload's fields, guest/messages.h, serves for reading and for writing.
 *
 * Beginning. The host opens each connection with a byte 0 and HELLO. The agent forgets the former
 * connection: its processes get SIGHUP, its half-written files are removed, nothing that was meant
 * for it is sent. It answers with a byte 0 and HELLO_REPLY, which repeats the nonce; the host
 * throws away whatever comes before that. The agent ignores everything before HELLO.
 *
 * Channels. What lasts (EXEC, PUT, GET, SYNC) has a channel from 1 to GUEST_CHANNELS that the host
 * chooses among those not in use. It is in use from the request until the agent's last word on it:
 * EXIT, DONE or FAILED. Frames for a channel that is not in use are ignored, as they may have
 * crossed that word. Every other request is answered at once, in order, by one frame whose channel
 * is the request's: host's tags for them are above GUEST_CHANNELS, or 0.
 *
 * Credit. STDIN and DATA to the agent, and STDOUT, STDERR and DATA to the host, may be sent on a
 * channel only as far as there is credit for their bytes, counted by channel and direction. It
 * begins at GUEST_WINDOW; CREDIT gives back what the receiver has got rid of. So neither side
 * has to keep more than a window for a channel, and a slow reader holds up itself alone. STDOUT and
 * STDERR share one credit. A peer that sends more than it may has broken the protocol: the agent
 * ends the channel with FAILED{EPROTO}.
 *
 * Trust. Each end treats what it reads as untrusted in form: a frame that is no frame, of a type
 * that it does not know or with fields out of bounds is answered with FAILED{EBADMSG} by the agent
 * (EPROTONOSUPPORT for a type) and harms nothing. The host takes nothing that a guest says for true
 * but where only the guest itself suffers from it. A silent agent is the host's to time out.
 */
#pragma once

#include "guest/fields.h"
#include "guest/frame.h"
#include "guest/messages.h"

#define GUEST_PORT_NAME "stead.agent.0"
#define GUEST_PROTOCOL_VERSION 1

/* Each with its payload (the struct of guest/messages.h, where it has one) and its answer. */
typedef enum {
    /* --- host to agent, answered at once --- */
    GUEST_HELLO = 0x01,    /* GuestHello → HELLO_REPLY */
    GUEST_PING = 0x02,     /* any bytes, at most GUEST_PING_MAX → PONG with the same */
    GUEST_RENEW = 0x03,    /* GuestRenew → RENEWED */
    GUEST_CLOCK = 0x04,    /* GuestClock: sets the clock → OK */
    GUEST_MEMORY = 0x05,   /* → MEMORY_REPLY */
    GUEST_NETWORK = 0x06,  /* → NETWORK_REPLY: host name, interfaces, addresses */
    GUEST_SHUTDOWN = 0x07, /* GuestShutdown → OK, then the guest goes down */

    /* --- host to agent, on a channel --- */
    GUEST_EXEC = 0x10,      /* GuestExec → STARTED, then STDOUT, STDERR ..., EXIT; or FAILED */
    GUEST_STDIN = 0x11,     /* the bytes, 1 to GUEST_DATA_MAX */
    GUEST_STDIN_EOF = 0x12, /* nothing more comes; on a pty the end-of-file character is typed. To a
                               PUT of unknown size: the file is whole */
    GUEST_RESIZE = 0x13,    /* GuestResize: the pty's size */
    GUEST_SIGNAL = 0x14,    /* GuestSignal: to the process group of the session */
    GUEST_PUT = 0x15,       /* GuestPut → STARTED{0}, then the host's DATA; DONE or FAILED */
    GUEST_GET = 0x16,       /* GuestGet → FILE, the agent's DATA, DONE; or FAILED at any time */
    GUEST_SYNC = 0x17,      /* file systems are written out → DONE */
    GUEST_CLOSE = 0x18,     /* the host gives it up: SIGHUP, file removed → FAILED{ECANCELED} */

    /* --- both ways, on a channel --- */
    GUEST_DATA = 0x20,   /* a file's bytes, 1 to GUEST_DATA_MAX */
    GUEST_CREDIT = 0x21, /* GuestCredit: so many bytes more may be sent to this sender */

    /* --- agent to host --- */
    GUEST_HELLO_REPLY = 0x81,   /* GuestHelloReply */
    GUEST_PONG = 0x82,          /* PING's bytes */
    GUEST_RENEWED = 0x83,       /* GuestRenewed */
    GUEST_OK = 0x84,            /* nothing; it is done */
    GUEST_FAILED = 0x85,        /* GuestFailed; ends a channel */
    GUEST_MEMORY_REPLY = 0x86,  /* GuestMemory */
    GUEST_NETWORK_REPLY = 0x87, /* GuestNetwork */
    GUEST_STARTED = 0x90,       /* GuestStarted */
    GUEST_STDOUT = 0x91,        /* the bytes, 1 to GUEST_DATA_MAX; all of a pty's output */
    GUEST_STDERR = 0x92,        /* likewise */
    GUEST_EXIT = 0x93,          /* GuestExit; follows all that the process itself wrote */
    GUEST_FILE = 0x94,          /* GuestFile: what GET found */
    GUEST_DONE = 0x95,          /* nothing; PUT: it stands under its name. GET: that was all */
} GuestType;

/* Limits. A peer that goes beyond one has broken the protocol. */
#define GUEST_CHANNELS 64    /* channels at a time: 1 to this */
#define GUEST_DATA_MAX 16384 /* bytes of STDIN, STDOUT, STDERR, DATA in one frame */
#define GUEST_WINDOW 65536   /* the credit that a channel begins with, and its greatest */
#define GUEST_PING_MAX 4096

/* "EXEC", or "?" for what has no name; for logs and tests. */
const char *guest_type_name(unsigned type);
