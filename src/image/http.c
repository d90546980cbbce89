/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client. Redirects are followed here rather than by libsoup, so that one that leaves
 * https is refused. Bodies are never decoded: what is hashed is what was published.
 */
#include "image/http.h"

#include <malloc.h>
#include <string.h>

#include "base/error.h"
#include "image/proxy.h"

struct SteadHttp {
    GMainContext *context;
    SoupSession *session;
    guint stall_seconds;
    GTlsCertificateFlags flags; /* why the last certificate was refused */
};

static const char *ca_file(void)
{
    const char *file = g_getenv("STEAD_CA_FILE");
    if (file == NULL || *file == '\0')
        file = g_getenv("SSL_CERT_FILE");
    return file && *file ? file : NULL;
}

static gboolean set_authorities(SteadHttp *http, GError **error)
{
    const char *file = ca_file();
    g_autoptr(GError) local = NULL;
    if (file == NULL)
        return TRUE;
    g_autoptr(GTlsDatabase) database = g_tls_file_database_new(file, &local);
    if (database == NULL) {
        stead_set_error(error,
                        g_file_test(file, G_FILE_TEST_EXISTS) ? STEAD_ERROR_INVALID
                                                              : STEAD_ERROR_NOT_FOUND,
                        "STEAD_CA_FILE (or SSL_CERT_FILE) has to name a PEM file.",
                        "the CA file %s cannot be read: %s", file, local->message);
        return FALSE;
    }
    soup_session_set_tls_database(http->session, database);
    return TRUE;
}

SteadHttp *stead_http_new(guint stall_seconds, GError **error)
{
    g_auto(GStrv) environment = g_get_environ();
    g_autoptr(GProxyResolver) resolver =
        stead_proxy_resolver_new((const char *const *)environment, error);
    if (resolver == NULL)
        return NULL;
    g_autoptr(SteadHttp) http = g_new0(SteadHttp, 1);
    http->context = g_main_context_new();
    g_main_context_push_thread_default(http->context);
    http->stall_seconds = stall_seconds;
    http->session = soup_session_new_with_options("timeout", stall_seconds, "user-agent",
                                                  "stead/" STEAD_VERSION, NULL);
    soup_session_remove_feature_by_type(http->session, SOUP_TYPE_CONTENT_DECODER);
    soup_session_set_proxy_resolver(http->session, resolver);
    return set_authorities(http, error) ? g_steal_pointer(&http) : NULL;
}

void stead_http_free(SteadHttp *http)
{
    if (http == NULL)
        return;
    soup_session_abort(http->session);
    g_object_unref(http->session);
    /* What the session left to do on its context (closing connections) is done now. */
    while (g_main_context_iteration(http->context, FALSE))
        continue;
    g_main_context_pop_thread_default(http->context);
    g_main_context_unref(http->context);
    g_free(http);
    /* The certificates of the system, parsed, are 11 MiB: a daemon that pulled once keeps nothing
     * of them. */
    malloc_trim(0);
}

typedef struct {
    GTlsCertificateFlags flag;
    const char *text;
} FlagText;

static const FlagText flag_texts[] = {
    {G_TLS_CERTIFICATE_UNKNOWN_CA, "it is signed by a CA that is not known here"},
    {G_TLS_CERTIFICATE_BAD_IDENTITY, "it is for another host"},
    {G_TLS_CERTIFICATE_NOT_ACTIVATED, "it is not valid yet (is the clock right?)"},
    {G_TLS_CERTIFICATE_EXPIRED, "it has expired (is the clock right?)"},
    {G_TLS_CERTIFICATE_REVOKED, "it was revoked"},
    {G_TLS_CERTIFICATE_INSECURE, "its algorithm is too weak"},
};

/* Why the certificate was refused, in words. Owned by the caller. */
static char *describe_flags(GTlsCertificateFlags flags)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(flag_texts); i++)
        if (flags & flag_texts[i].flag)
            g_string_append_printf(text, "%s%s", text->len ? ", and " : "", flag_texts[i].text);
    return g_strdup(text->len ? text->str : "it cannot be verified");
}

