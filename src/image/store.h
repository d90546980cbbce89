/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store: content on disk, named by its SHA-256. Records (name → digest) are the engine's;
 * the store keeps files only.
 *
 *     STATE/images/            0711   a QEMU user opens images by name but lists nothing
 *     STATE/images/sha256/     0711   DIGEST.qcow2, 0644, never written again
 *     STATE/images/boot/       0711   DIGEST/, what was taken out of an image to boot it (boot.h)
 *     STATE/images/tmp/        0700   staging, wiped when the store is opened
 *     STATE/images/downloads/  0700   half-done downloads, kept for resuming
 *
 * What lies under sha256/ is a qcow2 without backing file, external data or encryption: add()
 * admits nothing else, so whoever opens a stored image with `-f qcow2` reads that file alone.
 *
 * Functions may be called from several threads at once, and block.
 */
#pragma once

#include <gio/gio.h>

#include "base/progress.h"
#include "model/instance.h"

typedef struct SteadImageStore SteadImageStore;

/* Opens the store below the state folder (absolute), makes its folders, empties the staging. */
SteadImageStore *stead_image_store_open(const char *state, GError **error);
void stead_image_store_free(SteadImageStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadImageStore, stead_image_store_free)

/* Folders, owned by the store. What add() takes has to lie in the staging folder. */
const char *stead_image_store_staging(const SteadImageStore *store);
const char *stead_image_store_downloads(const SteadImageStore *store);

/* Makes a new empty file (0600) in the staging folder and returns its path, owned by the caller,
 * who unlinks it unless add() took it. `suffix` ends its name (".qcow2"); *fd (may be NULL) is open
 * for reading and writing. */
char *stead_image_store_stage(SteadImageStore *store, const char *suffix, int *fd, GError **error);

/* The file of a digest, whether it is there or not; NULL when `digest` is not 64 hex digits. */
char *stead_image_store_path(const SteadImageStore *store, const char *digest);

/* The boot folder of a digest, likewise. It goes with the image's content. */
char *stead_image_store_boot_folder(const SteadImageStore *store, const char *digest);

/* Takes a folder of the staging folder for it, which has to be durable; if there is one already,
 * the folder is removed instead. NOT_FOUND when the image's content is not there, or not any more;
 * then the folder stays the caller's. */
gboolean stead_image_store_add_boot(SteadImageStore *store, const char *digest, const char *folder,
                                    GError **error);

/* What is known of an image that is to be added; nothing is taken over. */
typedef struct {
    const char *name;      /* "debian:12" */
    const char *source;    /* an address, "build", "import FILE" */
    const char *published; /* "sha512:..."; NULL: none */
    gboolean agent;
} SteadImageOrigin;

/*
 * Takes a qcow2 file of the staging folder into the store: hashes it, makes it durable, renames
 * it. When the content is there already the file is removed instead. Returns the filled record,
 * owned by the caller; the file is gone from staging in any case but failure.
 *
 * The digest is pinned: neither remove() nor orphans() touches it until settle(), which the caller
 * calls once the record is in the books (or the image is given up).
 *
 * Errors: INVALID or UNSUPPORTED when it is no qcow2 that stands alone; CANCELLED; GIO's.
 */
SteadImage *stead_image_store_add(SteadImageStore *store, const char *file,
                                  const SteadImageOrigin *origin, SteadProgressFunc progress,
                                  gpointer data, GCancellable *cancellable, GError **error);
void stead_image_store_settle(SteadImageStore *store, const char *digest);

/*
 * Removes the content of an image unless `in_use` (a set of digests, char *, of all other records
 * and of all instances; may be NULL) has it, or it is pinned. *freed (may be NULL) is what that
 * gives back in bytes, 0 when the content stays. Success when it is not there.
 */
gboolean stead_image_store_remove(SteadImageStore *store, const SteadImage *image,
                                  GHashTable *in_use, guint64 *freed, GError **error);

/* The quick half of a removal: under the same conditions the content goes to the staging folder,
 * and *file, owned by the caller, is what is left to unlink; NULL when the content stays. */
gboolean stead_image_store_withdraw(SteadImageStore *store, const SteadImage *image,
                                    GHashTable *in_use, char **file, GError **error);

/* The digests (char *, owned by the array) of stored files that are neither in `in_use` nor
 * pinned. stead_image_store_remove_digest() takes one away. */
GPtrArray *stead_image_store_orphans(SteadImageStore *store, GHashTable *in_use, GError **error);
gboolean stead_image_store_remove_digest(SteadImageStore *store, const char *digest, guint64 *freed,
                                         GError **error);

/* Hashes the stored file again. NOT_FOUND when it is gone, VERIFICATION when it differs. */
gboolean stead_image_store_verify(SteadImageStore *store, const char *digest,
                                  SteadProgressFunc progress, gpointer data,
                                  GCancellable *cancellable, GError **error);
