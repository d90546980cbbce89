/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Downloading with resume. A part is worth keeping only with a validator (a strong ETag, or the
 * date of the last change): it is sent as If-Range, so that the server itself decides between the
 * rest (206) and the whole new file (200). A wrong guess costs a download, never a wrong file,
 * since the caller verifies the digest of the whole.
 */
#include "image/fetch.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/filelock.h"
#include "base/units.h"
#include "image/http.h"
#include "image/space.h"

#define READ_CHUNK (128 * 1024)
#define REPORT_EVERY (G_USEC_PER_SEC / 4)
#define MAX_VALIDATOR 256
#define STATE_GROUP "download"

typedef enum { ATTEMPT_DONE, ATTEMPT_FAILED, ATTEMPT_AGAIN } Attempt;

typedef struct {
    const SteadFetchOptions *options;
    SteadHttp *http;
    SteadProgressFunc progress;
    gpointer data;
    GCancellable *cancellable;
    char *part;
    char *state; /* PART.state */
    SteadFileLock *lock;
    int fd;          /* of the part: the lock's */
    char *validator; /* of the content that the part begins; NULL: unknown */
    guint64 have;    /* bytes in the part */
    guint64 total;   /* of the whole; 0: unknown */
    gint64 reported; /* when progress was last told */
    guint64 reported_bytes;
    double rate; /* bytes a second, smoothed */
} Fetch;

static void fetch_clear(Fetch *fetch)
{
    g_clear_pointer(&fetch->http, stead_http_free);
    g_clear_pointer(&fetch->part, g_free);
    g_clear_pointer(&fetch->state, g_free);
    g_clear_pointer(&fetch->validator, g_free);
    g_clear_pointer(&fetch->lock, stead_file_lock_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fetch, fetch_clear)

static gboolean fail_errno(GError **error, int saved, const char *doing, const char *path)
{
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

static guint64 max_bytes(const SteadFetchOptions *options)
{
    return options->max_bytes ? options->max_bytes : STEAD_FETCH_MAX;
}

static gboolean fail_size(const SteadFetchOptions *options, GError **error)
{
    g_autofree char *limit = stead_format_size(max_bytes(options));
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL,
                    "%s is larger than %s, the most that is "
                    "downloaded",
                    options->url, limit);
    return FALSE;
}

/* The part's state file. What cannot be read is as if it were not there. */
static void load_state(Fetch *fetch)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    struct stat st;
    if (!g_key_file_load_from_file(file, fetch->state, G_KEY_FILE_NONE, NULL))
        return;
    g_autofree char *url = g_key_file_get_string(file, STATE_GROUP, "url", NULL);
    g_autofree char *validator = g_key_file_get_string(file, STATE_GROUP, "validator", NULL);
    if (g_strcmp0(url, fetch->options->url) != 0 || validator == NULL || *validator == '\0' ||
        strlen(validator) > MAX_VALIDATOR || fstat(fetch->fd, &st) != 0)
        return;
    fetch->validator = g_steal_pointer(&validator);
    fetch->have = (guint64)st.st_size;
    fetch->total = g_key_file_get_uint64(file, STATE_GROUP, "total", NULL);
}

static gboolean save_state(Fetch *fetch, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_key_file_set_string(file, STATE_GROUP, "url", fetch->options->url);
    g_key_file_set_string(file, STATE_GROUP, "validator", fetch->validator ? fetch->validator : "");
    g_key_file_set_uint64(file, STATE_GROUP, "total", fetch->total);
    return g_key_file_save_to_file(file, fetch->state, error);
}

/* Whether the locked file is still the one of its name: it may have been finished, renamed and let
 * go between opening and locking it. */
