/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store. A file enters by one door (add): it is looked at, hashed, synced, and renamed
 * to its digest, so a stored file is whole or absent, whenever the power fails. Names that another
 * process finds under sha256/ never change their content.
 *
 * Between add() and the engine's record nothing else would know that the digest is wanted; the pins
 * cover that time. They live in memory only: after a crash the file is an orphan, and is found as
 * one.
 */
#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "image/boot_folder.h"
#include "image/checksum.h"
#include "image/format.h"

#define SUFFIX ".qcow2"
/* A download that nobody went on with for so long is given up. */
#define DOWNLOAD_KEEP_SECONDS (7 * 24 * 3600)

struct SteadImageStore {
    char *content; /* .../images/sha256 */
    char *boot;    /* .../images/boot */
    char *staging;
    char *downloads;
    GMutex lock;      /* of the pins, and over each check of them with the step it allows */
    GHashTable *pins; /* digest → count */
};

static gboolean fail_errno(GError **error, int saved, const char *doing, const char *path)
{
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* The mode is set apart from making it: the umask must not narrow what QEMU's user needs. */
static gboolean make_folder(const char *path, mode_t mode, GError **error)
{
    if (!stead_make_dir(path, (int)mode, error))
        return FALSE;
    return chmod(path, mode) == 0 ? TRUE : fail_errno(error, errno, "opening up", path);
}

static gboolean wipe_folder(const char *path, gint64 older_than, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, error);
    const char *name;
    if (dir == NULL)
        return FALSE;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *entry = g_build_filename(path, name, NULL);
        struct stat st;
        if (lstat(entry, &st) == 0 && st.st_mtime <= older_than && !stead_remove_tree(entry, error))
            return FALSE;
    }
    return TRUE;
}

SteadImageStore *stead_image_store_open(const char *state, GError **error)
{
    g_autoptr(SteadImageStore) store = g_new0(SteadImageStore, 1);
    g_mutex_init(&store->lock);
    store->pins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *images = g_build_filename(state, "images", NULL);
    store->content = g_build_filename(images, "sha256", NULL);
    store->boot = g_build_filename(images, "boot", NULL);
    store->staging = g_build_filename(images, "tmp", NULL);
    store->downloads = g_build_filename(images, "downloads", NULL);
    if (!make_folder(images, 0711, error) || !make_folder(store->content, 0711, error) ||
        !make_folder(store->boot, 0711, error) || !make_folder(store->staging, 0700, error) ||
        !make_folder(store->downloads, 0700, error) ||
        !wipe_folder(store->staging, G_MAXINT64, error) ||
        !wipe_folder(store->downloads, g_get_real_time() / G_USEC_PER_SEC - DOWNLOAD_KEEP_SECONDS,
                     error) ||
        !stead_boot_folders_sweep(store->boot, store->content, error)) {
        g_prefix_error(error, "opening the image store: ");
        return NULL;
    }
    return g_steal_pointer(&store);
}

void stead_image_store_free(SteadImageStore *store)
{
    if (store == NULL)
        return;
    g_free(store->content);
    g_free(store->boot);
    g_free(store->staging);
    g_free(store->downloads);
    g_clear_pointer(&store->pins, g_hash_table_unref);
    g_mutex_clear(&store->lock);
    g_free(store);
}

const char *stead_image_store_staging(const SteadImageStore *store)
{
    return store->staging;
}

const char *stead_image_store_downloads(const SteadImageStore *store)
{
    return store->downloads;
}

char *stead_image_store_stage(SteadImageStore *store, const char *suffix, int *fd, GError **error)
{
    g_autofree char *name = g_strdup_printf("stage-XXXXXX%s", suffix);
    g_autofree char *path = g_build_filename(store->staging, name, NULL);
    stead_autofd made = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (made < 0) {
        fail_errno(error, errno, "making a file in", store->staging);
        return NULL;
    }
    if (fd)
        *fd = stead_steal_fd(&made);
    return g_steal_pointer(&path);
}

char *stead_image_store_path(const SteadImageStore *store, const char *digest)
{
    if (!stead_sha256_hex_is_valid(digest))
        return NULL;
    g_autofree char *name = g_strconcat(digest, SUFFIX, NULL);
    return g_build_filename(store->content, name, NULL);
}

char *stead_image_store_boot_folder(const SteadImageStore *store, const char *digest)
{
    return stead_sha256_hex_is_valid(digest) ? g_build_filename(store->boot, digest, NULL) : NULL;
}

