/* SPDX-License-Identifier: Apache-2.0 */
/* Free space of a file system, for callers that are about to write much. */
#include "image/space.h"

#include <sys/statvfs.h>

#include "base/error.h"
#include "base/units.h"

gboolean stead_space_check(int fd, guint64 needed, const char *what, GError **error)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) != 0)
        return TRUE; /* unknown: the write itself will tell */
    guint64 available = (guint64)fs.f_bavail * fs.f_frsize;
    guint64 usable = available > STEAD_SPACE_RESERVE ? available - STEAD_SPACE_RESERVE : 0;
    if (needed <= usable)
        return TRUE;
    g_autofree char *want = stead_format_size(needed);
    g_autofree char *have = stead_format_size(usable);
    stead_set_error(error, STEAD_ERROR_EXHAUSTED,
                    "Remove images that nothing uses (stead image ls, stead image rm), or make "
                    "room on the disk that holds stead's state.",
                    "%s needs %s, and %s are free", what, want, have);
    return FALSE;
}
