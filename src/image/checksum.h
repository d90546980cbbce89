/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests: written "sha256:HEX" or "sha512:HEX", computed from files, and found in the checksum
 * files that distributions publish (SHA256SUMS, SHA512SUMS). Weaker hashes are not known here.
 */
#pragma once

#include <gio/gio.h>

#include "base/progress.h"

/* A published checksum file has a line an image; the longest known is 20 KiB. */
#define STEAD_SUMS_MAX_BYTES (1024 * 1024)
#define STEAD_SUMS_MAX_LINE 4096

typedef enum { STEAD_HASH_SHA256, STEAD_HASH_SHA512, STEAD_N_HASHES } SteadHash;

typedef struct {
    SteadHash hash;
    char hex[129]; /* lower case, 64 or 128 digits; "" while nothing is known */
} SteadDigest;

/* Reads "sha256:HEX" or "sha512:HEX", in either case; INVALID otherwise. */
gboolean stead_digest_parse(const char *text, SteadDigest *digest, GError **error);

/* "sha512:HEX"; owned by the caller. */
char *stead_digest_format(const SteadDigest *digest);

/* The same hash of the same content; FALSE for different hashes, of which nothing can be said. */
gboolean stead_digest_equal(const SteadDigest *a, const SteadDigest *b);

/* Whether the text is the hex form of a SHA-256, in lower case: the name of a stored image. */
gboolean stead_sha256_hex_is_valid(const char *hex);

/*
 * Finds the digest of `file_name` in a checksum file of coreutils' format (text, binary or with
 * escapes) or BSD's ("SHA512 (NAME) = HEX"). Lines of other kinds (comments, signatures, weaker
 * hashes) are passed over; of two hashes for the name the stronger is taken.
 *
 * Errors: VERIFICATION when the file has no digest for the name, two that differ, or is larger
 * than STEAD_SUMS_MAX_BYTES.
 */
gboolean stead_sums_find(const char *text, gsize length, const char *file_name, SteadDigest *digest,
                         GError **error);

/*
 * Hashes what `fd` refers to, from its first byte, in bounded memory. `stage` names the step for
 * `progress` (may be NULL). Blocking.
 */
gboolean stead_hash_fd(int fd, SteadHash hash, const char *stage, SteadProgressFunc progress,
                       gpointer data, GCancellable *cancellable, SteadDigest *digest,
                       GError **error);

/* The same for a path; a missing or unreadable file is an error of GIO's domain. */
gboolean stead_hash_file(const char *path, SteadHash hash, const char *stage,
                         SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                         SteadDigest *digest, GError **error);
