/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes and durations as people write them. Sizes are in bytes and their suffixes are powers of
 * 1024 (K, M, G, T, P, also as KiB or Ki; an optional B; case is ignored): "512M", "20G", "1.5GiB".
 * Durations are in milliseconds: "500ms", "90s", "5m", "1h30m"; a bare number is seconds.
 */
#pragma once

#include <glib.h>

/* Fails (INVALID) on anything but a whole, finite, non-negative size that fits gint64. */
gboolean stead_parse_size(const char *text, guint64 *bytes, GError **error);

/* Fails (INVALID) likewise; the longest duration is 10 years. */
gboolean stead_parse_duration(const char *text, guint64 *milliseconds, GError **error);

/* "20 GiB", "1.5 MiB", "512 B": for people. Owned by the caller. */
char *stead_format_size(guint64 bytes);

/* "20G" when exact in a suffix, else plain bytes: what stead_parse_size() reads back. */
char *stead_format_size_exact(guint64 bytes);

/* "850ms", "12s", "3m05s", "2h10m", "4d": for people. Owned by the caller. */
char *stead_format_duration(guint64 milliseconds);

/* "1h30m5s", "250ms", "0s": exact, what stead_parse_duration() reads back. */
char *stead_format_duration_exact(guint64 milliseconds);
