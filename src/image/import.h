/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a disk image from a file into the store: qcow2, raw, vmdk, vdi, vhdx or vhd, each also
 * packed as gzip, xz or zstd. The format is found by content. Whatever could make a reader open
 * other files of the host is refused before any other program sees the file.
 */
#pragma once

#include "image/store.h"

typedef struct {
    SteadImageOrigin origin; /* origin.source NULL: "import FILE" */
    gboolean verified; /* its bytes are those that a trusted publisher signed for: a plain qcow2 is
                          kept as it is instead of being written anew */
    gboolean move;     /* `file` may be taken away (it lies in the store's own folders) */
} SteadImportOptions;

/*
 * Imports `file` (an absolute path, followed through symbolic links). Blocking; stages told are
 * "unpacking", "copying", "converting", "hashing", those that are needed. The image returned is
 * pinned in the store as by stead_image_store_add(). Nothing is left behind on failure.
 *
 * Errors: INVALID (relative path, not a regular file, unknown or broken format, a reference to
 * other files), NOT_FOUND, DENIED, UNSUPPORTED (a known format that stead does not take),
 * EXHAUSTED (no space; larger than STEAD_MAX_DISK), MISSING (a program), CANCELLED.
 */
SteadImage *stead_image_import(SteadImageStore *store, const char *file,
                               const SteadImportOptions *options, SteadProgressFunc progress,
                               gpointer data, GCancellable *cancellable, GError **error);
