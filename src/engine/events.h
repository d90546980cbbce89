/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event stream: what happened, numbered and in order. Main loop only.
 *
 * Lasting events are also written to the store, a little later and in bundles (an event describes
 * a change whose record is already safe, so none is worth an fsync of its own). Passing ones,
 * such as progress, are told to subscribers and forgotten.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "model/texts.h"
#include "store/store.h"

typedef struct _SteadEvents SteadEvents;

typedef struct {
    guint64 seq;
    const char *type; /* "instance.state" */
    const char *subject;
    const char *json; /* the whole event as the API shows it */
} SteadEvent;

typedef void (*SteadEventFunc)(const SteadEvent *event, gpointer data);

/* `store` is borrowed for its life. */
SteadEvents *stead_events_new(SteadStore *store);
/* Writes what is not written yet. */
void stead_events_free(SteadEvents *events);

/* Tells everybody. `data` may be NULL and is taken over. */
void stead_events_emit(SteadEvents *events, const char *type, const char *subject, JsonNode *data);
void stead_events_emit_passing(SteadEvents *events, const char *type, const char *subject,
                               JsonNode *data);

/* Calls func with the stored events above `since`, oldest first. */
gboolean stead_events_replay(SteadEvents *events, guint64 since, SteadEventFunc func, gpointer data,
                             GError **error);

/* Calls func for each later event until unsubscribed, which is allowed from within func. */
guint stead_events_subscribe(SteadEvents *events, SteadEventFunc func, gpointer data);
void stead_events_unsubscribe(SteadEvents *events, guint id);

/* The number of the latest event; 0 when there was none. */
guint64 stead_events_last(const SteadEvents *events);

/* The data of an event: name and text pairs. */
#define stead_event_data stead_json_texts

/* The API's error object: {"code", "message", "hint"}. Owned by the caller. */
JsonNode *stead_error_to_json(const GError *error);
