/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a microVM boots: the kernel and the initramfs of its image, without a boot loader. They are
 * taken out of a stored image once and stay beside it until its content is removed:
 *
 *     STATE/images/boot/DIGEST/    0711
 *         kernel                   0644
 *         initrd                   as the image has it; not there when it has none
 *         initrd-PIECE             the same with the agent's piece; PIECE stands for that piece
 *         root                     "UUID=..."
 *
 * So a guest has the agent of its host's version, and not a byte of its disk is changed.
 */
#pragma once

#include <gio/gio.h>

#include "image/store.h"

/* What a microVM boots from an image; texts, owned by the struct. */
typedef struct {
    char *kernel; /* path */
    char *initrd; /* path; NULL: none */
    char *root;   /* "UUID=...", for root= on the kernel's command line */
} SteadBootFiles;

void stead_boot_files_free(SteadBootFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadBootFiles, stead_boot_files_free)

/*
 * The files to boot a stored image with. The first call for an image takes about two seconds, later
 * ones milliseconds. `agent` is the static agent program; NULL: the one of the build tree that the
 * caller's program lies in, or else the installed one. Without an agent the initramfs is as the
 * image has it.
 *
 * Blocking; fine after a kill at any point, and from several threads at once. Owned by the caller.
 *
 * Errors: UNSUPPORTED when no Linux kernel or root file system can be found in the image, which
 * may boot by itself all the same; NOT_FOUND when the image is not there, or is removed meanwhile;
 * EXHAUSTED for space; MISSING for a program; CANCELLED; GIO's.
 */
SteadBootFiles *stead_boot_files(SteadImageStore *store, const char *digest, const char *agent,
                                 GCancellable *cancellable, GError **error);
