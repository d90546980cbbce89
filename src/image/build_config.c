/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree of packages to an image's tree: write files, link and mask units, and take away all
 * that must not be the same in two machines (machine-id, host name, SSH host keys, random seed) or
 * is of no use in an image (packages, lists, logs).
 *
 * The tree is root's, and nothing in it runs meanwhile. Files are replaced by rename, so that a
 * link in the tree is never followed out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"
#include "image/build_parts.h"

typedef struct {
    const char *path; /* in the image */
    const char *target;
} Link;

#define UNITS "/etc/systemd/system/"
#define SYSTEM "/lib/systemd/system/"
#define MASK(unit)                                                                                 \
    {                                                                                              \
        UNITS unit, "/dev/null"                                                                    \
    }

static const Link links[] = {
    {"/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"},
    {"/var/lib/dbus/machine-id", "/etc/machine-id"},
    {UNITS "multi-user.target.wants/systemd-networkd.service", SYSTEM "systemd-networkd.service"},
    {UNITS "sockets.target.wants/systemd-networkd.socket", SYSTEM "systemd-networkd.socket"},
    {UNITS "dbus-org.freedesktop.network1.service", SYSTEM "systemd-networkd.service"},
    {UNITS "network-online.target.wants/systemd-networkd-wait-online.service",
     SYSTEM "systemd-networkd-wait-online.service"},
    /* Nothing on an edge node needs these at boot; each costs a process or more. */
    MASK("e2scrub_reap.service"),
    MASK("grub-common.service"),
    MASK("modprobe@configfs.service"),
    MASK("modprobe@dm_mod.service"),
    MASK("modprobe@drm.service"),
    MASK("modprobe@efi_pstore.service"),
    MASK("modprobe@fuse.service"),
    MASK("modprobe@loop.service"),
    MASK("proc-sys-fs-binfmt_misc.automount"),
    MASK("sys-fs-fuse-connections.mount"),
    MASK("sys-kernel-config.mount"),
    MASK("sys-kernel-debug.mount"),
    MASK("sys-kernel-tracing.mount"),
    MASK("systemd-binfmt.service"),
    MASK("systemd-pstore.service"),
};

