/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies keep holes. Where the file system can share blocks (FICLONE) a copy takes no time and no
 * space, else the kernel copies the stretches that hold data.
 */
#include "storage/prepared.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/subprocess.h"
#include "storage/pool.h"

static gboolean fail(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* One stretch of data. The kernel copies where the file system lets it, else we do. */
static gboolean copy_range(int from, int to, off_t at, off_t end)
{
    while (at < end) {
        off_t in = at, out = at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (n <= 0 && (n == 0 || errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)) {
            g_autofree guint8 *bytes = g_malloc(1 << 20);
            n = pread(from, bytes, MIN((size_t)(end - at), (size_t)1 << 20), at);
            if (n == 0)
                errno = EIO;
            if (n > 0 && pwrite(to, bytes, (size_t)n, at) != n)
                return FALSE;
        }
        if (n <= 0)
            return FALSE;
        at += n;
    }
    return TRUE;
}

static gboolean copy_data(int from, int to)
{
    struct stat st;
    if (fstat(from, &st) != 0 || ftruncate(to, st.st_size) != 0)
        return FALSE;
    for (off_t at = 0; at < st.st_size;) {
        off_t begin = lseek(from, at, SEEK_DATA);
        if (begin < 0)
            return errno == ENXIO;
        off_t end = lseek(from, begin, SEEK_HOLE);
        if (end < 0 || !copy_range(from, to, begin, end))
            return FALSE;
        at = end;
    }
    return TRUE;
}

gboolean stead_disk_file_clone(const char *from, const char *to, GError **error)
{
    stead_autofd source = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (source < 0)
        return fail(error, "opening", from);
    stead_autofd target = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (target < 0)
        return fail(error, "making", to);
    if (ioctl(target, FICLONE, source) != 0 && !copy_data(source, target))
        return fail(error, "copying to", to);
    return TRUE;
}

SteadDisk *stead_disk_copy_prepared(const SteadPaths *paths, const char *stem, const char *from,
                                    guint64 capacity, GError **error)
{
    g_autofree char *folder = stead_pool_default_path(paths);
    g_autofree char *name = g_strconcat(stem, ".qcow2", NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    if (!stead_disk_file_clone(from, path, error))
        return NULL;
    SteadDisk *disk = g_new0(SteadDisk, 1);
    disk->path = g_steal_pointer(&path);
    disk->format = g_strdup("qcow2");
    disk->capacity = capacity;
    return disk;
}

gboolean stead_disk_prepare_overlay(const char *path, const char *backing, guint64 size,
                                    GError **error)
{
    g_autofree char *bytes = size ? g_strdup_printf("%" G_GUINT64_FORMAT, size) : NULL;
    const char *const argv[] = {"qemu-img", "create", "-q",    "-f", "qcow2", "-b",
                                backing,    "-F",     "qcow2", path, bytes,   NULL};
    return stead_run(argv, NULL, NULL, NULL, error);
}
