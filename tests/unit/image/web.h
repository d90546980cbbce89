/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web server for the tests, in this process: https and http on loopback with a certificate made
 * on the spot, a proxy that understands CONNECT, and addresses that misbehave in known ways.
 *
 *     /files/NAME      the content, with ranges and an ETag
 *     /whole/NAME      the same without ranges
 *     /plain/NAME      the same without a validator
 *     /dated/NAME      validated by date instead of an ETag
 *     /chunked/NAME    without a length
 *     /short/NAME      the connection breaks off after web_set_limit() bytes
 *     /wrong/NAME      answers with another range than it was asked for
 *     /huge/NAME       says that it is enormous
 *     /stall/NAME      sends web_set_limit() bytes, then nothing more
 *     /status/CODE     an answer with that code
 *     /loop            redirects to itself
 *     /to/PATH         redirects to /PATH
 *     /down/PATH       redirects to /PATH by http
 *     /file            redirects to a file: address
 */
#pragma once

#include <gio/gio.h>

typedef struct Web Web;

/* NULL, after g_test_skip(), when the certificate cannot be made here. `folder` is for its files.
 */
Web *web_new(const char *folder);
void web_free(Web *web);

/* Puts content under a name; its ETag changes when the content does. */
void web_put(Web *web, const char *name, const char *bytes, gsize length);
void web_put_file(Web *web, const char *name, const char *path);
void web_set_limit(Web *web, gsize bytes);
/* Triggered, once, when the server next stalls. */
void web_cancel_on_stall(Web *web, GCancellable *cancellable);

/* "https://localhost:PORT/PATH" and the like; owned by the caller. */
char *web_https(Web *web, const char *path);
char *web_http(Web *web, const char *path);
char *web_https_at(Web *web, const char *host, const char *path);
char *web_proxy(Web *web);

const char *web_ca_file(Web *web);

/* Requests seen by the server since the last call, one line each: "PATH" or "PATH FROM-". Owned by
 * the caller. */
char *web_take_log(Web *web);
/* "HOST:PORT" of each CONNECT, one a line, likewise. */
char *web_take_proxy_log(Web *web);
