/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image build from end to end: check the request and the host, clear the scratch folder, run the
 * steps of the table, clear again. All that a step makes lies in the scratch folder, except for the
 * cache and the output, which both appear by rename only; so failure, cancelling and even a killed
 * process leave nothing but scratch, which the next build clears.
 *
 * A lock on the cache folder keeps a second build of the same cache out; it goes with the process.
 */
#include "image/build.h"

#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/filelock.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "image/build_parts.h"

/* The tree, the raw disk and the qcow2 of the largest release of the table, with room to spare. */
#define SCRATCH_NEEDED (G_GUINT64_CONSTANT(3) << 30)

typedef struct {
    const char *stage;
    double to; /* where the whole build stands when the step is done */
    gboolean (*run)(SteadBuild *build, GError **error);
} Step;

static const Step full_steps[] = {
    {"packages", 0.88, stead_build_rootfs},
    {"configuration", 0.90, stead_build_configure},
    {"file system", 0.96, stead_build_file_system},
    {"disk", 1.0, stead_build_disk},
    {NULL},
};

static const Step tiny_steps[] = {
    {"packages", 0.80, stead_build_rootfs},
    {"configuration", 0.90, stead_build_tiny_tree},
    {"disk", 1.0, stead_build_tiny_disk},
    {NULL},
};

static const char *const full_programs[] = {"mmdebstrap", "mke2fs", "sfdisk",   "mformat",
                                            "mcopy",      "mmd",    "qemu-img", NULL};
static const char *const tiny_programs[] = {"mmdebstrap", "mke2fs", "qemu-img", NULL};

static const struct {
    const Step *steps;
    const char *const *programs;
} flavours[] = {
    [STEAD_BUILD_FULL] = {full_steps, full_programs},
    [STEAD_BUILD_TINY] = {tiny_steps, tiny_programs},
};

void stead_build_report(SteadBuild *build, double part)
{
    double fraction = build->from + (build->to - build->from) * CLAMP(part, 0, 1);
    build->reported = MAX(build->reported, fraction);
    if (build->progress)
        build->progress(build->stage, build->reported, build->data);
}

/* --- The request and the host --- */

static gboolean check_release(SteadBuild *build, GError **error)
{
    build->release = stead_build_release(build->options->release);
    if (build->release)
        return TRUE;
    g_autofree char *known = g_strjoinv(", ", (char **)(gsize)stead_image_build_releases());
    g_autofree char *hint = g_strdup_printf("What can be built: %s.", known);
    stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint,
                    "no image \"%s\" can be built from packages",
                    build->options->release ? build->options->release : "");
    return FALSE;
}

static gboolean check_programs(const char *const *programs, GError **error)
{
    for (const char *const *program = programs; *program; program++) {
        if (stead_find_program(*program, NULL))
            continue;
        g_autofree char *hint =
            g_strdup_printf("Install it: apt install %s", stead_program_package(*program));
        stead_set_error(error, STEAD_ERROR_MISSING, hint, "the program %s is not installed",
                        *program);
        return FALSE;
    }
    if (g_file_test(STEAD_BUILD_KEYRING, G_FILE_TEST_EXISTS))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_MISSING, "Install it: apt install debian-archive-keyring",
                    "Debian's archive keyring %s is not there", STEAD_BUILD_KEYRING);
    return FALSE;
}

static gboolean check_host(const SteadBuild *build, GError **error)
{
    struct utsname host;
    if (uname(&host) != 0 || strcmp(host.machine, "x86_64") != 0) {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, NULL,
                        "images are built on x86-64 hosts only");
        return FALSE;
    }
    if (geteuid() != 0) {
        stead_set_error(error, STEAD_ERROR_DENIED, "Run it as root or through sudo.",
                        "building an image needs root");
        return FALSE;
    }
    return check_programs(flavours[build->release->flavour].programs, error);
}

