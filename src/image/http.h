/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the layer: one HTTP client, for one thread and one download. */
#pragma once

#include <libsoup/soup.h>

/* Redirects followed before giving up; never from https to anything else. */
#define STEAD_HTTP_MAX_REDIRECTS 8

typedef struct SteadHttp SteadHttp;

/*
 * A client with the environment's proxies and certificate authorities (STEAD_CA_FILE, else
 * SSL_CERT_FILE, else the system's). It has a main context of its own, which is the thread's
 * default one until it is freed: make and free it in one thread, innermost last.
 *
 * Errors: INVALID or UNSUPPORTED for a wrong proxy, NOT_FOUND or INVALID for a wrong CA file.
 */
SteadHttp *stead_http_new(guint stall_seconds, GError **error);
void stead_http_free(SteadHttp *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadHttp, stead_http_free)

typedef struct {
    const char *url;
    gboolean https_only;
    guint64 from;         /* ask for the bytes from here on; 0: all */
    const char *if_range; /* as long as the content is still this; NULL with from = 0 */
} SteadHttpRequest;

/*
 * Sends a GET and follows redirects. The answer is one of 200, 206 and 416; every other is an
 * error. *message (owned by the caller) has its headers; the stream is its body.
 *
 * Errors: UNAVAILABLE (no connection, no such host, the server's trouble), VERIFICATION
 * (certificates, a redirect away from https), NOT_FOUND (404, 410), DENIED (401, 403, 407),
 * MISSING (no TLS on this host), INVALID (no http address), CANCELLED.
 */
GInputStream *stead_http_get(SteadHttp *http, const SteadHttpRequest *request,
                             SoupMessage **message, GCancellable *cancellable, GError **error);

/* Turns an error of the network into one of stead's, in place; `url` is what was being fetched. */
void stead_http_explain(const SteadHttp *http, const char *url, GError **error);
