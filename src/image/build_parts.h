/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of an image build, for build.c and its tests. Each step gets the SteadBuild, in the
 * order of the table in build.c: packages become a tree, the tree is configured, the tree becomes a
 * file system on a raw disk, the disk becomes a qcow2.
 */
#pragma once

#include "image/build.h"

#define STEAD_BUILD_KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"

/* --- build_release.c: what can be built, and where its packages come from --- */

/* What becomes of the packages. */
typedef enum {
    STEAD_BUILD_FULL, /* a machine that boots by itself, with all that its packages set up */
    STEAD_BUILD_TINY, /* a kernel, busybox and the agent as init, for direct boot */
} SteadBuildFlavour;

typedef struct {
    const char *name;     /* "debian:12" */
    const char *codename; /* "bookworm" */
    const char *cache;    /* its folder in the cache */
    const char *packages; /* comma-separated */
    guint n_packages;     /* about how many that makes with dependencies, for the progress */
    SteadBuildFlavour flavour;
    guint64 disk_size;  /* when none is asked for; bytes */
    guint64 disk_least; /* that can be asked for */
} SteadBuildRelease;

/* NULL when the release cannot be built; otherwise static. */
const SteadBuildRelease *stead_build_release(const char *name);

typedef struct {
    char *archive;  /* URI without a trailing slash */
    char *security; /* likewise */
} SteadBuildMirror;

/* Frees what it holds, and makes it empty. */
void stead_build_mirror_clear(SteadBuildMirror *mirror);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SteadBuildMirror, stead_build_mirror_clear)

/* Takes the Debian mirrors that an apt sources file names, in deb822 or one-line style, where the
 * mirror has none yet. Third-party sources are passed over. */
void stead_build_mirror_from_deb822(SteadBuildMirror *mirror, const char *text);
void stead_build_mirror_from_list(SteadBuildMirror *mirror, const char *text);

/* The mirrors of the host's apt below `apt_dir` ("/etc/apt"), or else Debian's own. */
void stead_build_mirror_of_host(SteadBuildMirror *mirror, const char *apt_dir);

/* One-line apt sources of the release for the build; owned by the caller. */
char *stead_build_sources(const SteadBuildRelease *release, const SteadBuildMirror *mirror);

/* The URI of each InRelease file of the release; NULL-terminated, owned by the caller. */
char **stead_build_inrelease_uris(const SteadBuildRelease *release, const SteadBuildMirror *mirror);

/* The name under which apt keeps the file behind a URI in its lists; owned by the caller. */
char *stead_build_list_name(const char *uri);

/* --- build_disk.c: the disk --- */

#define STEAD_BUILD_SECTOR 512

/* Positions and lengths in sectors. */
typedef struct {
    guint64 bios_start, bios_size;
    guint64 esp_start, esp_size;
    guint64 root_start, root_size;
} SteadBuildLayout;

/* INVALID where the size (bytes) is outside the bounds or no multiple of 1 MiB. */
gboolean stead_build_layout(guint64 disk_size, SteadBuildLayout *layout, GError **error);

/* The input of sfdisk; owned by the caller. */
char *stead_build_sfdisk_script(const SteadBuildLayout *layout);

/* Makes GRUB's BIOS start code fit the disk: `boot` (one sector, of which the first 440 bytes are
 * used) loads `core`, which is to lie at `core_start`. FALSE when core is shorter than a sector. */
gboolean stead_build_patch_bios(guint8 *boot, guint8 *core, gsize core_size, guint64 core_start);

/* --- build.c --- */

typedef struct {
    const SteadBuildOptions *options;
    const SteadBuildRelease *release;
    guint64 disk_size;
    SteadBuildLayout layout;
    char *cache; /* cache folder of the release */
    char *root;  /* the tree */
    char *disk;  /* the raw disk */
    char *uuid;  /* of the root file system */
    guint32 esp_id;
    char *kernel; /* version; known once the tree is configured */

    SteadBuildProgress progress;
    gpointer data;
    GCancellable *cancellable;
    const char *stage;
    double from, to; /* the share of the stage under way */
    double reported;
} SteadBuild;

/* Reports that `part` (0..1) of the stage under way is done. */
void stead_build_report(SteadBuild *build, double part);

/* --- build_config.c: what is written into the tree --- */

