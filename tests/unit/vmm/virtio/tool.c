/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/wait.h>

#define LEAKS 3 /* qemu-img check: and nothing worse, as after any cut */

Folder *folder_new(void)
{
    Folder *folder = g_new0(Folder, 1);
    folder->path = g_dir_make_tmp("vmm-disk-XXXXXX", NULL);
    g_assert_nonnull(folder->path);
    return folder;
}

void folder_free(Folder *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder->path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = folder_path(folder, name);
        g_unlink(path);
    }
    g_rmdir(folder->path);
    g_free(folder->path);
    g_free(folder);
}

char *folder_path(const Folder *folder, const char *name)
{
    return g_build_filename(folder->path, name, NULL);
}

gboolean has_qemu_img(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-img");
    if (!path)
        g_test_skip("there is no qemu-img");
    return path != NULL;
}

int run(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_autofree char *out = NULL, *complaint = NULL;
    int status = -1;
    g_autoptr(GError) error = NULL;
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &complaint, &status,
                 &error);
    g_assert_no_error(error);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code != 0 && code != LEAKS)
        g_test_message("%s: %d: %s%s", line, code, out, complaint);
    return code;
}

int open_file(const char *path, int flags)
{
    int fd = g_open(path, flags | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}
