/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything lies. Two folders hold all that stead writes: the state folder, which outlives
 * a reboot, and the run folder, which does not. STEAD_ROOT moves both below one folder, so that
 * several daemons run side by side on one machine:
 *
 *                  default            with STEAD_ROOT=/r
 *     state        /var/lib/stead     /r/lib
 *     run          /run/stead         /r/run
 *     socket       /run/stead/stead.sock   /r/run/stead.sock
 */
#pragma once

#include <glib.h>

typedef struct {
    char *state;  /* absolute, no trailing slash */
    char *run;    /* likewise */
    char *socket; /* the API's Unix socket; short enough for sockaddr_un */
    char *tag;    /* "" by default; else "-" and 6 hex digits that stand for the root. It keeps the
                     names that daemons share (domains, bridges, pools) apart. */
} SteadPaths;

/*
 * The paths for STEAD_ROOT as the environment has it. Fails (INVALID) where the root is not
 * absolute or so long that a socket below it would not fit. Owned by the caller.
 */
SteadPaths *stead_paths_new(GError **error);

/* The paths for `root`; NULL or "" for the default. */
SteadPaths *stead_paths_new_for_root(const char *root, GError **error);

void stead_paths_free(SteadPaths *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadPaths, stead_paths_free)

/* Makes `path` and its missing parents with `mode`; success when it is there already. */
gboolean stead_make_dir(const char *path, int mode, GError **error);

/* Opens a folder to list what is in it; NULL without an error when there is none. */
GDir *stead_open_dir(const char *path, GError **error);

/* Removes a file or a whole folder, without following symbolic links; success when absent. */
gboolean stead_remove_tree(const char *path, GError **error);

/* Bytes that the files right below a folder take on disk; 0 when there is no such folder. */
guint64 stead_folder_size(const char *path);

/* Removes what a crash left of stead_write_file() and mkdtemp(3) right below the folder: entries
 * whose names end in a dot and six random characters, and that are older than `before` (wall clock,
 * microseconds). Success when there is no such folder. */
gboolean stead_sweep_temporaries(const char *path, gint64 before, GError **error);

/* Replaces `path` atomically with the bytes given (temporary file, fsync, rename, fsync of the
 * folder). `length` -1 for a string. */
gboolean stead_write_file(const char *path, const char *bytes, gssize length, int mode,
                          GError **error);

/* Waits until the content of a file, or the entries of a folder, are on the disk. */
gboolean stead_sync(const char *path, GError **error);

/* The same for a folder with the files right below it, and its own entry. */
gboolean stead_sync_folder(const char *path, GError **error);