/* Pins. The count lies in the table's value. */
static void pin(SteadImageStore *store, const char *digest)
{
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(store->pins, digest));
    g_hash_table_insert(store->pins, g_strdup(digest), GUINT_TO_POINTER(count + 1));
}

static void unpin(SteadImageStore *store, const char *digest)
{
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(store->pins, digest));
    if (count > 1)
        g_hash_table_insert(store->pins, g_strdup(digest), GUINT_TO_POINTER(count - 1));
    else
        g_hash_table_remove(store->pins, digest);
}

void stead_image_store_settle(SteadImageStore *store, const char *digest)
{
    g_mutex_lock(&store->lock);
    unpin(store, digest);
    g_mutex_unlock(&store->lock);
}

/* Whether the content is there already; a file of another size is a damaged one. */
static gboolean is_stored(const char *path, guint64 size)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (guint64)st.st_size == size;
}

static gboolean settle_in(SteadImageStore *store, int fd, const char *file, guint64 size,
                          const char *digest, GError **error)
{
    g_autofree char *path = stead_image_store_path(store, digest);
    if (is_stored(path, size)) {
        g_unlink(file);
        return TRUE;
    }
    if (fchown(fd, geteuid(), getegid()) != 0 || fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        return fail_errno(error, errno, "storing", file);
    if (g_rename(file, path) != 0)
        return fail_errno(error, errno, "storing", path);
    return stead_sync(store->content, error);
}

static SteadImage *new_record(const SteadImageOrigin *origin, const char *digest, guint64 size,
                              guint64 virtual_size)
{
    SteadImage *image = g_new0(SteadImage, 1);
    image->name = g_strdup(origin->name);
    image->digest = g_strdup(digest);
    image->source = g_strdup(origin->source);
    image->published = g_strdup(origin->published);
    image->size = size;
    image->virtual_size = virtual_size;
    image->agent = origin->agent;
    image->created = g_get_real_time();
    return image;
}

/* Opens a staged file and makes sure that it may be admitted. */
static int open_staged(const char *file, guint64 *size, guint64 *virtual_size, GError **error)
{
    stead_autofd fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    SteadDiskFormat format;
    if (fd < 0 || fstat(fd, &st) != 0) {
        fail_errno(error, errno, "opening", file);
        return -1;
    }
    if (!S_ISREG(st.st_mode) || !stead_disk_format_detect(fd, &format, NULL) ||
        format != STEAD_DISK_FORMAT_QCOW2) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s is not a qcow2 image", file);
        return -1;
    }
    if (!stead_disk_format_inspect(fd, format, virtual_size, error)) {
        g_prefix_error(error, "%s: ", file);
        return -1;
    }
    *size = (guint64)st.st_size;
    return stead_steal_fd(&fd);
}

SteadImage *stead_image_store_add(SteadImageStore *store, const char *file,
                                  const SteadImageOrigin *origin, SteadProgressFunc progress,
                                  gpointer data, GCancellable *cancellable, GError **error)
{
    guint64 size, virtual_size;
    SteadDigest digest;
    stead_autofd fd = open_staged(file, &size, &virtual_size, error);
    if (fd < 0 || !stead_hash_fd(fd, STEAD_HASH_SHA256, "hashing", progress, data, cancellable,
                                 &digest, error))
        return NULL;
    g_mutex_lock(&store->lock);
    gboolean stored = settle_in(store, fd, file, size, digest.hex, error);
    if (stored)
        pin(store, digest.hex);
    g_mutex_unlock(&store->lock);
    return stored ? new_record(origin, digest.hex, size, virtual_size) : NULL;
}

gboolean stead_image_store_add_boot(SteadImageStore *store, const char *digest, const char *folder,
                                    GError **error)
{
    g_autofree char *content = stead_image_store_path(store, digest);
    g_autofree char *target = stead_image_store_boot_folder(store, digest);
    gboolean done = FALSE;
    g_mutex_lock(&store->lock);
    if (content && g_file_test(content, G_FILE_TEST_EXISTS))
        done = stead_boot_folder_take(folder, target, error);
    else
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the image %.12s was removed meanwhile",
                        digest);
    g_mutex_unlock(&store->lock);
    return done;
}

/* With the lock held. Before the content goes, so that whatever a kill leaves is found by that. */
static gboolean remove_boot(SteadImageStore *store, const char *digest, GError **error)
{
    g_autofree char *folder = stead_image_store_boot_folder(store, digest);
    return stead_remove_tree(folder, error);
}

