/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny image: Debian's cloud kernel with its modules, busybox for everything else, and nothing
 * that has to be set up. The packages are only unpacked; what is of use in them moves to a tree of
 * its own. The initramfs is a plain cpio archive of a few modules, since there is nothing to be won
 * by packing what a slow, emulated processor has to unpack.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "image/boot_parts.h"
#include "image/build_parts.h"

#define PACKAGES_FOLDER "packages"
#define MODULES_LIST "lib/modules/stead.modules"
#define MODULES_MAX 64 /* GUEST_MODULES_MAX of the agent */
#define APPLETS_MAX 1000

static gboolean fail_errno(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* --- Modules --- */

/* "…/virtio_net.ko.xz" is the module virtio_net, also as virtio-net. */
static gboolean is_module(const char *path, const char *name)
{
    g_autofree char *file = g_path_get_basename(path);
    char *end = strstr(file, ".ko");
    if (end == NULL)
        return FALSE;
    *end = '\0';
    g_autofree char *wanted = g_strdelimit(g_strdup(name), "-", '_');
    return strcmp(g_strdelimit(file, "-", '_'), wanted) == 0;
}

static void add_once(GPtrArray *order, const char *path)
{
    for (guint i = 0; i < order->len; i++)
        if (strcmp(order->pdata[i], path) == 0)
            return;
    if (*path && order->len < MODULES_MAX)
        g_ptr_array_add(order, g_strdup(path));
}

/* "FILE: NEEDED NEEDED …", of which each may need those that follow it. */
static void add_line(GPtrArray *order, const char *line)
{
    g_auto(GStrv) sides = g_strsplit(line, ":", 2);
    g_auto(GStrv) needed = g_strsplit(sides[1], " ", -1);
    for (guint i = g_strv_length(needed); i > 0; i--)
        add_once(order, needed[i - 1]);
    add_once(order, sides[0]);
}

char **stead_build_module_order(const char *modules_dep, const char *const *wanted)
{
    GPtrArray *order = g_ptr_array_new();
    g_auto(GStrv) lines = g_strsplit(modules_dep, "\n", -1);
    for (; *wanted; wanted++)
        for (char **line = lines; *line; line++) {
            g_autofree char *file = g_strndup(*line, strcspn(*line, ":"));
            if (strchr(*line, ':') && is_module(file, *wanted))
                add_line(order, *line);
        }
    g_ptr_array_add(order, NULL);
    return (char **)g_ptr_array_free(order, FALSE);
}

static gboolean find_modules(const SteadBuild *build, char **folder, char ***order, GError **error)
{
    g_autofree char *text = NULL;
    *folder = g_build_filename(build->root, "lib/modules", build->kernel, NULL);
    g_autofree char *path = g_build_filename(*folder, "modules.dep", NULL);
    if (!g_file_get_contents(path, &text, NULL, error))
        return FALSE;
    *order = stead_build_module_order(text, stead_build_tiny_modules);
    return TRUE;
}

/* --- The initramfs --- */

static const SteadCpioEntry initramfs_folders[] = {
    {"dev", S_IFDIR | 0755, NULL, 0},
    {"proc", S_IFDIR | 0755, NULL, 0},
    {"sys", S_IFDIR | 0755, NULL, 0},
    {"run", S_IFDIR | 0755, NULL, 0},
    {"lib", S_IFDIR | 0755, NULL, 0},
    {"lib/modules", S_IFDIR | 0755, NULL, 0},
    {"init", S_IFLNK | 0777, "/stead/agent", 12},
};

/* An entry and its name and content for each module; all owned by `kept`. */
static gboolean add_modules(GArray *entries, GPtrArray *kept, GString *list, const char *folder,
                            char **order, GError **error)
{
    for (; *order; order++) {
        g_autofree char *path = g_build_filename(folder, *order, NULL);
        g_autofree char *file = g_path_get_basename(path);
        char *name = g_strconcat("lib/modules/", file, NULL);
        char *bytes = NULL;
        gsize size;
        g_ptr_array_add(kept, name);
        if (!g_file_get_contents(path, &bytes, &size, error))
            return FALSE;
        g_ptr_array_add(kept, bytes);
        const SteadCpioEntry entry = {name, S_IFREG | 0644, bytes, size};
        g_array_append_val(entries, entry);
        g_string_append_printf(list, "/%s\n", name);
    }
    return TRUE;
}

static gboolean make_initramfs(const SteadBuild *build, GError **error)
{
    g_autofree char *folder = NULL;
    g_auto(GStrv) order = NULL;
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(SteadCpioEntry));
    g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) list = g_string_new(NULL);
    g_array_append_vals(entries, initramfs_folders, G_N_ELEMENTS(initramfs_folders));
    if (!find_modules(build, &folder, &order, error) ||
        !add_modules(entries, kept, list, folder, order, error))
        return FALSE;
    const SteadCpioEntry names = {MODULES_LIST, S_IFREG | 0644, list->str, list->len};
    g_array_append_val(entries, names);
    g_autoptr(GBytes) archive = stead_cpio_new((const SteadCpioEntry *)entries->data, entries->len);
    g_autofree char *name = g_strconcat("initrd.img-", build->kernel, NULL);
    g_autofree char *path = g_build_filename(build->root, "boot", name, NULL);
    return g_file_set_contents(path, g_bytes_get_data(archive, NULL),
                               (gssize)g_bytes_get_size(archive), error);
}

