/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console over a WebSocket (RFC 6455).
 *
 * Binary frames are the console's bytes, both ways. Text frames are JSON objects:
 *   client   {"resize": [rows, columns]}
 *   server   {"writer": true|false}         whether this client may write; first, and upon change
 *            {"written": n}                 bytes of this client that the guest took, in total
 *            {"error": {code, message, hint}}
 * When the console ends (the instance stopped), what is left is sent and the socket closed with
 * 1000. A client that sends more than the guest takes loses what exceeds STEAD_INPUT_MAX, and is
 * told; one that counts {"written"} never does.
 */
#pragma once

#include <libsoup/soup.h>

#include "console/console.h"

/* The largest frame that a client may send, and the largest text frame. */
#define STEAD_CONSOLE_FRAME_MAX 65536
#define STEAD_CONSOLE_CONTROL_MAX 4096
/* Answers that a client may leave unread; one that exceeds them is cut off (1008). */
#define STEAD_CONSOLE_UNREAD_MAX 64
/* Open ones, of all consoles together; one more is refused (EXHAUSTED). */
#define STEAD_CONSOLE_SOCKETS_MAX 256
/* Rows and columns of a terminal. */
#define STEAD_CONSOLE_SIZE_MAX 1000

typedef void (*SteadConsoleResizeFunc)(guint rows, guint columns, gpointer data);

typedef struct {
    gboolean write; /* take the writer's place; where that fails the client is told, and reads */
    gboolean force; /* ... even where somebody else has it */
    SteadConsoleFrom from;
    SteadConsoleResizeFunc resize; /* NULL: none. Only the writer's sizes, at most 5 a second */
    gpointer resize_data;
    GDestroyNotify resize_free; /* of resize_data; NULL: none */
} SteadConsoleSocketOptions;

/* "start", "boot", "now", "tail:N"; NULL is "now". INVALID for anything else. */
gboolean stead_console_from_parse(const char *text, SteadConsoleFrom *from, GError **error);

/* Serves the console on a connection that was made just now, until either ends. Takes references of
 * both, and resize_data over, which is freed upon failure, too. FALSE when there are too many; the
 * connection is then the caller's to close. */
gboolean stead_console_websocket(SoupWebsocketConnection *connection, SteadConsole *console,
                                 const SteadConsoleSocketOptions *options, GError **error);
