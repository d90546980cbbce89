/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-img, on files that stead trusts: its own, and images that were verified. Never on what a
 * guest could have written, whose header may name any file of the host as its backing. Blocking.
 */
#pragma once

#include <gio/gio.h>

#include "base/progress.h"

typedef struct {
    char *format;
    char *backing; /* path of the backing file as the header has it; NULL: none */
    guint64 virtual_size;
    guint64 actual_size; /* bytes on disk */
} SteadDiskFile;

void stead_disk_file_free(SteadDiskFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadDiskFile, stead_disk_file_free)

/* `format` NULL: probed. Fails with NOT_FOUND, or INVALID when it is not of that format. The caller
 * owns the result. */
SteadDiskFile *stead_disk_file_info(const char *path, const char *format, GError **error);

/* Writes the whole content of an image over an existing raw device or file, which is large enough.
 * CANCELLED leaves it with part of it. */
gboolean stead_disk_file_copy(const char *from, const char *format, const char *to,
                              SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                              GError **error);

/* Pure: what `qemu-img info --output=json` wrote; and the fraction in a line of its progress,
 * "    (12.50/100%)", or -1. */
SteadDiskFile *stead_disk_file_parse(const char *json, GError **error);
double stead_disk_file_progress(const char *line);
