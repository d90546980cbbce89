/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's event stream as callbacks on the default main context. A connection that breaks is
 * made anew, from the event after the last one seen.
 */
#pragma once

#include "cli/client.h"

/* How long a lost daemon is tried again. */
#define STEAD_EVENTS_RECONNECT_MS 60000

typedef struct {
    void (*event)(JsonNode *event, gpointer data);
    /* The connection is there again; events that are not kept may have been missed. May be NULL. */
    void (*again)(gpointer data);
    /* The daemon did not come back, or the stream is unusable. `error` is the callee's. */
    void (*failed)(GError *error, gpointer data);
} SteadEventHandlers;

typedef struct _SteadEventStream SteadEventStream;

/*
 * Subscribes: when it returns, the daemon tells everything that happens from now on. `since` NULL:
 * from now; else the number of the last event that is known. `client` must outlive the stream,
 * `handlers` is static.
 */
SteadEventStream *stead_event_stream_open(SteadClient *client, const char *since,
                                          const SteadEventHandlers *handlers, gpointer data,
                                          GError **error);
/* Takes the connection for lost, since another one to the daemon was: `again` comes when the daemon
 * answers. */
void stead_event_stream_renew(SteadEventStream *stream);

/* No callback comes after it. */
void stead_event_stream_close(SteadEventStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadEventStream, stead_event_stream_close)
