/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages and lists that outlive a build. A release's folder in the cache holds
 *
 *     archives/   the packages of the last complete build
 *     lists/      apt's lists as they were then
 *     complete    what that build was made of; there is no such file while the two above change
 *
 * Files go in and out by hard links where that is possible: apt and dpkg replace files and never
 * write into them. With `complete` in place and naming the same sources and packages, a build needs
 * no network.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "image/build_parts.h"

#define TREE_ARCHIVES "var/cache/apt/archives"
#define TREE_LISTS "var/lib/apt/lists"
#define MARKER "complete"

gboolean stead_build_link_or_copy(const char *from, const char *to, GError **error)
{
    if (link(from, to) == 0 || errno == EEXIST)
        return TRUE;
    stead_autounlink partial = g_strconcat(to, ".partial", NULL);
    g_autoptr(GFile) source = g_file_new_for_path(from);
    g_autoptr(GFile) target = g_file_new_for_path(partial);
    if (!g_file_copy(source, target, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, error))
        return FALSE;
    if (g_rename(partial, to) == 0)
        return TRUE;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "renaming to %s: %s", to,
                g_strerror(errno));
    return FALSE;
}

/* Links or copies the regular files of one folder to another, which is made. */
static gboolean transfer(const char *from, const char *to, GError **error)
{
    if (!stead_make_dir(to, 0755, error))
        return FALSE;
    g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        g_autofree char *source = g_build_filename(from, name, NULL);
        g_autofree char *target = g_build_filename(to, name, NULL);
        if (strcmp(name, "lock") == 0 || !g_file_test(source, G_FILE_TEST_IS_REGULAR))
            continue;
        if (!stead_build_link_or_copy(source, target, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_build_cache_seed(const SteadBuild *build, gboolean lists, GError **error)
{
    static const char *const folders[][2] = {{"archives", TREE_ARCHIVES}, {"lists", TREE_LISTS}};
    for (gsize i = 0; i < (lists ? 2 : 1); i++) {
        g_autofree char *from = g_build_filename(build->cache, folders[i][0], NULL);
        g_autofree char *to = g_build_filename(build->root, folders[i][1], NULL);
        if (!transfer(from, to, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_build_cache_is_complete(const SteadBuild *build, const char *key)
{
    g_autofree char *marker = g_build_filename(build->cache, MARKER, NULL);
    g_autofree char *text = NULL;
    return g_file_get_contents(marker, &text, NULL, NULL) && strcmp(text, key) == 0;
}

/* Replaces a folder of the cache by what the tree has. */
static gboolean replace(const SteadBuild *build, const char *tree, const char *folder,
                        GError **error)
{
    g_autofree char *from = g_build_filename(build->root, tree, NULL);
    g_autofree char *to = g_build_filename(build->cache, folder, NULL);
    g_autofree char *fresh = g_strconcat(to, ".new", NULL);
    if (!stead_remove_tree(fresh, error) || !transfer(from, fresh, error) ||
        !stead_remove_tree(to, error))
        return FALSE;
    if (g_rename(fresh, to) == 0)
        return TRUE;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "renaming to %s: %s", to,
                g_strerror(errno));
    return FALSE;
}

gboolean stead_build_cache_store(const SteadBuild *build, const char *key, GError **error)
{
    g_autofree char *marker = g_build_filename(build->cache, MARKER, NULL);
    return stead_remove_tree(marker, error) && replace(build, TREE_ARCHIVES, "archives", error) &&
           replace(build, TREE_LISTS, "lists", error) &&
           g_file_set_contents(marker, key, -1, error);
}
