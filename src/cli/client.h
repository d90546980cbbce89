/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CLI's side of the API: HTTP over the daemon's Unix socket. Calls block; one thread.
 *
 * Errors: what the daemon answers comes back as STEAD_ERROR with its code, message and hint. A
 * socket that nobody answers is UNAVAILABLE, one that the caller may not open is DENIED, each with
 * a hint what to do; a reply that is no HTTP or no JSON is INTERNAL.
 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

/* The largest reply that is read into memory. */
#define STEAD_CLIENT_MAX_REPLY (256 * 1024 * 1024)
/* How long a silent daemon is waited for, in seconds. */
#define STEAD_CLIENT_TIMEOUT 60

typedef struct _SteadClient SteadClient;

/* For the socket of STEAD_ROOT as the environment has it. Does not connect. */
SteadClient *stead_client_new(GError **error);
SteadClient *stead_client_new_for_socket(const char *socket);
void stead_client_free(SteadClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadClient, stead_client_free)

/* The path of the daemon's socket; owned by the client. */
const char *stead_client_socket(const SteadClient *client);

/* A new session whose every connection goes to the socket (any http:// address; "http://stead" is
 * what the others use). `timeout`: seconds of silence that end a request; 0: never. Owned by the
 * caller. */
SoupSession *stead_client_session(const SteadClient *client, guint timeout);

/* Seconds of silence that end the requests that follow; STEAD_CLIENT_TIMEOUT at first. */
void stead_client_set_timeout(SteadClient *client, guint seconds);

/* "/v1/a/b%20c" of ("a", "b c", NULL): each part is percent-encoded. Owned by the caller. */
char *stead_client_path(const char *first, ...) G_GNUC_NULL_TERMINATED;

/*
 * One request, and its reply as JSON (a null node where the reply has no body). `body` may be NULL;
 * it stays the caller's. Owned by the caller.
 */
JsonNode *stead_client_call(SteadClient *client, const char *method, const char *path,
                            JsonNode *body, GError **error);

/* A GET whose reply is read as it comes (logs), by blocking reads. Never times out. Owned by the
 * caller. */
GInputStream *stead_client_stream(SteadClient *client, const char *path, GError **error);

/* Likewise for asynchronous reads on the default main context, which runs until the reply begins.
 * `timeout`: seconds of silence after which a read fails; 0: never. */
GInputStream *stead_client_stream_async(SteadClient *client, const char *path, guint timeout,
                                        GError **error);

/* The GError that an API error object stands for; `status` where it is none. Owned by the caller.
 */
GError *stead_client_error_from_reply(guint status, const char *text, gsize length);

/* `error` of a WebSocket or stream that could not connect, as the errors above; takes it over. */
GError *stead_client_connect_error(const SteadClient *client, GError *error);
