/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of a stream to a guest, on the API's WebSocket (api/stream_socket.h). */
#pragma once

#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

typedef struct {
    const char *path;      /* of the API: "/v1/instances/a/exec" */
    JsonNode *request;     /* the first frame; borrowed */
    int input;             /* what is sent; -1: nothing */
    int output, errors;    /* where what comes goes */
    gboolean raw;          /* `input` is a terminal that the guest's program has for its own */
    gboolean pass_signals; /* SIGINT and SIGTERM are for the guest's program, the first time */
    guint64 timeout_ms;    /* 0: none */
    /* The guest has begun; `about` is what it says of a file. FALSE ends it. NULL: nobody asks. */
    gboolean (*started)(JsonNode *about, gpointer data, GError **error);
    /* So many bytes were sent or written, in total. NULL: nobody asks. */
    void (*moved)(guint64 bytes, gpointer data);
    gpointer data;
} SteadStreamClientOptions;

/*
 * Runs on the default main context until the command has ended, or the file is copied. Returns its
 * exit code (0 for a file), 128 and the signal when one ended us meanwhile, or -1 with an error:
 * what the daemon says; EXHAUSTED and others of our own descriptors; UNAVAILABLE when the
 * connection broke; TIMEOUT; or, of another domain than STEAD_ERROR, why there is no connection.
 * UNSUPPORTED is only said before anything was read from the input.
 */
int stead_stream_client(SoupSession *session, const SteadStreamClientOptions *options,
                        GError **error);
