/* SPDX-License-Identifier: Apache-2.0 */
/* The console's routes: from a path to an instance's console. */
#pragma once

#include <libsoup/soup.h>

#include "engine/engine.h"

/* Serves a WebSocket that was opened at any path: the console that the path names, or an error as
 * a text frame, and the end. */
void stead_console_accept(SteadEngine *engine, SoupServerMessage *message,
                          SoupWebsocketConnection *connection);
