/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server on the API's Unix socket: mode 0660, group `stead` where the host has one, or the
 * socket that systemd passed. Who may open the socket may do everything.
 */
#pragma once

#include "engine/engine.h"

typedef struct _SteadServer SteadServer;

/* Listens and serves on the main loop. `engine` is borrowed for the server's life. */
SteadServer *stead_server_start(SteadEngine *engine, const SteadPaths *paths, GError **error);
/* Stops listening, and removes the socket unless systemd owns it. */
void stead_server_stop(SteadServer *server);
