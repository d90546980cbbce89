/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images made from packages, with no cloud-image server, loop device or mount of the host involved.
 * A Debian release ("debian:12") becomes a qcow2 that boots by UEFI and BIOS, with cloud-init,
 * guest agent and OpenSSH. Its tiny sister ("tiny:12") is a kernel and busybox, of which stead's
 * agent is the init: microVMs boot it directly, and nothing else does.
 *
 * Packages are kept in a cache folder, so that later builds work without a network.
 */
#pragma once

#include <gio/gio.h>

/* The virtual size when none is asked for, and the bounds of what can be asked for, in bytes. A
 * file system grows with the disk of an instance. */
#define STEAD_BUILD_DISK_DEFAULT (G_GUINT64_CONSTANT(4) << 30)
#define STEAD_BUILD_DISK_MIN (G_GUINT64_CONSTANT(2) << 30)
#define STEAD_BUILD_TINY_DEFAULT (G_GUINT64_CONSTANT(512) << 20)
#define STEAD_BUILD_TINY_MIN (G_GUINT64_CONSTANT(256) << 20)
#define STEAD_BUILD_DISK_MAX (G_GUINT64_CONSTANT(16) << 40)

typedef struct {
    const char *release;   /* "debian:12"; one of stead_image_build_releases() */
    const char *output;    /* the qcow2 to make; appears, complete, by a rename in its folder */
    const char *work_dir;  /* scratch on a disk; emptied first, removed at the end, always */
    const char *cache_dir; /* packages and lists of earlier builds; made when absent */
    guint64 disk_size;     /* virtual size in bytes, a multiple of 1 MiB; 0 for the default */
} SteadBuildOptions;

/* Called in the calling thread. `stage` is a static string; `fraction`, 0..1 over the whole build,
 * never goes back. */
typedef void (*SteadBuildProgress)(const char *stage, double fraction, gpointer data);

/*
 * Makes the image. Blocks for half a minute and more: call it from a job's thread. `progress` and
 * `cancellable` may be NULL. Upon failure and cancelling neither output nor scratch is left; the
 * cache keeps what it had. One build at a time uses a cache folder.
 *
 * Errors: NOT_FOUND for a release that cannot be built (the hint lists those that can); INVALID for
 * a bad size; DENIED when not root; UNSUPPORTED on a host that is not x86-64; MISSING for a program
 * or keyring; EXHAUSTED for too little space in work_dir; BUSY while another build uses the cache;
 * UNAVAILABLE when the mirror does not answer and the cache is not enough; CANCELLED; INTERNAL for
 * a program that failed.
 */
gboolean stead_image_build(const SteadBuildOptions *options, SteadBuildProgress progress,
                           gpointer data, GCancellable *cancellable, GError **error);

/* Whether an image of that name lacks what a virtual machine boots by itself with: FALSE also for
 * one that is not built here. */
gboolean stead_image_build_is_tiny(const char *release);

/* Whether the release can be built, and the names of all that can, NULL-terminated and static. */
gboolean stead_image_build_known(const char *release);
const char *const *stead_image_build_releases(void);