typedef struct {
    const char *path; /* absolute in the image */
    int mode;
    const char *text; /* @UUID@, @ESP@, @KERNEL@ and @CODENAME@ stand for what they say */
} SteadBuildFile;

/* Before the packages are installed, and after; ended by an entry without a path. */
extern const SteadBuildFile stead_build_files_before[];
extern const SteadBuildFile stead_build_files_after[];

/* The text of a file for a build; owned by the caller. */
char *stead_build_expand(const SteadBuild *build, const char *text);

/* Writes them below the tree, in place of what is there; folders above are made. */
gboolean stead_build_write_files(const SteadBuild *build, const SteadBuildFile *files,
                                 GError **error);

/* The version of the kernel in the tree; owned by the caller. */
char *stead_build_find_kernel(const SteadBuild *build, GError **error);

/* Takes away what would make clones alike, writes the files, links the units. */
gboolean stead_build_configure(SteadBuild *build, GError **error);

/* --- build_rootfs.c: packages to tree --- */

/* How far a run of mmdebstrap is, by the lines of apt and dpkg. */
typedef struct {
    guint expected; /* packages in all, first a guess, then as apt says */
    guint announced;
    guint unpacked;
    guint configured;
    double part;
} SteadBuildMeter;

/* Takes one line; returns the part done (0..1), which never goes back. */
double stead_build_meter_line(SteadBuildMeter *meter, const char *line);

/* Runs mmdebstrap into build->root, with what the cache has; what is wrong with it is the tail of
 * its own words. Takes minutes; ends soon when it is cancelled. */
gboolean stead_build_rootfs(SteadBuild *build, GError **error);

/* --- build_cache.c: packages and lists that outlive a build --- */

/* Puts what the cache has below the tree, before mmdebstrap runs; the lists only if `lists`. */
gboolean stead_build_cache_seed(const SteadBuild *build, gboolean lists, GError **error);

/* Whether the last complete build was of the same sources and packages as `key` says. */
gboolean stead_build_cache_is_complete(const SteadBuild *build, const char *key);

/* Takes packages and lists over from the tree and forgets those it did not use. */
gboolean stead_build_cache_store(const SteadBuild *build, const char *key, GError **error);

/* Links the file, or copies it where it cannot be linked; `to` never exists in part. */
gboolean stead_build_link_or_copy(const char *from, const char *to, GError **error);

/* --- build_disk.c, continued --- */

/* The first makes build->disk: partitions, and the root file system in its place, filled from the
 * tree without mounting it. The second adds what starts it, by UEFI and by BIOS, and converts it to
 * the qcow2 that was asked for, which never exists in part. */
gboolean stead_build_file_system(SteadBuild *build, GError **error);
gboolean stead_build_disk(SteadBuild *build, GError **error);

/* Makes the raw disk, sparse; fills `blocks` of it, from `offset` on, with an ext4 of the tree;
 * converts it to the qcow2 that was asked for. Offset and blocks in bytes and in 4 KiB. */
gboolean stead_build_make_raw(const SteadBuild *build, GError **error);
gboolean stead_build_make_ext4(const SteadBuild *build, guint64 offset, guint64 blocks,
                               GError **error);
gboolean stead_build_convert(const SteadBuild *build, GError **error);
#define STEAD_BUILD_BLOCK 4096

/* --- build_tiny.c: a guest of a kernel, busybox and the agent --- */

/* Puts the tree together from what the packages brought: kernel, modules, busybox, and an initramfs
 * with the drivers of virtual machines. */
gboolean stead_build_tiny_tree(SteadBuild *build, GError **error);

/* The disk: one file system, without partitions, so that it can grow with it. */
gboolean stead_build_tiny_disk(SteadBuild *build, GError **error);

/* The files of modules and of all that they need, in an order in which they can be loaded, by a
 * text of depmod's modules.dep. `wanted` is NULL-terminated; one that is not there is passed over.
 * NULL-terminated, owned by the caller. */
char **stead_build_module_order(const char *modules_dep, const char *const *wanted);

/* The applets in an answer of `busybox --list-full` that become links; likewise. */
char **stead_build_applets(const char *answer);

/* --- build_tiny_files.c --- */

extern const SteadBuildFile stead_build_tiny_files[];
/* NULL-terminated: folders, and modules of the initramfs. */
extern const char *const stead_build_tiny_folders[];
extern const char *const stead_build_tiny_modules[];
