/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console's Unix socket for other tools: `socat - UNIX-CONNECT:/run/stead/instances/ID/console`.
 *
 * A client is shown the last STEAD_LISTEN_REPLAY bytes, then what comes. The first byte that it
 * sends makes it the console's writer; while somebody else is, its input is dropped, and it is told
 * so once.
 */
#pragma once

#include "console/console.h"

#define STEAD_LISTEN_CLIENTS_MAX 16
#define STEAD_LISTEN_REPLAY 4096

typedef struct _SteadListener SteadListener;

/* Makes the socket (mode 0660; one left behind is replaced). The console owns the listener, so that
 * no reference is taken. CONFLICT where `path` is something else than a socket. */
SteadListener *stead_listener_new(const char *path, SteadConsole *console, GError **error);
/* Ends all clients and removes the socket. */
void stead_listener_free(SteadListener *listener);