/* The address without a password, for messages. Owned by the caller. */
static char *show(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD, NULL);
    return uri ? g_uri_to_string_partial(uri, G_URI_HIDE_PASSWORD) : g_strdup(url);
}

static GError *explain_tls(const SteadHttp *http, const char *shown, const GError *cause)
{
    if (cause->code == G_TLS_ERROR_UNAVAILABLE)
        return stead_error_new(STEAD_ERROR_MISSING, "Install it: apt install glib-networking",
                               "%s: this host has no TLS support for GLib", shown);
    if (http->flags == 0 && cause->code != G_TLS_ERROR_BAD_CERTIFICATE)
        return stead_error_new(STEAD_ERROR_UNAVAILABLE, NULL, "%s: TLS failed: %s", shown,
                               cause->message);
    g_autofree char *why = describe_flags(http->flags);
    const char *hint = http->flags & G_TLS_CERTIFICATE_UNKNOWN_CA
                           ? "If the CA is your own, name its PEM file in STEAD_CA_FILE in the "
                             "daemon's environment."
                           : NULL;
    return stead_error_new(STEAD_ERROR_VERIFICATION, hint,
                           "%s: the server's certificate was refused: %s", shown, why);
}

static GError *explain_io(const SteadHttp *http, const char *shown, const GError *cause)
{
    switch (cause->code) {
    case G_IO_ERROR_TIMED_OUT:
        return stead_error_new(STEAD_ERROR_UNAVAILABLE,
                               "What has come is kept: try again, and it goes on from there.",
                               "%s: nothing came for %u s", shown, http->stall_seconds);
    case G_IO_ERROR_CANCELLED:
        return stead_error_new(STEAD_ERROR_CANCELLED, NULL, "%s: cancelled", shown);
    case G_IO_ERROR_NO_SPACE:
        return stead_error_new(STEAD_ERROR_EXHAUSTED,
                               "Make room on the disk that holds stead's state.",
                               "%s: no space is left to keep it", shown);
    default:
        return stead_error_new(STEAD_ERROR_UNAVAILABLE, NULL, "%s: %s", shown, cause->message);
    }
}

void stead_http_explain(const SteadHttp *http, const char *url, GError **error)
{
    if (error == NULL || *error == NULL || (*error)->domain == STEAD_ERROR)
        return;
    g_autoptr(GError) cause = g_steal_pointer(error);
    g_autofree char *shown = show(url);
    if (cause->domain == G_TLS_ERROR)
        *error = explain_tls(http, shown, cause);
    else if (cause->domain == G_RESOLVER_ERROR)
        *error = stead_error_new(STEAD_ERROR_UNAVAILABLE,
                                 "Is the network up, and does DNS work? Behind a proxy, set "
                                 "https_proxy in the daemon's environment.",
                                 "%s: the host's address was not found: %s", shown, cause->message);
    else if (cause->domain == G_IO_ERROR)
        *error = explain_io(http, shown, cause);
    else
        *error = stead_error_new(STEAD_ERROR_UNAVAILABLE, NULL, "%s: %s", shown, cause->message);
}

static gboolean on_accept_certificate(SoupMessage *message, GTlsCertificate *certificate,
                                      GTlsCertificateFlags flags, gpointer data)
{
    ((SteadHttp *)data)->flags = flags;
    return FALSE;
}

typedef struct {
    guint status;
    SteadErrorCode code;
    const char *hint;
} StatusInfo;

static const StatusInfo statuses[] = {
    {401, STEAD_ERROR_DENIED, NULL},
    {403, STEAD_ERROR_DENIED, NULL},
    {404, STEAD_ERROR_NOT_FOUND, "The publisher may have moved it; see the catalogue file."},
    {407, STEAD_ERROR_DENIED, "Put the proxy's user and password into the proxy's address."},
    {410, STEAD_ERROR_NOT_FOUND, "The publisher may have moved it; see the catalogue file."},
};