/* With the lock held. */
static gboolean unlink_content(SteadImageStore *store, const char *digest, guint64 *freed,
                               GError **error)
{
    g_autofree char *path = stead_image_store_path(store, digest);
    struct stat st;
    if (path == NULL || g_hash_table_contains(store->pins, digest) || lstat(path, &st) != 0)
        return TRUE;
    if (!remove_boot(store, digest, error))
        return FALSE;
    if (g_unlink(path) != 0)
        return fail_errno(error, errno, "removing", path);
    *freed = (guint64)st.st_blocks * 512;
    return stead_sync(store->content, error);
}

gboolean stead_image_store_remove_digest(SteadImageStore *store, const char *digest, guint64 *freed,
                                         GError **error)
{
    guint64 bytes = 0;
    g_mutex_lock(&store->lock);
    gboolean done = unlink_content(store, digest, &bytes, error);
    g_mutex_unlock(&store->lock);
    if (freed)
        *freed = bytes;
    return done;
}

gboolean stead_image_store_remove(SteadImageStore *store, const SteadImage *image,
                                  GHashTable *in_use, guint64 *freed, GError **error)
{
    if (freed)
        *freed = 0;
    if (image->digest == NULL || (in_use && g_hash_table_contains(in_use, image->digest)))
        return TRUE;
    return stead_image_store_remove_digest(store, image->digest, freed, error);
}

gboolean stead_image_store_withdraw(SteadImageStore *store, const SteadImage *image,
                                    GHashTable *in_use, char **file, GError **error)
{
    *file = NULL;
    if (image->digest == NULL || (in_use && g_hash_table_contains(in_use, image->digest)))
        return TRUE;
    g_autofree char *path = stead_image_store_path(store, image->digest);
    g_autofree char *aside = stead_image_store_stage(store, SUFFIX, NULL, error);
    if (aside == NULL)
        return FALSE;
    g_mutex_lock(&store->lock);
    gboolean pinned = path == NULL || g_hash_table_contains(store->pins, image->digest);
    gboolean booted = pinned || remove_boot(store, image->digest, error);
    int failed = booted && !pinned && rename(path, aside) != 0 ? errno : 0;
    g_mutex_unlock(&store->lock);
    if (pinned || failed || !booted)
        g_unlink(aside);
    if (!booted)
        return FALSE;
    if (failed && failed != ENOENT)
        return fail_errno(error, failed, "removing", path);
    if (!pinned && !failed)
        *file = g_steal_pointer(&aside);
    return TRUE;
}

/* The digest that a file name stands for; NULL for other names. */
static char *digest_of_name(const char *name)
{
    if (!g_str_has_suffix(name, SUFFIX))
        return NULL;
    g_autofree char *digest = g_strndup(name, strlen(name) - strlen(SUFFIX));
    return stead_sha256_hex_is_valid(digest) ? g_steal_pointer(&digest) : NULL;
}

GPtrArray *stead_image_store_orphans(SteadImageStore *store, GHashTable *in_use, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(store->content, 0, error);
    const char *name;
    if (dir == NULL)
        return NULL;
    GPtrArray *orphans = g_ptr_array_new_with_free_func(g_free);
    g_mutex_lock(&store->lock);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *digest = digest_of_name(name);
        if (digest && !g_hash_table_contains(store->pins, digest) &&
            !(in_use && g_hash_table_contains(in_use, digest)))
            g_ptr_array_add(orphans, g_steal_pointer(&digest));
    }
    g_mutex_unlock(&store->lock);
    return orphans;
}

gboolean stead_image_store_verify(SteadImageStore *store, const char *digest,
                                  SteadProgressFunc progress, gpointer data,
                                  GCancellable *cancellable, GError **error)
{
    g_autofree char *path = stead_image_store_path(store, digest);
    SteadDigest found;
    if (path == NULL || !g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND,
                        "Remove the image and pull or import it again.",
                        "the stored file of the image %.12s is gone", digest);
        return FALSE;
    }
    if (!stead_hash_file(path, STEAD_HASH_SHA256, "verifying", progress, data, cancellable, &found,
                         error))
        return FALSE;
    if (strcmp(found.hex, digest) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_VERIFICATION,
                    "The disk may be failing. Remove the image and pull or import it again.",
                    "%s has changed: its SHA-256 is now %s", path, found.hex);
    return FALSE;
}
