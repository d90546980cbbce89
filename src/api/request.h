/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on its way through a handler, and the ways in which a handler answers.
 *
 * A handler fills in a reply and returns TRUE, or returns FALSE with an error, which becomes the
 * API's error object with the status of its class. What it reads from the request is hostile until
 * these functions have checked it.
 */
#pragma once

#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

#include "engine/engine.h"

/* The largest body; a spec is the largest thing that is sent, and JSON may write it longer. */
#define STEAD_API_MAX_BODY (4 * STEAD_MAX_SPEC_BYTES)
/* How deep its brackets go, and how many values it has. */
#define STEAD_API_MAX_DEPTH 64
#define STEAD_API_MAX_VALUES 250000
#define STEAD_API_MAX_PARAMS 2
/* The words of a command, and its variables. */
#define STEAD_API_MAX_WORDS 256

typedef struct {
    SteadEngine *engine;
    SoupServer *server;
    SoupServerMessage *message;
    SoupWebsocketConnection *connection; /* NULL: a plain request */
    GHashTable *query;                   /* may be NULL */
    JsonNode *body;                      /* an object; NULL when none was sent */
    char *params[STEAD_API_MAX_PARAMS];  /* what the path's {...} stand for, decoded */
} SteadRequest;

typedef struct {
    guint status;   /* 200 where the handler says nothing */
    JsonNode *json; /* owned; NULL for an empty body */
    GString *text;  /* owned; JSON that is text already, instead */
    gboolean taken; /* the handler answers by itself, later or in a stream */
} SteadReply;

typedef gboolean (*SteadHandler)(SteadRequest *request, SteadReply *reply, GError **error);

/* 202 with the job's object; FALSE when `job` is NULL, for returning at once. */
gboolean stead_reply_job(SteadReply *reply, SteadJob *job);
/* Answers with the job's result, or error, when it has ended; ends the job if the client goes. */
gboolean stead_reply_result(SteadRequest *request, SteadReply *reply, SteadJob *job);
/* 204. */
gboolean stead_reply_nothing(SteadReply *reply);
gboolean stead_reply_json(SteadReply *reply, JsonNode *json);

/* An array of what `show` makes of each record; the list is taken over. */
typedef JsonNode *(*SteadShowFunc)(SteadEngine *engine, gconstpointer record);
gboolean stead_reply_list(SteadRequest *request, SteadReply *reply, GPtrArray *list,
                          SteadShowFunc show);

/* Writes an error as the API's object into a message. */
void stead_reply_error(SoupServerMessage *message, const GError *error);

/* A body as an object; TRUE with *node NULL when it is empty. */
gboolean stead_body_parse(const char *text, gsize length, JsonNode **node, GError **error);

/* A member of the body. Those that are required fail with INVALID when absent; all do when the type
 * is another. An absent optional one leaves *value as it is. Strings are owned by the body. */
gboolean stead_body_string(const SteadRequest *request, const char *name, gboolean required,
                           const char **value, GError **error);
gboolean stead_body_bool(const SteadRequest *request, const char *name, gboolean *value,
                         GError **error);
gboolean stead_body_uint(const SteadRequest *request, const char *name, guint64 max, guint64 *value,
                         GError **error);
/* A size in bytes, as a number or as people write it ("20G"). */
gboolean stead_body_size(const SteadRequest *request, const char *name, guint64 *value,
                         GError **error);
/* An array of at most `max` strings, owned by the caller; one that is required has at least one. */
gboolean stead_body_strings(const SteadRequest *request, const char *name, gboolean required,
                            guint max, GStrv *value, GError **error);
/* The member itself, borrowed; INVALID when absent. */
JsonNode *stead_body_member(const SteadRequest *request, const char *name, GError **error);
/* INVALID when the body has a member that is none of the names (ended by NULL). */
gboolean stead_body_only(const SteadRequest *request, GError **error, ...) G_GNUC_NULL_TERMINATED;

/* Query parameters: "1", "true" and "" count as TRUE. NULL when absent. */
gboolean stead_query_flag(const SteadRequest *request, const char *name);
const char *stead_query_string(const SteadRequest *request, const char *name);
