/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tests' web server: a thread for each connection, one request each, every answer written by
 * hand, because a proper server could not misbehave as the tests need it.
 */
#include "web.h"

#include <stdlib.h>
#include <string.h>

#include "base/subprocess.h"
#include "fixture.h"

struct Web {
    GSocketService *https;
    GSocketService *http;
    GSocketService *proxy;
    guint16 https_port;
    guint16 http_port;
    guint16 proxy_port;
    GTlsCertificate *certificate;
    char *ca_file;
    GMainContext *context; /* of the thread that accepts */
    GMainLoop *loop;
    GThread *thread;
    GMutex lock; /* of what follows */
    GHashTable *contents;
    GString *log;
    GString *proxy_log;
    gsize limit;
    GCancellable *on_stall; /* NULL: none */
};

typedef struct {
    char *path; /* "/files/disk" */
    char *if_range;
    gint64 from; /* -1: no range asked for */
} Request;

static void request_clear(Request *request)
{
    g_free(request->path);
    g_free(request->if_range);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Request, request_clear)

/* Reads a request; FALSE when the connection ended before one came. */
static gboolean read_request(GInputStream *stream, char **first_line, Request *request)
{
    g_autoptr(GDataInputStream) in = g_data_input_stream_new(stream);
    g_filter_input_stream_set_close_base_stream(G_FILTER_INPUT_STREAM(in), FALSE);
    g_buffered_input_stream_set_buffer_size(G_BUFFERED_INPUT_STREAM(in), 1);
    g_data_input_stream_set_newline_type(in, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    *first_line = g_data_input_stream_read_line(in, NULL, NULL, NULL);
    request->from = -1;
    if (*first_line == NULL)
        return FALSE;
    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(in, NULL, NULL, NULL);
        if (line == NULL || *line == '\0')
            return line != NULL;
        if (g_ascii_strncasecmp(line, "Range: bytes=", 13) == 0)
            request->from = g_ascii_strtoll(line + 13, NULL, 10);
        if (g_ascii_strncasecmp(line, "If-Range: ", 10) == 0) {
            g_free(request->if_range);
            request->if_range = g_strdup(line + 10);
        }
    }
}

static void send_text(GOutputStream *out, const char *text)
{
    g_output_stream_write_all(out, text, strlen(text), NULL, NULL, NULL);
}

static void send_status(GOutputStream *out, int status, const char *location)
{
    g_autofree char *text = g_strdup_printf(
        "HTTP/1.1 %d Status\r\nContent-Length: 0\r\n%s%s%sConnection: "
        "close\r\n\r\n",
        status, location ? "Location: " : "", location ? location : "", location ? "\r\n" : "");
    send_text(out, text);
}

typedef struct {
    const char *prefix;
    gboolean ranges;
    const char *validator; /* "etag", "date"; NULL: none */
    gboolean chunked;
    gboolean limited; /* sends only so much of it */
    gboolean stalls;  /* ... and then holds the connection */
    gboolean wrong_range;
    gboolean huge;
} Behaviour;

static const Behaviour behaviours[] = {
    {.prefix = "/files/", .ranges = TRUE, .validator = "etag"},
    {.prefix = "/whole/", .validator = "etag"},
    {.prefix = "/plain/", .ranges = TRUE},
    {.prefix = "/dated/", .ranges = TRUE, .validator = "date", .limited = TRUE},
    {.prefix = "/chunked/", .chunked = TRUE},
    {.prefix = "/short/", .ranges = TRUE, .validator = "etag", .limited = TRUE},
    {.prefix = "/wrong/",
     .ranges = TRUE,
     .validator = "etag",
     .limited = TRUE,
     .wrong_range = TRUE},
    {.prefix = "/huge/", .huge = TRUE},
    {.prefix = "/stall/", .ranges = TRUE, .validator = "etag", .limited = TRUE, .stalls = TRUE},
};

static char *etag_of(GBytes *content)
{
    g_autofree char *digest = g_compute_checksum_for_bytes(G_CHECKSUM_MD5, content);
    return g_strdup_printf("\"%s\"", digest);
}

#define DATE "Wed, 01 Jan 2020 00:00:00 GMT"

static char *validator_of(const Behaviour *behaviour, GBytes *content)
{
    if (behaviour->validator == NULL)
        return NULL;
    return strcmp(behaviour->validator, "date") == 0 ? g_strdup(DATE) : etag_of(content);
}