/* --- Busybox --- */

static gboolean applet_is_wanted(const char *path)
{
    /* Debian's package tools are not there for them to work with, and the agent is the init. */
    static const char *const others[] = {
        "linuxrc", "bin/busybox", "bin/rpm", "usr/bin/dpkg", "usr/bin/dpkg-deb", "sbin/init", NULL};
    static const char *const folders[] = {"bin/", "sbin/", "usr/bin/", "usr/sbin/"};
    if (g_strv_contains(others, path) || strstr(path, ".."))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++)
        if (g_str_has_prefix(path, folders[i]))
            return path[strlen(folders[i])] && !strchr(path + strlen(folders[i]), '/');
    return FALSE;
}

char **stead_build_applets(const char *answer)
{
    GPtrArray *applets = g_ptr_array_new();
    g_auto(GStrv) lines = g_strsplit(answer, "\n", -1);
    for (char **line = lines; *line && applets->len < APPLETS_MAX; line++)
        if (applet_is_wanted(*line))
            g_ptr_array_add(applets, g_strdup(*line));
    g_ptr_array_add(applets, NULL);
    return (char **)g_ptr_array_free(applets, FALSE);
}

static gboolean link_applets(const SteadBuild *build, GError **error)
{
    const char *const argv[] = {"chroot", build->root, "/bin/busybox", "--list-full", NULL};
    g_autofree char *answer = NULL;
    if (!stead_run(argv, NULL, build->cancellable, &answer, error))
        return FALSE;
    g_auto(GStrv) applets = stead_build_applets(answer);
    for (char **applet = applets; *applet; applet++) {
        g_autofree char *path = g_build_filename(build->root, *applet, NULL);
        if (symlink("/bin/busybox", path) != 0)
            return fail_errno(error, "linking", path);
    }
    return TRUE;
}

/* --- The tree --- */

/* What moves from the packages' tree to the image's: the first of two places that is there. */
static const struct {
    const char *from, *or_from, *to;
} taken[] = {
    {"bin/busybox", "usr/bin/busybox", "bin/busybox"},
    {"lib/modules/@KERNEL@", "usr/lib/modules/@KERNEL@", "lib/modules/@KERNEL@"},
    {"boot/vmlinuz-@KERNEL@", NULL, "boot/vmlinuz-@KERNEL@"},
    {"boot/config-@KERNEL@", NULL, "boot/config-@KERNEL@"},
    {"usr/share/doc/busybox-static/copyright", NULL, "usr/share/doc/busybox-static/copyright"},
    {"usr/share/doc/linux-image-@KERNEL@/copyright", NULL, "usr/share/doc/linux/copyright"},
};

