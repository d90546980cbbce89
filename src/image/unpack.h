/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a file's content into the staging folder: unpacked, or copied as it is. */
#pragma once

#include <gio/gio.h>

#include "base/progress.h"
#include "image/format.h"

/* What unpacking may yield; a small file that unpacks to more is a bomb. Zeros take no space. */
#define STEAD_UNPACK_MAX (G_GUINT64_CONSTANT(2) << 40)

/*
 * Writes the unpacked content of `from` to `to` (empty, open for writing), sparsely: runs of zeros
 * become holes. Stage told: "unpacking". Errors: INVALID (damaged), EXHAUSTED (beyond
 * STEAD_UNPACK_MAX, or no space), MISSING, CANCELLED.
 */
gboolean stead_unpack(int from, SteadPacking packing, int to, SteadProgressFunc progress,
                      gpointer data, GCancellable *cancellable, GError **error);

/* Copies likewise, sharing blocks where the file system can. Stage told: "copying". */
gboolean stead_copy_sparse(int from, int to, SteadProgressFunc progress, gpointer data,
                           GCancellable *cancellable, GError **error);