/* Files and folders that go; a name may end in "*", and a final "/" keeps the folder itself. */
static const char *const removals[] = {
    "/etc/apt/apt.conf.d/99mmdebstrap",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/*",
    "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/ssh/ssh_host_*",
    "/etc/systemd/system/cloud-init.target.wants/cloud-init-hotplugd.socket",
    "/etc/systemd/system/multi-user.target.wants/e2scrub_reap.service",
    "/etc/systemd/system/timers.target.wants/*",
    "/var/cache/apt/*",
    "/var/cache/debconf/*-old",
    "/var/cache/ldconfig/*",
    "/var/lib/apt/lists/*",
    "/var/lib/dbus/machine-id",
    "/var/lib/dpkg/*-old",
    "/var/lib/systemd/random-seed",
    "/var/log/apt/*",
    "/var/log/*.log",
    "/var/log/bootstrap.log",
    "/tmp/*",
    "/run/*",
};

/* GRUB's modules, for the grub.cfg that update-grub will write: from, to. */
static const char *const grub_modules[][2] = {
    {"/usr/lib/grub/i386-pc", "/boot/grub/i386-pc"},
    {"/usr/lib/grub/x86_64-efi", "/boot/grub/x86_64-efi"},
};

static gboolean fail_errno(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* --- Files --- */

char *stead_build_expand(const SteadBuild *build, const char *text)
{
    g_autofree char *esp =
        g_strdup_printf("%04X-%04X", build->esp_id >> 16, build->esp_id & 0xffff);
    const char *const values[][2] = {
        {"@UUID@", build->uuid},
        {"@ESP@", esp},
        {"@KERNEL@", build->kernel},
        {"@CODENAME@", build->release->codename},
    };
    g_autoptr(GString) out = g_string_new(text);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        if (values[i][1])
            g_string_replace(out, values[i][0], values[i][1], 0);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

gboolean stead_build_write_files(const SteadBuild *build, const SteadBuildFile *files,
                                 GError **error)
{
    for (; files->path; files++) {
        g_autofree char *path = g_build_filename(build->root, files->path, NULL);
        g_autofree char *folder = g_path_get_dirname(path);
        g_autofree char *text = stead_build_expand(build, files->text);
        if (!stead_make_dir(folder, 0755, error) ||
            !g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, files->mode,
                                      error))
            return FALSE;
        if (chmod(path, (mode_t)files->mode) != 0)
            return fail_errno(error, "setting the mode of", path);
    }
    return TRUE;
}

/* --- Links --- */

static gboolean make_links(const SteadBuild *build, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *path = g_build_filename(build->root, links[i].path, NULL);
        g_autofree char *folder = g_path_get_dirname(path);
        if (!stead_make_dir(folder, 0755, error) || !stead_remove_tree(path, error))
            return FALSE;
        if (symlink(links[i].target, path) != 0)
            return fail_errno(error, "linking", path);
    }
    return TRUE;
}

/* --- Removals --- */

static gboolean remove_matching(const char *pattern, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(pattern);
    g_autofree char *glob = g_path_get_basename(pattern);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_pattern_match_simple(glob, name) && !stead_remove_tree(path, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean remove_traces(const SteadBuild *build, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(removals); i++) {
        g_autofree char *pattern = g_build_filename(build->root, removals[i], NULL);
        if (!remove_matching(pattern, error))
            return FALSE;
    }
    return TRUE;
}

/* --- The kernel and GRUB --- */

char *stead_build_find_kernel(const SteadBuild *build, GError **error)
{
    static const char prefix[] = "vmlinuz-";
    g_autofree char *boot = g_build_filename(build->root, "boot", NULL);
    g_autoptr(GDir) dir = g_dir_open(boot, 0, error);
    if (dir == NULL)
        return NULL;
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir))
        if (g_str_has_prefix(name, prefix))
            return g_strdup(name + strlen(prefix));
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "the packages brought no kernel");
    return NULL;
}

/* Copies, no links: grub-install in the guest writes into its copies. */
static gboolean copy_modules(const SteadBuild *build, const char *from, const char *to,
                             GError **error)
{
    g_autofree char *source = g_build_filename(build->root, from, NULL);
    g_autofree char *target = g_build_filename(build->root, to, NULL);
    if (!stead_make_dir(target, 0755, error))
        return FALSE;
    g_autoptr(GDir) dir = g_dir_open(source, 0, error);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        if (!g_str_has_suffix(name, ".mod") && !g_str_has_suffix(name, ".lst"))
            continue;
        g_autoptr(GFile) file = g_file_new_build_filename(source, name, NULL);
        g_autoptr(GFile) copy = g_file_new_build_filename(target, name, NULL);
        if (!g_file_copy(file, copy, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, error))
            return FALSE;
    }
    return dir != NULL;
}

/* Tells systemd that /etc and /var are as new as /usr, so that it does not rebuild caches of users,
 * libraries and hardware at first boot. */
static gboolean mark_updated(const SteadBuild *build, GError **error)
{
    static const char *const stamps[] = {"etc/.updated", "var/.updated"};
    for (gsize i = 0; i < G_N_ELEMENTS(stamps); i++) {
        g_autofree char *path = g_build_filename(build->root, stamps[i], NULL);
        if (!g_file_set_contents(path, "", 0, error))
            return FALSE;
        if (utimensat(AT_FDCWD, path, NULL, 0) != 0)
            return fail_errno(error, "dating", path);
    }
    return TRUE;
}

gboolean stead_build_configure(SteadBuild *build, GError **error)
{
    build->kernel = stead_build_find_kernel(build, error);
    if (build->kernel == NULL || !remove_traces(build, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(grub_modules); i++)
        if (!copy_modules(build, grub_modules[i][0], grub_modules[i][1], error))
            return FALSE;
    g_autofree char *efi = g_build_filename(build->root, "boot/efi", NULL);
    return stead_make_dir(efi, 0755, error) &&
           stead_build_write_files(build, stead_build_files_after, error) &&
           make_links(build, error) && mark_updated(build, error);
}
