/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of fcntl(2), and the set of those that this process has; see filelock.h. */
#include "base/filelock.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>

#include "base/cleanup.h"
#include "base/error.h"

struct _SteadFileLock {
    char *path;
    int fd;
};

static GMutex mutex;
static GHashTable *held; /* paths, of the locks that have them; under `mutex` */

static gboolean claim(SteadFileLock *lock)
{
    g_mutex_lock(&mutex);
    if (held == NULL)
        held = g_hash_table_new(g_str_hash, g_str_equal);
    gboolean is_free = !g_hash_table_contains(held, lock->path);
    if (is_free)
        g_hash_table_add(held, lock->path);
    g_mutex_unlock(&mutex);
    return is_free;
}

static gboolean open_and_lock(SteadFileLock *lock, GError **error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->fd < 0) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "opening %s: %s",
                    lock->path, g_strerror(errno));
        return FALSE;
    }
    if (fcntl(lock->fd, F_SETLK, &whole) == 0)
        return TRUE;
    if (errno == EACCES || errno == EAGAIN)
        stead_set_error(error, STEAD_ERROR_BUSY, NULL, "another process has %s", lock->path);
    else
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "locking %s: %s",
                    lock->path, g_strerror(errno));
    return FALSE;
}

SteadFileLock *stead_file_lock(const char *path, GError **error)
{
    SteadFileLock *lock = g_new0(SteadFileLock, 1);
    lock->fd = -1;
    lock->path = g_canonicalize_filename(path, NULL);
    if (!claim(lock)) {
        stead_set_error(error, STEAD_ERROR_BUSY, NULL, "%s is in use already", lock->path);
        g_free(lock->path);
        g_free(lock);
        return NULL;
    }
    if (open_and_lock(lock, error))
        return lock;
    stead_file_lock_free(lock);
    return NULL;
}

int stead_file_lock_fd(const SteadFileLock *lock)
{
    return lock->fd;
}

void stead_file_lock_free(SteadFileLock *lock)
{
    if (lock == NULL)
        return;
    stead_clear_fd(&lock->fd);
    g_mutex_lock(&mutex);
    g_hash_table_remove(held, lock->path);
    g_mutex_unlock(&mutex);
    g_free(lock->path);
    g_free(lock);
}
