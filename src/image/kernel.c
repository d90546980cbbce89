/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that a user brings along is copied when the instance is made: what it boots next year is
 * what was meant today, and QEMU's user may read it.
 */
#include "image/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"
#include "storage/prepared.h"

static gboolean is_usable(const char *path, GError **error)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "%s: %s", path, g_strerror(errno));
        return FALSE;
    }
    if (S_ISREG(st.st_mode) && st.st_size > 0 && (guint64)st.st_size <= STEAD_KERNEL_MAX)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s cannot be a kernel or an initramfs: %s",
                    path,
                    !S_ISREG(st.st_mode) ? "it is no regular file"
                    : st.st_size == 0    ? "it is empty"
                                         : "it is too large");
    return FALSE;
}

gboolean stead_kernel_take(const char *path, const char *folder, const char *name, GError **error)
{
    g_autofree char *copy = g_build_filename(folder, name, NULL);
    g_autofree char *real = realpath(path, NULL); /* /vmlinuz is a link as a rule */
    if (!is_usable(path, error) || !stead_disk_file_clone(real ? real : path, copy, error))
        return FALSE;
    if (chmod(copy, 0644) == 0)
        return stead_sync(copy, error);
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s: %s", copy,
                g_strerror(saved));
    return FALSE;
}
