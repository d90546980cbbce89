/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end for tests: a real agent as a child, on a listening socket of ours, so that a host
 * can vanish and another come. Whatever does not happen within HOST_PATIENCE_MS fails the test.
 */
#pragma once

#include <glib.h>

#include "guest/protocol.h"

#define HOST_PATIENCE_MS 30000

typedef struct {
    GPid agent;
    int listener, connection;
    char *folder; /* of the test's own, empty */
    GuestDecoder decoder;
    guint8 *bytes; /* that came, and are not decoded yet */
    gsize begin, end;
} Host;

/* A frame; the payload is a copy, with room for reading texts in place. */
typedef struct {
    GuestType type;
    guint16 channel;
    guint8 *payload;
    gsize length;
} HostFrame;

void host_frame_free(HostFrame *frame);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostFrame, host_frame_free)

/* An agent that a host is connected to and has greeted. `setup` runs in the child before. */
Host *host_start(void);
Host *host_start_in(GSpawnChildSetupFunc setup, gpointer data);
/* Ends the agent, which must end well; with it goes the folder. */
void host_stop(Host *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_stop)

void host_connect(Host *host);
void host_disconnect(Host *host);
/* A byte 0, HELLO, and everything read up to the answer to it. */
void host_greet(Host *host);

void host_send_bytes(Host *host, const void *bytes, gsize length);
void host_send(Host *host, GuestType type, guint channel, const void *payload, gsize length);
void host_send_text(Host *host, GuestType type, guint channel, const char *text);
void host_send_credit(Host *host, guint channel, guint bytes);

#define HOST_SEND(host, type, channel, fields_of, message)                                         \
    do {                                                                                           \
        static guint8 to_send[GUEST_PAYLOAD_MAX];                                                  \
        GuestFields write_to = guest_fields_writer(to_send, sizeof to_send);                       \
        fields_of(&write_to, message);                                                             \
        g_assert_cmpint(guest_fields_end(&write_to), >=, 0);                                       \
        host_send(host, type, channel, to_send, (gsize)guest_fields_end(&write_to));               \
    } while (0)

#define HOST_READ(frame, fields_of, message)                                                       \
    do {                                                                                           \
        GuestFields read_from = guest_fields_reader((frame)->payload, (frame)->length);            \
        fields_of(&read_from, message);                                                            \
        g_assert_cmpint(guest_fields_end(&read_from), ==, 0);                                      \
    } while (0)

/* The next frame, waited for. */
HostFrame *host_next(Host *host);
/* The next one, which has to be of that type and channel. */
HostFrame *host_expect(Host *host, GuestType type, guint channel);
/* The same, where only its type matters. */
void host_pass(Host *host, GuestType type, guint channel);
/* FAILED on that channel; its errno. */
int host_expect_failure(Host *host, guint channel);

/* EXEC of words up to a NULL. */
void host_exec(Host *host, guint channel, guint flags, ...) G_GNUC_NULL_TERMINATED;

typedef struct {
    GString *out, *err;
    int code, signal; /* of EXIT */
    int error;        /* of FAILED, else 0 */
    gboolean is_done; /* DONE came */
    guint64 size;     /* of FILE */
    guint mode;
} HostEnd;

void host_end_free(HostEnd *end);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostEnd, host_end_free)

/* All that comes on the channel up to its last word; credit is given for what is read. Frames of
 * other channels fail the test. */
HostEnd *host_finish(Host *host, guint channel);

/* Sends bytes as STDIN or DATA, within the credit that the agent gives. Only the agent's STARTED,
 * CREDIT and, where `echo` is not NULL, STDOUT may come meanwhile; STDOUT goes there. */
void host_stream(Host *host, GuestType type, guint channel, const void *bytes, gsize length,
                 GString *echo);
