/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets on their way to the handler of their route. */
#pragma once

#include "api/request.h"

/* Serves a WebSocket that was opened at any path: as the route says, or an error as a text frame,
 * and the end. */
void stead_sockets_accept(SteadEngine *engine, SoupServerMessage *message,
                          SoupWebsocketConnection *connection);

/* For a route's handler: the connection, or NULL with INVALID for a plain request. */
SoupWebsocketConnection *stead_socket_of(const SteadRequest *request, GError **error);

/* {"error": {code, message, hint}} as a text frame. */
void stead_socket_send_error(SoupWebsocketConnection *connection, const GError *error);
