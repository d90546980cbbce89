/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that are whole or did not happen. */
#include "image/boot_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/paths.h"

#define CONTENT_SUFFIX ".qcow2"

static gboolean fail_errno(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

gboolean stead_boot_folders_sweep(const char *boot, const char *content, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(boot, 0, error);
    const char *name;
    if (dir == NULL)
        return FALSE;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *folder = g_build_filename(boot, name, NULL);
        g_autofree char *file = g_strconcat(name, CONTENT_SUFFIX, NULL);
        g_autofree char *image = g_build_filename(content, file, NULL);
        if (!g_file_test(image, G_FILE_TEST_EXISTS) && !stead_remove_tree(folder, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_boot_folder_take(const char *folder, const char *target, GError **error)
{
    if (g_file_test(target, G_FILE_TEST_EXISTS))
        return stead_remove_tree(folder, error);
    if (g_rename(folder, target) != 0)
        return fail_errno(error, "storing", target);
    g_autofree char *parent = g_path_get_dirname(target);
    return stead_sync(parent, error);
}