static gboolean take_one(const SteadBuild *build, const char *packages, gsize i, GError **error)
{
    g_autofree char *from = stead_build_expand(build, taken[i].from);
    g_autofree char *to = stead_build_expand(build, taken[i].to);
    g_autofree char *source = g_build_filename(packages, from, NULL);
    g_autofree char *target = g_build_filename(build->root, to, NULL);
    g_autofree char *folder = g_path_get_dirname(target);
    if (!g_file_test(source, G_FILE_TEST_EXISTS) && taken[i].or_from) {
        g_autofree char *other = stead_build_expand(build, taken[i].or_from);
        g_free(g_steal_pointer(&source));
        source = g_build_filename(packages, other, NULL);
    }
    if (!stead_make_dir(folder, 0755, error))
        return FALSE;
    return g_rename(source, target) == 0 ? TRUE : fail_errno(error, "taking", source);
}

static gboolean make_folders(const SteadBuild *build, GError **error)
{
    static const struct {
        const char *path;
        mode_t mode;
    } modes[] = {{"root", 0700}, {"tmp", 01777}, {"var/tmp", 01777}};
    for (const char *const *folder = stead_build_tiny_folders; *folder; folder++) {
        g_autofree char *path = g_build_filename(build->root, *folder, NULL);
        if (!stead_make_dir(path, 0755, error))
            return FALSE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *path = g_build_filename(build->root, modes[i].path, NULL);
        if (chmod(path, modes[i].mode) != 0)
            return fail_errno(error, "opening up", path);
    }
    return TRUE;
}

static gboolean make_links(const SteadBuild *build, GError **error)
{
    static const char *const links[][2] = {
        {"var/run", "/run"}, {"var/lock", "/run"}, {"etc/mtab", "/proc/self/mounts"}};
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *path = g_build_filename(build->root, links[i][0], NULL);
        if (symlink(links[i][1], path) != 0)
            return fail_errno(error, "linking", path);
    }
    return TRUE;
}

/* Where /usr is merged, packages rely on links that none of them brings. */
static gboolean merge_usr(const SteadBuild *build, GError **error)
{
    static const char *const names[] = {"bin", "sbin", "lib", "lib64"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(build->root, names[i], NULL);
        g_autofree char *target = g_build_filename("usr", names[i], NULL);
        if (symlink(target, path) != 0 && errno != EEXIST)
            return fail_errno(error, "linking", path);
    }
    return TRUE;
}

static gboolean list_needs(const SteadBuild *build, GError **error)
{
    const char *const argv[] = {"chroot", build->root, "/sbin/depmod", build->kernel, NULL};
    return merge_usr(build, error) && stead_run(argv, NULL, build->cancellable, NULL, error);
}

gboolean stead_build_tiny_tree(SteadBuild *build, GError **error)
{
    g_autofree char *packages = g_build_filename(build->options->work_dir, PACKAGES_FOLDER, NULL);
    build->kernel = stead_build_find_kernel(build, error);
    if (build->kernel == NULL || !list_needs(build, error))
        return FALSE;
    if (g_rename(build->root, packages) != 0)
        return fail_errno(error, "renaming", build->root);
    if (!make_folders(build, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(taken); i++)
        if (!take_one(build, packages, i, error))
            return FALSE;
    return link_applets(build, error) && make_links(build, error) &&
           stead_build_write_files(build, stead_build_tiny_files, error) &&
           make_initramfs(build, error);
}

gboolean stead_build_tiny_disk(SteadBuild *build, GError **error)
{
    return stead_build_make_raw(build, error) &&
           stead_build_make_ext4(build, 0, build->disk_size / STEAD_BUILD_BLOCK, error) &&
           stead_build_convert(build, error);
}