static gboolean is_current(const Fetch *fetch)
{
    struct stat mine, named;
    return fstat(fetch->fd, &mine) == 0 && stat(fetch->part, &named) == 0 &&
           mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

static gboolean open_part(Fetch *fetch, GError **error)
{
    g_autoptr(GError) why = NULL;
    fetch->lock = stead_file_lock(fetch->part, &why);
    if (fetch->lock == NULL && stead_error_code(why) != STEAD_ERROR_BUSY) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    fetch->fd = fetch->lock ? stead_file_lock_fd(fetch->lock) : -1;
    if (fetch->lock == NULL || !is_current(fetch)) {
        stead_set_error(error, STEAD_ERROR_BUSY, "Wait until it has finished.",
                        "%s is being downloaded already", fetch->options->url);
        return FALSE;
    }
    load_state(fetch);
    return TRUE;
}

/* Forgets what there is of the file. */
static gboolean start_over(Fetch *fetch, GError **error)
{
    g_clear_pointer(&fetch->validator, g_free);
    fetch->have = fetch->total = 0;
    return ftruncate(fetch->fd, 0) == 0 ? TRUE : fail_errno(error, errno, "emptying", fetch->part);
}

/* What to send as If-Range later. A weak ETag does not promise equal bytes. */
static char *validator_of(SoupMessageHeaders *headers)
{
    const char *etag = soup_message_headers_get_one(headers, "ETag");
    const char *date = soup_message_headers_get_one(headers, "Last-Modified");
    const char *validator = etag && *etag == '"' ? etag : date;
    return validator && strlen(validator) <= MAX_VALIDATOR ? g_strdup(validator) : NULL;
}

static void report(Fetch *fetch)
{
    gint64 now = g_get_monotonic_time();
    if (fetch->progress == NULL || now - fetch->reported < REPORT_EVERY)
        return;
    double seconds = (double)(now - fetch->reported) / G_USEC_PER_SEC;
    double rate = (double)(fetch->have - fetch->reported_bytes) / seconds;
    fetch->rate = fetch->rate > 0 ? 0.7 * fetch->rate + 0.3 * rate : rate;
    fetch->reported = now;
    fetch->reported_bytes = fetch->have;

    g_autofree char *have = stead_format_size(fetch->have);
    g_autofree char *total = stead_format_size(fetch->total);
    g_autofree char *speed = stead_format_size((guint64)fetch->rate);
    g_autofree char *stage =
        g_strdup_printf("downloading %s%s%s at %s/s", have, fetch->total ? " of " : "",
                        fetch->total ? total : "", speed);
    fetch->progress(stage, fetch->total ? (double)fetch->have / (double)fetch->total : -1,
                    fetch->data);
}

/* Takes over what the headers say of the content; the part is as long as `have` afterwards. */
static gboolean take_headers(Fetch *fetch, SoupMessage *message, GError **error)
{
    SoupMessageHeaders *headers = soup_message_get_response_headers(message);
    goffset start = 0, end, total = 0;
    if (soup_message_get_status(message) == 206) {
        if (!soup_message_headers_get_content_range(headers, &start, &end, &total) ||
            (guint64)start != fetch->have) {
            stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL,
                            "%s: the server sent another range than it was asked for",
                            fetch->options->url);
            return start_over(fetch, NULL) && FALSE;
        }
    } else {
        if (!start_over(fetch, error))
            return FALSE;
        if (soup_message_headers_get_encoding(headers) == SOUP_ENCODING_CONTENT_LENGTH)
            total = soup_message_headers_get_content_length(headers);
        fetch->validator = validator_of(headers);
    }
    fetch->total = total > 0 ? (guint64)total : 0;
    if (fetch->total > max_bytes(fetch->options))
        return fail_size(fetch->options, error);
    guint64 rest = fetch->total > fetch->have ? fetch->total - fetch->have : 0;
    return stead_space_check(fetch->fd, rest, "the download", error) && save_state(fetch, error);
}

static gboolean write_part(Fetch *fetch, const guint8 *bytes, gsize n, GError **error)
{
    if (n > max_bytes(fetch->options) - fetch->have)
        return fail_size(fetch->options, error);
    while (n > 0) {
        ssize_t written = pwrite(fetch->fd, bytes, n, (off_t)fetch->have);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_errno(error, errno, "writing", fetch->part);
        bytes += written;
        n -= (gsize)written;
        fetch->have += (guint64)written;
    }
    return TRUE;
}

/* Whether trying again at once can help: the connection broke, and had brought something. */
static Attempt after_break(const Fetch *fetch, guint64 before, const GError *error)
{
    gboolean broke = error->domain == G_IO_ERROR && (error->code == G_IO_ERROR_PARTIAL_INPUT ||
                                                     error->code == G_IO_ERROR_CONNECTION_CLOSED ||
                                                     error->code == G_IO_ERROR_FAILED);
    broke = broke || (error->domain == G_TLS_ERROR && error->code == G_TLS_ERROR_EOF);
    return broke && fetch->have > before ? ATTEMPT_AGAIN : ATTEMPT_FAILED;
}

static Attempt read_body(Fetch *fetch, GInputStream *body, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(READ_CHUNK);
    guint64 before = fetch->have;
    for (;;) {
        g_autoptr(GError) local = NULL;
        gssize n = g_input_stream_read(body, buffer, READ_CHUNK, fetch->cancellable, &local);
        if (n == 0 && fetch->total > 0 && fetch->have < fetch->total) {
            n = -1;
            g_set_error(&local, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                        "the connection broke off after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                        " bytes",
                        fetch->have, fetch->total);
        }
        if (n < 0) {
            Attempt next = after_break(fetch, before, local);
            stead_http_explain(fetch->http, fetch->options->url, &local);
            g_propagate_error(error, g_steal_pointer(&local));
            return next;
        }
        if (n == 0)
            return ATTEMPT_DONE;
        if (!write_part(fetch, buffer, (gsize)n, error))
            return ATTEMPT_FAILED;
        report(fetch);
    }
}

