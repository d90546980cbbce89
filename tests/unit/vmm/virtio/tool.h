/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a test, and the program that knows qcow2 best. */
#pragma once

#include <glib.h>

#include "vmm/disk/image.h"

/* A folder that goes with everything in it. */
typedef struct {
    char *path;
} Folder;

Folder *folder_new(void);
void folder_free(Folder *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Folder, folder_free)

/* The path of a name in it; the caller's. */
char *folder_path(const Folder *folder, const char *name);

/* Whether there is qemu-img; skips the test when not. */
gboolean has_qemu_img(void);

/* Runs a command line that contains no blanks in its words; returns its exit code. */
int run(const char *format, ...) G_GNUC_PRINTF(1, 2);

int open_file(const char *path, int flags);
