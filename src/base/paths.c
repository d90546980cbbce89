/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths and the three operations on whole folders that GLib lacks. Removal walks by descriptors
 * (openat, unlinkat, O_NOFOLLOW), so that a link planted inside a tree cannot lead it outside.
 */
#include "base/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Below the run folder the longest socket is /instances/<uuid>/console.sock. */
#define LONGEST_SOCKET_SUFFIX 64
/* Deep enough for anything stead makes; a deeper tree is refused rather than followed. */
#define MAX_DEPTH 64
/* Of mkstemp(3): a dot and six characters. */
#define TEMPORARY_SUFFIX 7

SteadPaths *stead_paths_new_for_root(const char *root, GError **error)
{
    g_autoptr(SteadPaths) paths = g_new0(SteadPaths, 1);
    if (root == NULL || *root == '\0') {
        paths->state = g_strdup("/var/lib/stead");
        paths->run = g_strdup("/run/stead");
        paths->tag = g_strdup("");
    } else {
        if (!g_path_is_absolute(root)) {
            stead_set_error(error, STEAD_ERROR_INVALID, "Give STEAD_ROOT an absolute path.",
                            "STEAD_ROOT is '%s', which is not an absolute path", root);
            return NULL;
        }
        g_autofree char *canonical = g_canonicalize_filename(root, "/");
        g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, canonical, -1);
        paths->state = g_build_filename(canonical, "lib", NULL);
        paths->run = g_build_filename(canonical, "run", NULL);
        paths->tag = g_strdup_printf("-%.6s", digest);
    }
    if (strlen(paths->run) + LONGEST_SOCKET_SUFFIX > sizeof((struct sockaddr_un *)0)->sun_path) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Choose a shorter STEAD_ROOT.",
                        "%s is too long a path to hold Unix sockets", paths->run);
        return NULL;
    }
    paths->socket = g_build_filename(paths->run, "stead.sock", NULL);
    return g_steal_pointer(&paths);
}

SteadPaths *stead_paths_new(GError **error)
{
    return stead_paths_new_for_root(g_getenv("STEAD_ROOT"), error);
}

void stead_paths_free(SteadPaths *paths)
{
    if (paths == NULL)
        return;
    g_free(paths->state);
    g_free(paths->run);
    g_free(paths->socket);
    g_free(paths->tag);
    g_free(paths);
}

static gboolean fail_errno(GError **error, int saved, const char *doing, const char *path)
{
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

gboolean stead_make_dir(const char *path, int mode, GError **error)
{
    if (g_mkdir_with_parents(path, mode) != 0)
        return fail_errno(error, errno, "making the folder", path);
    return TRUE;
}

GDir *stead_open_dir(const char *path, GError **error)
{
    g_autoptr(GError) why = NULL;
    GDir *dir = g_dir_open(path, 0, &why);
    if (why && !g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_propagate_error(error, g_steal_pointer(&why));
    return dir;
}

static int remove_at(int parent, const char *name, int depth);

static int remove_entries(int fd, int depth)
{
    DIR *dir = fdopendir(fd); /* takes fd over */
    if (dir == NULL) {
        int saved = errno;
        close(fd);
        return -saved;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = remove_at(dirfd(dir), entry->d_name, depth + 1);
    closedir(dir);
    return result;
}

static int remove_at(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth > MAX_DEPTH)
        return -ELOOP;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int result = remove_entries(fd, depth);
    if (result < 0)
        return result;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

gboolean stead_remove_tree(const char *path, GError **error)
{
    int result = remove_at(AT_FDCWD, path, 0);
    return result == 0 ? TRUE : fail_errno(error, -result, "removing", path);
}

/* ".XXXXXX", as mkstemp(3) fills it in. */
static gboolean is_temporary(const char *name)
{
    gsize length = strlen(name);
    if (length <= TEMPORARY_SUFFIX || name[length - TEMPORARY_SUFFIX] != '.')
        return FALSE;
    for (const char *c = name + length - TEMPORARY_SUFFIX + 1; *c; c++)
        if (!g_ascii_isalnum(*c))
            return FALSE;
    return TRUE;
}

gboolean stead_sweep_temporaries(const char *path, gint64 before, GError **error)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? TRUE : fail_errno(error, errno, "reading", path);
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(dir)) != NULL) {
        struct stat st;
        if (is_temporary(entry->d_name) &&
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtim.tv_sec * G_USEC_PER_SEC + st.st_mtim.tv_nsec / 1000 < before)
            result = remove_at(dirfd(dir), entry->d_name, 1);
    }
    closedir(dir);
    return result == 0 ? TRUE : fail_errno(error, -result, "sweeping", path);
}

static gboolean write_all(int fd, const char *bytes, gsize length)
{
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FALSE;
        bytes += n;
        length -= (gsize)n;
    }
    return TRUE;
}

gboolean stead_write_file(const char *path, const char *bytes, gssize length, int mode,
                          GError **error)
{
    gsize size = length < 0 ? strlen(bytes) : (gsize)length;
    stead_autounlink temporary = g_strdup_printf("%s.XXXXXX", path);
    stead_autofd fd = g_mkstemp_full(temporary, O_RDWR | O_CLOEXEC, mode);
    if (fd < 0) {
        int saved = errno;
        g_clear_pointer(&temporary, g_free);
        return fail_errno(error, saved, "writing", path);
    }
    if (!write_all(fd, bytes, size) || fsync(fd) != 0 || g_rename(temporary, path) != 0)
        return fail_errno(error, errno, "writing", path);
    g_clear_pointer(&temporary, g_free);

    g_autofree char *folder = g_path_get_dirname(path);
    return stead_sync(folder, error);
}

gboolean stead_sync(const char *path, GError **error)
{
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 && fsync(fd) == 0 ? TRUE : fail_errno(error, errno, "syncing", path);
}

gboolean stead_sync_folder(const char *path, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    g_autoptr(GDir) dir = g_dir_open(path, 0, error);
    gboolean done = dir != NULL;
    for (const char *name; done && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        done = !g_file_test(file, G_FILE_TEST_IS_REGULAR) || stead_sync(file, error);
    }
    return done && stead_sync(path, error) && stead_sync(parent, error);
}

guint64 stead_folder_size(const char *path)
{
    guint64 size = 0;
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir)) != NULL;) {
        struct stat st;
        g_autofree char *file = g_build_filename(path, name, NULL);
        if (stat(file, &st) == 0)
            size += (guint64)st.st_blocks * 512;
    }
    return size;
}
