/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages to tree, by mmdebstrap.
 *
 * Whether a network is needed is settled first: the InRelease files of the release's suites are
 * fetched with a short time-out. If they are what the cache was filled from, or if the mirror does
 * not answer while the cache is complete, mmdebstrap starts from the cached lists and downloads
 * nothing. Otherwise it updates them, and downloads what the cached packages lack.
 *
 * mmdebstrap mounts and unmounts in the tree, and leaves its children to themselves when it is
 * killed. So it runs in a mount and process namespace of its own, below a chain of wrappers that
 * each pass the end on: when stead dies, setpriv's parent-death signal ends `timeout`, which ends
 * `unshare`, which ends the namespace's first process and by that all others. Nothing of the host
 * is ever mounted where a later clean-up could reach it.
 *
 * Lists and packages are put into the tree beforehand (mmdebstrap is told that it may find files
 * there) rather than by hooks: links are cheaper than copies.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "image/build_parts.h"

/* The longest that mmdebstrap may take, downloads included, in seconds. */
#define MMDEBSTRAP_MAX_SECONDS "7200"
#define APT_HELPER "/usr/lib/apt/apt-helper"
/* How far unpacking a package is towards having it configured, for the progress. */
#define UNPACK_SHARE 0.6
#define LAST_LINES_MAX 8

/* --- Progress --- */

/* "12 newly installed" as apt says it: 0 when the line does not. */
static guint newly_installed(const char *line)
{
    const char *place = strstr(line, " newly installed");
    if (place == NULL || strstr(line, "upgraded, ") == NULL)
        return 0;
    while (place > line && g_ascii_isdigit(place[-1]))
        place--;
    return (guint)MIN(strtoul(place, NULL, 10), 100000);
}

double stead_build_meter_line(SteadBuildMeter *meter, const char *line)
{
    if (g_str_has_prefix(line, "Unpacking "))
        meter->unpacked++;
    else if (g_str_has_prefix(line, "Setting up "))
        meter->configured++;
    else
        meter->announced += newly_installed(line);
    /* apt announces the packages in two portions: believe the sum when it exceeds the guess. */
    guint all = MAX(MAX(meter->expected, meter->announced), 1);
    double done = meter->unpacked * UNPACK_SHARE + meter->configured * (1 - UNPACK_SHARE);
    meter->part = CLAMP(done / all, meter->part, 1.0);
    return meter->part;
}

typedef struct {
    SteadBuild *build;
    SteadBuildMeter meter;
} Run;

static void on_line(const char *line, gpointer data)
{
    Run *run = data;
    double before = run->meter.part;
    if (stead_build_meter_line(&run->meter, line) > before)
        stead_build_report(run->build, run->meter.part);
}

/* --- Is the cache as new as the mirror? --- */

typedef enum { MIRROR_SAME, MIRROR_NEWER, MIRROR_AWAY } MirrorState;

static gboolean fetch(SteadBuild *build, const char *uri, const char *path, GError **error)
{
    const char *const argv[] = {APT_HELPER,
                                "-oAcquire::Retries=1",
                                "-oAcquire::http::Timeout=10",
                                "-oAcquire::https::Timeout=10",
                                "-oAPT::Sandbox::User=root",
                                "download-file",
                                uri,
                                path,
                                NULL};
    return stead_run(argv, NULL, build->cancellable, NULL, error);
}

static gboolean same_content(const char *a, const char *b)
{
    g_autofree char *text_a = NULL, *text_b = NULL;
    gsize size_a, size_b;
    return g_file_get_contents(a, &text_a, &size_a, NULL) &&
           g_file_get_contents(b, &text_b, &size_b, NULL) && size_a == size_b &&
           memcmp(text_a, text_b, size_a) == 0;
}

/* `error` tells why when the mirror is away. */
static MirrorState ask_mirror(SteadBuild *build, char **uris, GError **error)
{
    MirrorState state = MIRROR_SAME;
    g_autofree char *fresh = g_build_filename(build->options->work_dir, "InRelease", NULL);
    for (char **uri = uris; *uri; uri++) {
        if (!fetch(build, *uri, fresh, error))
            return MIRROR_AWAY;
        g_autofree char *name = stead_build_list_name(*uri);
        g_autofree char *cached = g_build_filename(build->cache, "lists", name, NULL);
        if (!same_content(fresh, cached))
            state = MIRROR_NEWER;
    }
    return state;
}

/* --- mmdebstrap --- */

/*
 * Whether / is a mount point (proc(5), mountinfo), as it is but in a chroot. Only a mount point's
 * propagation can be set; in a chroot that of the host's mounts stays, and mmdebstrap takes its
 * own mounts away again.
 */
static gboolean root_is_mount(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
        return TRUE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
    for (guint i = 0; lines[i]; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], " ", 6);
        if (g_strv_length(fields) == 6 && g_str_equal(fields[4], "/"))
            return TRUE;
    }
    return FALSE;
}

