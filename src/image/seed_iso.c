/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ISO image of a seed. xorriso makes it from a folder of its own beside the target; all dates
 * in it are fixed, so that equal seeds are equal files. It may hold password hashes, so folder and
 * file are readable to root alone until libvirt hands the file to QEMU.
 */
#include "image/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"

/* The date of everything in a seed: 2020-01-01 00:00:00 UTC. xorriso takes the dates of files from
 * the files, and its own from the environment. */
#define SEED_EPOCH 1577836800

static gboolean set_date(const char *path, GError **error)
{
    const struct timespec dates[2] = {{.tv_sec = SEED_EPOCH}, {.tv_sec = SEED_EPOCH}};
    if (utimensat(AT_FDCWD, path, dates, 0) == 0)
        return TRUE;
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "dating %s: %s", path,
                g_strerror(saved));
    return FALSE;
}

static gboolean write_one(const char *folder, const char *name, const char *text, GError **error)
{
    if (text == NULL)
        return TRUE;
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, error) &&
           set_date(path, error);
}

static gboolean write_files(const SteadSeedFiles *files, const char *folder, GError **error)
{
    return write_one(folder, "meta-data", files->meta_data, error) &&
           write_one(folder, "user-data", files->user_data, error) &&
           write_one(folder, "vendor-data", files->vendor_data, error) &&
           write_one(folder, "network-config", files->network_config, error) &&
           set_date(folder, error);
}

static gboolean run_xorriso(const char *folder, const char *output, GError **error)
{
    const char *const argv[] = {"xorriso", "-as", "mkisofs", "-quiet", "-V",   "cidata",
                                "-J",      "-r",  "-o",      output,   folder, NULL};
    static const char *const environment[] = {"SOURCE_DATE_EPOCH=" G_STRINGIFY(SEED_EPOCH),
                                              "TZ=UTC", NULL};
    SteadRunOptions options = {.env = environment};
    return stead_run(argv, &options, NULL, NULL, error);
}

/* Both lie in the target's folder: one rename puts the finished image in place. */
static gboolean make_iso(const SteadSeedFiles *files, const char *folder, const char *path,
                         GError **error)
{
    g_autofree char *content = g_build_filename(folder, "content", NULL);
    g_autofree char *iso = g_build_filename(folder, "seed.iso", NULL);
    if (!stead_make_dir(content, 0700, error) || !write_files(files, content, error) ||
        !run_xorriso(content, iso, error))
        return FALSE;
    if (chmod(iso, 0600) == 0 && g_rename(iso, path) == 0)
        return TRUE;
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "writing %s: %s", path,
                g_strerror(saved));
    return FALSE;
}

gboolean stead_seed_write(const SteadSeedOptions *options, const char *path, GError **error)
{
    g_auto(SteadSeedFiles) files = {0};
    if (!stead_seed_files(options, &files, error))
        return FALSE;
    g_autofree char *folder = g_strconcat(path, ".XXXXXX", NULL);
    if (g_mkdtemp_full(folder, 0700) == NULL) {
        int saved = errno;
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "writing %s: %s", path,
                    g_strerror(saved));
        return FALSE;
    }
    gboolean made = make_iso(&files, folder, path, error);
    stead_remove_tree(folder, NULL);
    return made;
}
