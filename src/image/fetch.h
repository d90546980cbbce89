/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Downloading over HTTP(S), with resume. Nothing that comes from here is verified: the caller
 * compares digests before anything else looks at the file (pull.c does).
 */
#pragma once

#include <gio/gio.h>

#include "base/progress.h"

/* The largest file that is downloaded; the largest cloud images are a few GiB. */
#define STEAD_FETCH_MAX (G_GUINT64_CONSTANT(256) << 30)
/* When so long no byte comes, the server is given up. */
#define STEAD_FETCH_STALL_SECONDS 60
/* A connection that breaks after it brought something is resumed so many times at once. */
#define STEAD_FETCH_RESUMES 5

typedef struct {
    const char *url;
    gboolean https_only; /* else http is taken too: only where a digest is known otherwise */
    guint64 max_bytes;   /* 0: STEAD_FETCH_MAX */
    guint stall_seconds; /* 0: STEAD_FETCH_STALL_SECONDS */
    const char *part;    /* where an unfinished download lies, on the file system of the finished
                            one; NULL: PATH.part */
} SteadFetchOptions;

/*
 * Downloads to `path`. Until it is whole it is the part, beside which PART.state says what it is
 * a part of; both stay when the download breaks off, and the next call goes on from there if
 * the server still has the same content. `progress` is told up to four times a second, its stage
 * like "downloading 120 MiB of 340 MiB at 5.2 MiB/s".
 *
 * Environment: http_proxy, https_proxy, all_proxy, no_proxy; STEAD_CA_FILE or SSL_CERT_FILE.
 *
 * Errors: as stead_http_get(); EXHAUSTED (larger than max_bytes, or no space), BUSY (another
 * download to the same part), UNAVAILABLE (broke off, stalled), CANCELLED. Blocking.
 */
gboolean stead_fetch(const SteadFetchOptions *options, const char *path, SteadProgressFunc progress,
                     gpointer data, GCancellable *cancellable, GError **error);

/* Downloads a small file into memory; NUL-terminated, *length (may be NULL) without it. Owned by
 * the caller. EXHAUSTED beyond options->max_bytes, which has to be set. */
char *stead_fetch_text(const SteadFetchOptions *options, gsize *length, GCancellable *cancellable,
                       GError **error);