static char *headers_of(const Behaviour *behaviour, GBytes *content, gint64 from, gsize length)
{
    GString *text = g_string_new(NULL);
    gsize whole = g_bytes_get_size(content);
    g_autofree char *validator = validator_of(behaviour, content);
    g_string_append_printf(text, "HTTP/1.1 %s\r\nConnection: close\r\n",
                           from >= 0 ? "206 Partial Content" : "200 OK");
    if (behaviour->chunked)
        g_string_append(text, "Transfer-Encoding: chunked\r\n");
    else
        g_string_append_printf(text, "Content-Length: %" G_GSIZE_FORMAT "%s\r\n", length,
                               behaviour->huge ? "000000000000" : "");
    if (validator)
        g_string_append_printf(text, "%s: %s\r\n", *validator == '"' ? "ETag" : "Last-Modified",
                               validator);
    if (from >= 0)
        g_string_append_printf(text,
                               "Content-Range: bytes %" G_GINT64_FORMAT "-%" G_GSIZE_FORMAT
                               "/%" G_GSIZE_FORMAT "\r\n",
                               behaviour->wrong_range ? from + 1 : from, whole - 1, whole);
    g_string_append(text, "\r\n");
    return g_string_free(text, FALSE);
}

static void send_body(Web *web, const Behaviour *behaviour, GIOStream *stream, const char *bytes,
                      gsize length)
{
    GOutputStream *out = g_io_stream_get_output_stream(stream);
    if (behaviour->chunked) {
        g_autofree char *head = g_strdup_printf("%" G_GSIZE_MODIFIER "x\r\n", length);
        send_text(out, head);
    }
    gsize sent = behaviour->limited ? MIN(length, web->limit) : length;
    g_output_stream_write_all(out, bytes, sent, NULL, NULL, NULL);
    if (behaviour->chunked)
        send_text(out, "\r\n0\r\n\r\n");
    if (behaviour->stalls && sent < length) {
        char byte; /* until the client gives up */
        g_mutex_lock(&web->lock);
        g_autoptr(GCancellable) on_stall = g_steal_pointer(&web->on_stall);
        g_mutex_unlock(&web->lock);
        g_cancellable_cancel(on_stall);
        g_input_stream_read(g_io_stream_get_input_stream(stream), &byte, 1, NULL, NULL);
    }
}

static void send_content(Web *web, const Behaviour *behaviour, GIOStream *stream,
                         const Request *request)
{
    GOutputStream *out = g_io_stream_get_output_stream(stream);
    g_mutex_lock(&web->lock);
    GBytes *found = g_hash_table_lookup(web->contents, request->path + strlen(behaviour->prefix));
    g_autoptr(GBytes) content = found ? g_bytes_ref(found) : NULL;
    g_mutex_unlock(&web->lock);
    if (content == NULL) {
        send_status(out, 404, NULL);
        return;
    }
    gsize length;
    const char *bytes = g_bytes_get_data(content, &length);
    gint64 from = behaviour->ranges ? request->from : -1;
    g_autofree char *validator = validator_of(behaviour, content);
    if (request->if_range && g_strcmp0(request->if_range, validator) != 0)
        from = -1;
    if (from >= (gint64)length) {
        send_status(out, 416, NULL);
        return;
    }
    gsize start = from > 0 ? (gsize)from : 0;
    g_autofree char *headers = headers_of(behaviour, content, from, length - start);
    send_text(out, headers);
    send_body(web, behaviour, stream, bytes + start, length - start);
}

static void answer(Web *web, GIOStream *stream, const Request *request)
{
    GOutputStream *out = g_io_stream_get_output_stream(stream);
    const char *path = request->path;
    for (gsize i = 0; i < G_N_ELEMENTS(behaviours); i++)
        if (g_str_has_prefix(path, behaviours[i].prefix)) {
            send_content(web, &behaviours[i], stream, request);
            return;
        }
    if (g_str_has_prefix(path, "/status/")) {
        send_status(out, atoi(path + strlen("/status/")), NULL);
    } else if (g_str_has_prefix(path, "/to/")) {
        send_status(out, 302, path + strlen("/to"));
    } else if (g_str_has_prefix(path, "/down/")) {
        g_autofree char *location = web_http(web, path + strlen("/down/"));
        send_status(out, 301, location);
    } else if (strcmp(path, "/file") == 0) {
        send_status(out, 302, "file:///etc/passwd");
    } else {
        send_status(out, strcmp(path, "/loop") == 0 ? 302 : 404, "/loop");
    }
}