static void fail_status(SoupMessage *message, const char *url, GError **error)
{
    guint status = soup_message_get_status(message);
    const char *reason = soup_message_get_reason_phrase(message);
    SteadErrorCode code = STEAD_ERROR_UNAVAILABLE;
    const char *hint = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++)
        if (statuses[i].status == status) {
            code = statuses[i].code;
            hint = statuses[i].hint;
        }
    g_autofree char *shown = show(url);
    g_autofree char *valid = g_utf8_make_valid(reason ? reason : "", -1);
    stead_set_error(error, code, hint, "%s: the answer is %u %.80s", shown, status, valid);
}

/* The address that a redirect leads to; NULL when it may not be followed. Owned by the caller. */
static char *follow(SoupMessage *message, const char *url, GError **error)
{
    const char *location =
        soup_message_headers_get_one(soup_message_get_response_headers(message), "Location");
    g_autofree char *next =
        location ? g_uri_resolve_relative(url, location, G_URI_FLAGS_HAS_PASSWORD, NULL) : NULL;
    g_autofree char *shown = show(url);
    const char *scheme = next ? g_uri_peek_scheme(next) : NULL;
    if (next == NULL || (g_strcmp0(scheme, "https") != 0 && g_strcmp0(scheme, "http") != 0)) {
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL,
                        "%s redirects to something that is no web address", shown);
        return NULL;
    }
    if (strcmp(scheme, "http") == 0 && strcmp(g_uri_peek_scheme(url), "https") == 0) {
        stead_set_error(error, STEAD_ERROR_VERIFICATION,
                        "Use a mirror that stays with https (a catalogue file names it).",
                        "%s redirects from https to http, which is not followed", shown);
        return NULL;
    }
    return g_steal_pointer(&next);
}

static SoupMessage *new_message(SteadHttp *http, const SteadHttpRequest *request, const char *url,
                                GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(url, SOUP_HTTP_URI_FLAGS, NULL);
    const char *scheme = uri ? g_uri_get_scheme(uri) : "";
    gboolean https = strcmp(scheme, "https") == 0;
    if (!https && (request->https_only || strcmp(scheme, "http") != 0)) {
        g_autofree char *shown = show(url);
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.200s' is not an %s address", shown,
                        request->https_only ? "https" : "http or https");
        return NULL;
    }
    SoupMessage *message = soup_message_new_from_uri(SOUP_METHOD_GET, uri);
    SoupMessageHeaders *headers = soup_message_get_request_headers(message);
    soup_message_set_flags(message, SOUP_MESSAGE_NO_REDIRECT);
    soup_message_headers_replace(headers, "Accept-Encoding", "identity");
    if (request->from > 0) {
        soup_message_headers_set_range(headers, (goffset)request->from, -1);
        soup_message_headers_replace(headers, "If-Range", request->if_range);
    }
    g_signal_connect(message, "accept-certificate", G_CALLBACK(on_accept_certificate), http);
    return message;
}

static gboolean is_redirect(guint status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

GInputStream *stead_http_get(SteadHttp *http, const SteadHttpRequest *request,
                             SoupMessage **message, GCancellable *cancellable, GError **error)
{
    g_autofree char *url = g_strdup(request->url);
    for (int hops = 0; hops <= STEAD_HTTP_MAX_REDIRECTS; hops++) {
        http->flags = 0;
        g_autoptr(GError) local = NULL;
        g_autoptr(SoupMessage) sent = new_message(http, request, url, error);
        if (sent == NULL)
            return NULL;
        g_autoptr(GInputStream) body = soup_session_send(http->session, sent, cancellable, &local);
        if (body == NULL) {
            stead_http_explain(http, url, &local);
            g_propagate_error(error, g_steal_pointer(&local));
            return NULL;
        }
        guint status = soup_message_get_status(sent);
        if (status == 200 || status == 206 || status == 416) {
            *message = g_steal_pointer(&sent);
            return g_steal_pointer(&body);
        }
        if (!is_redirect(status)) {
            fail_status(sent, url, error);
            return NULL;
        }
        char *next = follow(sent, url, error);
        if (next == NULL)
            return NULL;
        g_free(url);
        url = next;
    }
    g_autofree char *shown = show(request->url);
    stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "%s redirects more than %d times", shown,
                    STEAD_HTTP_MAX_REDIRECTS);
    return NULL;
}