static gboolean check_space(const char *folder, GError **error)
{
    struct statvfs info;
    if (statvfs(folder, &info) != 0)
        return TRUE; /* the steps will say what is wrong */
    guint64 free_bytes = (guint64)info.f_bavail * info.f_frsize;
    if (free_bytes >= SCRATCH_NEEDED)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Free some space there.",
                    "building an image needs %d GiB of space in %s", (int)(SCRATCH_NEEDED >> 30),
                    folder);
    return FALSE;
}

static SteadFileLock *lock_cache(const char *cache, GError **error)
{
    g_autofree char *path = g_build_filename(cache, "lock", NULL);
    g_autoptr(GError) why = NULL;
    SteadFileLock *lock = stead_file_lock(path, &why);
    if (lock == NULL && stead_error_code(why) == STEAD_ERROR_BUSY)
        stead_set_error(error, STEAD_ERROR_BUSY, "Wait for it to end.",
                        "another image build uses %s", cache);
    else if (lock == NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    return lock;
}

/* --- The build --- */

static void build_clear(SteadBuild *build)
{
    g_free(build->cache);
    g_free(build->root);
    g_free(build->disk);
    g_free(build->uuid);
    g_free(build->kernel);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SteadBuild, build_clear)

/* Whatever the cancelled step said, the user is told of the build, not of its programs. */
static gboolean fail_cancelled(const SteadBuild *build, GError **error)
{
    g_clear_error(error);
    stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "the build of %s was cancelled",
                    build->release->name);
    return FALSE;
}

static gboolean run_steps(SteadBuild *build, GError **error)
{
    for (const Step *step = flavours[build->release->flavour].steps; step->run; step++) {
        build->stage = step->stage;
        build->from = build->to;
        build->to = step->to;
        stead_build_report(build, 0);
        gboolean done = !g_cancellable_is_cancelled(build->cancellable) && step->run(build, error);
        if (!done && g_cancellable_is_cancelled(build->cancellable))
            return fail_cancelled(build, error);
        if (!done)
            return FALSE;
    }
    stead_build_report(build, 1);
    return TRUE;
}

static gboolean check_size(SteadBuild *build, GError **error)
{
    guint64 size = build->disk_size;
    if (build->release->flavour == STEAD_BUILD_FULL)
        return stead_build_layout(size, &build->layout, error);
    if (size >= build->release->disk_least && size <= STEAD_BUILD_DISK_MAX && size % 1048576 == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID,
                    "Ask for a multiple of 1 MiB from 256 MiB to 16 TiB, such as 1G.",
                    "an image cannot have a disk of %" G_GUINT64_FORMAT " bytes", size);
    return FALSE;
}

static gboolean prepare(SteadBuild *build, GError **error)
{
    const SteadBuildOptions *options = build->options;
    if (!check_release(build, error))
        return FALSE;
    const SteadBuildRelease *release = build->release;
    build->disk_size = options->disk_size ? options->disk_size : release->disk_size;
    if (!check_size(build, error) || !check_host(build, error))
        return FALSE;
    build->cache = g_build_filename(options->cache_dir, release->cache, NULL);
    build->root = g_build_filename(options->work_dir, "root", NULL);
    build->disk = g_build_filename(options->work_dir, "disk.raw", NULL);
    build->uuid = g_uuid_string_random();
    build->esp_id = g_random_int();
    return stead_make_dir(build->cache, 0755, error);
}

gboolean stead_image_build(const SteadBuildOptions *options, SteadBuildProgress progress,
                           gpointer data, GCancellable *cancellable, GError **error)
{
    g_auto(SteadBuild) build = {
        .options = options, .progress = progress, .data = data, .cancellable = cancellable};
    if (!prepare(&build, error))
        return FALSE;
    g_autoptr(SteadFileLock) lock = lock_cache(build.cache, error);
    if (lock == NULL || !stead_remove_tree(options->work_dir, error) ||
        !stead_make_dir(build.root, 0755, error))
        return FALSE;
    gboolean done = check_space(options->work_dir, error) && run_steps(&build, error);
    /* What cannot be removed now is removed by the next build. */
    stead_remove_tree(options->work_dir, NULL);
    return done;
}