static void serve(Web *web, GIOStream *stream)
{
    g_auto(Request) request = {0};
    g_autofree char *first_line = NULL;
    if (!read_request(g_io_stream_get_input_stream(stream), &first_line, &request))
        return;
    g_auto(GStrv) words = g_strsplit(first_line, " ", 3);
    request.path = g_strdup(g_strv_length(words) == 3 ? words[1] : "/");
    /* A client of a plain http proxy sends the whole address. */
    if (g_str_has_prefix(request.path, "http://")) {
        g_autofree char *whole = request.path;
        request.path = g_strdup(strchr(whole + strlen("http://"), '/'));
    }
    g_mutex_lock(&web->lock);
    g_string_append(web->log, request.path);
    if (request.from >= 0)
        g_string_append_printf(web->log, " %" G_GINT64_FORMAT "-", request.from);
    g_string_append_c(web->log, '\n');
    g_mutex_unlock(&web->lock);
    answer(web, stream, &request);
}

static gboolean on_http(GThreadedSocketService *service, GSocketConnection *connection,
                        GObject *source, gpointer data)
{
    serve(data, G_IO_STREAM(connection));
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    return TRUE;
}

static gboolean on_https(GThreadedSocketService *service, GSocketConnection *connection,
                         GObject *source, gpointer data)
{
    Web *web = data;
    g_autoptr(GIOStream) tls =
        g_tls_server_connection_new(G_IO_STREAM(connection), web->certificate, NULL);
    if (tls && g_tls_connection_handshake(G_TLS_CONNECTION(tls), NULL, NULL))
        serve(web, tls);
    if (tls)
        g_io_stream_close(tls, NULL, NULL);
    return TRUE;
}

static gpointer pump(gpointer data)
{
    GIOStream **ends = data;
    g_output_stream_splice(g_io_stream_get_output_stream(ends[1]),
                           g_io_stream_get_input_stream(ends[0]),
                           G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, NULL);
    g_socket_shutdown(g_socket_connection_get_socket(G_SOCKET_CONNECTION(ends[1])), TRUE, TRUE,
                      NULL);
    return NULL;
}

/* Whatever host is asked for, the tunnel ends at this machine. */
static gboolean on_proxy(GThreadedSocketService *service, GSocketConnection *connection,
                         GObject *source, gpointer data)
{
    Web *web = data;
    g_auto(Request) request = {0};
    g_autofree char *first_line = NULL;
    GIOStream *client = G_IO_STREAM(connection);
    if (!read_request(g_io_stream_get_input_stream(client), &first_line, &request))
        return TRUE;
    g_auto(GStrv) words = g_strsplit(first_line, " ", 3);
    g_mutex_lock(&web->lock);
    g_string_append_printf(web->proxy_log, "%s\n", words[1]);
    g_mutex_unlock(&web->lock);
    if (strcmp(words[0], "CONNECT") != 0 || g_str_has_prefix(words[1], "refused.")) {
        send_status(g_io_stream_get_output_stream(client), 407, NULL);
        return TRUE;
    }
    g_autoptr(GSocketClient) dialler = g_socket_client_new();
    g_socket_client_set_enable_proxy(dialler, FALSE);
    g_autoptr(GSocketConnection) server =
        g_socket_client_connect_to_host(dialler, "127.0.0.1", web->https_port, NULL, NULL);
    send_text(g_io_stream_get_output_stream(client), "HTTP/1.1 200 Connected\r\n\r\n");
    GIOStream *up[] = {client, G_IO_STREAM(server)}, *down[] = {G_IO_STREAM(server), client};
    GThread *thread = g_thread_new("proxy", pump, up);
    pump(down);
    g_thread_join(thread);
    return TRUE;
}

typedef gboolean (*RunFunc)(GThreadedSocketService *, GSocketConnection *, GObject *, gpointer);

static GSocketService *listen_on_loopback(Web *web, RunFunc run, guint16 *port)
{
    GSocketService *service = g_threaded_socket_service_new(-1);
    g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new(loopback, 0);
    g_autoptr(GSocketAddress) effective = NULL;
    g_autoptr(GError) error = NULL;
    g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                  G_SOCKET_PROTOCOL_TCP, NULL, &effective, &error);
    g_assert_no_error(error);
    *port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(effective));
    g_signal_connect(service, "run", G_CALLBACK(run), web);
    g_socket_service_start(service);
    return service;
}

static gpointer accept_connections(gpointer data)
{
    Web *web = data;
    g_main_context_push_thread_default(web->context);
    g_main_loop_run(web->loop);
    g_main_context_pop_thread_default(web->context);
    return NULL;
}

static char *in_folder(const char *folder, const char *name)
{
    return g_build_filename(folder, name, NULL);
}

#define KEY "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"

