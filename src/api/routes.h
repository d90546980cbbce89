/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of routes: what the API is. Dispatch, the OpenAPI description and the tests all read
 * it.
 */
#pragma once

#include "api/request.h"

/* How a route answers; for the description. */
typedef enum {
    STEAD_ANSWER_OBJECT,  /* 200 and the object named by `answer` */
    STEAD_ANSWER_LIST,    /* 200 and an array of them */
    STEAD_ANSWER_JOB,     /* 202 and a job */
    STEAD_ANSWER_NOTHING, /* 204 */
    STEAD_ANSWER_TEXT,    /* 200 and a stream of text */
    STEAD_ANSWER_EVENTS,  /* 200 and an array of events, or a stream of them */
    STEAD_ANSWER_SOCKET,  /* 101: a WebSocket */
    STEAD_ANSWER_STREAM,  /* 101: a WebSocket of streams; `body` is its first frame */
} SteadAnswer;

typedef struct {
    const char *method;
    const char *path; /* "/v1/instances/{name}" */
    SteadHandler handle;
    const char *summary;
    const char *query; /* names of query parameters, separated by spaces; NULL: none */
    const char *body;  /* members of the body, "name! start" (! marks required); NULL: none */
    SteadAnswer answer_type;
    const char *answer; /* name of the answer's schema; NULL: a plain object */
} SteadRoute;

extern const SteadRoute stead_routes[];
extern const gsize stead_n_routes;

/*
 * The route of a method and an (undecoded) path; the decoded parameters go to `params`, owned by
 * the caller. NULL with NOT_FOUND, or INVALID when only the method is wrong.
 */
const SteadRoute *stead_route_find(const char *method, const char *path,
                                   char *params[STEAD_API_MAX_PARAMS], GError **error);

/* The methods that a path takes, as the header Allow has them ("GET, DELETE"), owned by the caller;
 * NULL when the API has no such path. */
char *stead_route_allowed(const char *path);