static Attempt attempt(Fetch *fetch, GError **error)
{
    g_autoptr(SoupMessage) message = NULL;
    if (fetch->total > 0 && fetch->have == fetch->total)
        return ATTEMPT_DONE;
    if (fetch->validator == NULL && !start_over(fetch, error))
        return ATTEMPT_FAILED;
    SteadHttpRequest request = {.url = fetch->options->url,
                                .https_only = fetch->options->https_only,
                                .from = fetch->have,
                                .if_range = fetch->validator};
    g_autoptr(GInputStream) body =
        stead_http_get(fetch->http, &request, &message, fetch->cancellable, error);
    if (body == NULL)
        return ATTEMPT_FAILED;
    if (soup_message_get_status(message) == 416) {
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL,
                        "%s: the server has less than was already downloaded", fetch->options->url);
        return start_over(fetch, NULL) ? ATTEMPT_AGAIN : ATTEMPT_FAILED;
    }
    return take_headers(fetch, message, error) ? read_body(fetch, body, error) : ATTEMPT_FAILED;
}

/* A part without a validator, or without content, is of no use to a later call. */
static void drop_useless_part(const Fetch *fetch)
{
    if (fetch->have > 0 && fetch->validator != NULL)
        return;
    g_unlink(fetch->part);
    g_unlink(fetch->state);
}

static gboolean run_attempts(Fetch *fetch, GError **error)
{
    for (int resumes = 0;; resumes++) {
        g_autoptr(GError) local = NULL;
        fetch->reported = g_get_monotonic_time();
        fetch->reported_bytes = fetch->have;
        Attempt result = attempt(fetch, &local);
        if (result == ATTEMPT_DONE)
            return TRUE;
        if (result == ATTEMPT_FAILED || resumes == STEAD_FETCH_RESUMES) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
    }
}

static guint stall_seconds(const SteadFetchOptions *options)
{
    return options->stall_seconds ? options->stall_seconds : STEAD_FETCH_STALL_SECONDS;
}

gboolean stead_fetch(const SteadFetchOptions *options, const char *path, SteadProgressFunc progress,
                     gpointer data, GCancellable *cancellable, GError **error)
{
    g_auto(Fetch)
        fetch = {.options = options,
                 .progress = progress,
                 .data = data,
                 .cancellable = cancellable,
                 .part = options->part ? g_strdup(options->part) : g_strconcat(path, ".part", NULL),
                 .fd = -1};
    fetch.state = g_strconcat(fetch.part, ".state", NULL);
    if (!open_part(&fetch, error))
        return FALSE;
    fetch.http = stead_http_new(stall_seconds(options), error);
    if (fetch.http == NULL || !run_attempts(&fetch, error)) {
        drop_useless_part(&fetch);
        return FALSE;
    }
    if (g_rename(fetch.part, path) != 0)
        return fail_errno(error, errno, "renaming", fetch.part);
    g_unlink(fetch.state);
    return TRUE;
}

static gboolean read_text(GInputStream *body, const SteadFetchOptions *options, GByteArray *bytes,
                          GCancellable *cancellable, GError **error)
{
    guint8 buffer[4096];
    gssize n;
    while ((n = g_input_stream_read(body, buffer, sizeof buffer, cancellable, error)) > 0) {
        if (bytes->len + (gsize)n > options->max_bytes)
            return fail_size(options, error);
        g_byte_array_append(bytes, buffer, (guint)n);
    }
    return n == 0;
}

char *stead_fetch_text(const SteadFetchOptions *options, gsize *length, GCancellable *cancellable,
                       GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(SteadHttp) http = stead_http_new(stall_seconds(options), error);
    if (http == NULL)
        return NULL;
    SteadHttpRequest request = {.url = options->url, .https_only = options->https_only};
    g_autoptr(SoupMessage) message = NULL;
    g_autoptr(GInputStream) body = stead_http_get(http, &request, &message, cancellable, error);
    if (body == NULL)
        return NULL;
    g_autoptr(GError) local = NULL;
    if (!read_text(body, options, bytes, cancellable, &local)) {
        stead_http_explain(http, options->url, &local);
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
    }
    if (length)
        *length = bytes->len;
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}