static gboolean run_mmdebstrap(SteadBuild *build, const char *sources, gboolean update,
                               GError **error)
{
    g_autofree char *include = g_strconcat("--include=", build->release->packages, NULL);
    g_autofree char *skip = g_strconcat(
        "--skip=check/empty,download/empty,essential/unlink,cleanup/apt/cache,cleanup/apt/lists",
        update ? "" : ",update", NULL);
    /* Without init scripts, users and triggers packages need not be set up, only unpacked. */
    const char *variant =
        build->release->flavour == STEAD_BUILD_TINY ? "--variant=extract" : "--variant=apt";
    g_autofree char *tmpdir = g_strconcat("TMPDIR=", build->options->work_dir, NULL);
    const char *const env[] = {tmpdir, "LC_ALL=C.UTF-8", NULL};
    const char *const argv[] = {"setpriv",
                                "--pdeathsig=TERM",
                                "timeout",
                                "--kill-after=0.2",
                                MMDEBSTRAP_MAX_SECONDS,
                                "unshare",
                                "--mount",
                                root_is_mount() ? "--propagation=private"
                                                : "--propagation=unchanged",
                                "--pid",
                                "--fork",
                                "--kill-child",
                                "--mount-proc",
                                "mmdebstrap",
                                "--verbose",
                                "--mode=root",
                                variant,
                                "--architectures=amd64",
                                "--format=directory",
                                "--dpkgopt=force-unsafe-io",
                                "--aptopt=APT::Install-Recommends \"false\"",
                                "--aptopt=Acquire::Languages \"none\"",
                                "--aptopt=Acquire::Retries \"2\"",
                                include,
                                skip,
                                build->release->codename,
                                build->root,
                                "-",
                                NULL};
    Run run = {.build = build, .meter = {.expected = build->release->n_packages}};
    const SteadRunOptions options = {
        .env = env, .input = sources, .on_error_line = on_line, .data = &run};
    return stead_run(argv, &options, build->cancellable, NULL, error);
}

/* What the tail of mmdebstrap's output says about the class of its failure. */
static const struct {
    const char *text;
    SteadErrorCode code;
    const char *hint;
} causes[] = {
    {"No space left on device", STEAD_ERROR_EXHAUSTED, "Free some space and try again."},
    {"Temporary failure resolving", STEAD_ERROR_UNAVAILABLE, NULL},
    {"Could not connect", STEAD_ERROR_UNAVAILABLE, NULL},
    {"Unable to fetch", STEAD_ERROR_UNAVAILABLE, NULL},
    {"Failed to fetch", STEAD_ERROR_UNAVAILABLE, NULL},
    {"Unable to locate package", STEAD_ERROR_UNAVAILABLE, NULL},
    {"Operation not permitted", STEAD_ERROR_DENIED,
     "The build needs mounts and namespaces; in a container, give it CAP_SYS_ADMIN."},
};

static void classify(GError **error)
{
    if (error == NULL || !g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_INTERNAL))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(causes); i++) {
        if (strstr((*error)->message, causes[i].text) == NULL)
            continue;
        GError *better = stead_error_new(causes[i].code,
                                         causes[i].hint ? causes[i].hint
                                                        : "See that the package mirror answers: "
                                                          "apt-get update",
                                         "%s", (*error)->message);
        g_clear_error(error);
        *error = better;
        return;
    }
}

static void set_away(GError **error, const char *uri, const GError *why)
{
    g_auto(GStrv) lines = g_strsplit(why->message, "\n", LAST_LINES_MAX);
    guint n = g_strv_length(lines);
    stead_set_error(error, STEAD_ERROR_UNAVAILABLE,
                    "Connect to the package mirror, or set http_proxy; after one complete build "
                    "the packages are cached and no network is needed.",
                    "the package mirror does not answer (%s) and the cache is not complete: %s",
                    uri, n > 0 ? lines[n - 1] : "");
}

gboolean stead_build_rootfs(SteadBuild *build, GError **error)
{
    g_auto(SteadBuildMirror) mirror = {NULL, NULL};
    stead_build_mirror_of_host(&mirror, "/etc/apt");
    g_autofree char *sources = stead_build_sources(build->release, &mirror);
    g_autofree char *key = g_strconcat(sources, build->release->packages, "\n", NULL);
    g_auto(GStrv) uris = stead_build_inrelease_uris(build->release, &mirror);

    g_autoptr(GError) why = NULL;
    MirrorState state = ask_mirror(build, uris, &why);
    if (g_cancellable_is_cancelled(build->cancellable)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    gboolean complete = stead_build_cache_is_complete(build, key);
    if (state == MIRROR_AWAY && !complete) {
        set_away(error, uris[0], why);
        return FALSE;
    }
    gboolean update = state == MIRROR_NEWER || !complete;
    if (!stead_build_cache_seed(build, !update, error) ||
        (build->release->flavour == STEAD_BUILD_FULL &&
         !stead_build_write_files(build, stead_build_files_before, error)))
        return FALSE;
    g_autoptr(GError) failure = NULL;
    if (!run_mmdebstrap(build, sources, update, &failure)) {
        classify(&failure);
        g_propagate_prefixed_error(error, g_steal_pointer(&failure),
                                   "installing %s: ", build->release->name);
        return FALSE;
    }
    return !update || stead_build_cache_store(build, key, error);
}
