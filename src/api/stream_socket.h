/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream to a guest over a WebSocket (RFC 6455): a command, or a file.
 *
 * The client's first frame is text, an object that says what is wanted (the route's). Afterwards
 * binary frames carry bytes, the first of which names their stream: 0 to the guest, 1 and 2 from
 * it (standard output, or the file; standard error). Text frames are JSON objects:
 *   client   {"eof": true}                  nothing more comes on stream 0
 *            {"resize": [rows, columns]}    of a command's terminal
 *            {"signal": n}                  to the command's process group
 *   server   {"started": true}              the guest has begun; of a file that it sends, also
 *                                           "file": {mode, size, mtime}
 *            {"exit-code": n} or {"error": {code, message, hint}}: the last one; a file that is
 *                                           whole has 0
 *   both     {"taken": n}                   bytes of the other side that were got rid of, in total
 * Neither side sends more than STEAD_STREAM_SOCKET_WINDOW bytes, the first of each frame aside,
 * beyond what the other has taken; the server says how many these are ("window", with "started"),
 * and cuts off (1008) a client that sends more. A client that leaves ends what it began.
 */
#pragma once

#include <libsoup/soup.h>

#include "engine/engine.h"

#define STEAD_STREAM_SOCKET_WINDOW (128 * 1024)
/* The largest frame that a client may send: a command of the most that an agent takes, as JSON. */
#define STEAD_STREAM_FRAME_MAX (512 * 1024)
/* Open ones; one more is refused (EXHAUSTED). */
#define STEAD_STREAM_SOCKETS_MAX 256

/* Makes a request of the first frame, an object; NULL with the reason. Owned by the caller. */
typedef SteadStreamRequest *(*SteadStreamParse)(JsonNode *frame, GError **error);

/* Serves a stream to an instance, by name or id, on a connection that was made just now, until
 * either ends. That there is no such instance is told, too, when the first frame has come. */
void stead_stream_websocket(SteadEngine *engine, SoupWebsocketConnection *connection,
                            const char *name, SteadStreamParse parse);