static void make_certificates(Web *web, const char *folder)
{
    g_autofree char *ca_key = in_folder(folder, "ca.key");
    g_autofree char *key = in_folder(folder, "web.key");
    g_autofree char *request = in_folder(folder, "web.csr");
    g_autofree char *certificate = in_folder(folder, "web.pem");
    g_autofree char *extensions = in_folder(folder, "web.ext");
    g_autoptr(GError) error = NULL;
    web->ca_file = in_folder(folder, "ca.pem");
    g_file_set_contents(extensions, "subjectAltName=DNS:localhost,DNS:files.example,IP:127.0.0.1\n",
                        -1, NULL);
    fixture_run("openssl", "req", "-x509", KEY, "-keyout", ca_key, "-out", web->ca_file, "-subj",
                "/CN=stead test CA", "-days", "2", NULL);
    fixture_run("openssl", "req", KEY, "-keyout", key, "-out", request, "-subj", "/CN=localhost",
                NULL);
    fixture_run("openssl", "x509", "-req", "-in", request, "-CA", web->ca_file, "-CAkey", ca_key,
                "-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", extensions, NULL);
    web->certificate = g_tls_certificate_new_from_files(certificate, key, &error);
    g_assert_no_error(error);
}

Web *web_new(const char *folder)
{
    if (!stead_find_program("openssl", NULL) ||
        !g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_test_skip("openssl or GLib's TLS support is not installed");
        return NULL;
    }
    Web *web = g_new0(Web, 1);
    g_mutex_init(&web->lock);
    web->contents =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    web->log = g_string_new(NULL);
    web->proxy_log = g_string_new(NULL);
    make_certificates(web, folder);
    web->context = g_main_context_new();
    web->loop = g_main_loop_new(web->context, FALSE);
    g_main_context_push_thread_default(web->context);
    web->https = listen_on_loopback(web, on_https, &web->https_port);
    web->http = listen_on_loopback(web, on_http, &web->http_port);
    web->proxy = listen_on_loopback(web, on_proxy, &web->proxy_port);
    g_main_context_pop_thread_default(web->context);
    web->thread = g_thread_new("web", accept_connections, web);
    return web;
}

void web_free(Web *web)
{
    GSocketService *services[] = {web->https, web->http, web->proxy};
    g_main_loop_quit(web->loop);
    g_thread_join(web->thread);
    for (gsize i = 0; i < G_N_ELEMENTS(services); i++) {
        g_socket_service_stop(services[i]);
        g_socket_listener_close(G_SOCKET_LISTENER(services[i]));
        g_object_unref(services[i]);
    }
    g_main_loop_unref(web->loop);
    g_main_context_unref(web->context);
    g_object_unref(web->certificate);
    g_hash_table_unref(web->contents);
    g_string_free(web->log, TRUE);
    g_string_free(web->proxy_log, TRUE);
    g_free(web->ca_file);
    g_mutex_clear(&web->lock);
    g_free(web);
}

void web_put(Web *web, const char *name, const char *bytes, gsize length)
{
    g_mutex_lock(&web->lock);
    g_hash_table_insert(web->contents, g_strdup(name), g_bytes_new(bytes, length));
    g_mutex_unlock(&web->lock);
}

void web_put_file(Web *web, const char *name, const char *path)
{
    g_autofree char *bytes = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
    web_put(web, name, bytes, length);
}

void web_set_limit(Web *web, gsize bytes)
{
    web->limit = bytes;
}

void web_cancel_on_stall(Web *web, GCancellable *cancellable)
{
    web->on_stall = g_object_ref(cancellable);
}

char *web_https_at(Web *web, const char *host, const char *path)
{
    return g_strdup_printf("https://%s:%u/%s", host, web->https_port, path);
}

char *web_https(Web *web, const char *path)
{
    return web_https_at(web, "localhost", path);
}

char *web_http(Web *web, const char *path)
{
    return g_strdup_printf("http://localhost:%u/%s", web->http_port, path);
}

char *web_proxy(Web *web)
{
    return g_strdup_printf("http://127.0.0.1:%u", web->proxy_port);
}

const char *web_ca_file(Web *web)
{
    return web->ca_file;
}

static char *take(Web *web, GString *log)
{
    g_mutex_lock(&web->lock);
    char *text = g_strdup(log->str);
    g_string_truncate(log, 0);
    g_mutex_unlock(&web->lock);
    return text;
}

char *web_take_log(Web *web)
{
    return take(web, web->log);
}

char *web_take_proxy_log(Web *web)
{
    return take(web, web->proxy_log);
}
