/* SPDX-License-Identifier: Apache-2.0 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "image/build_parts.h"

#define KEYRING "Signed-By: " STEAD_BUILD_KEYRING "\n"

/* --- Releases --- */

static void test_every_listed_release_is_known(void)
{
    const char *const *names = stead_image_build_releases();
    g_assert_nonnull(names[0]);
    for (; *names; names++) {
        g_assert_true(stead_image_build_known(*names));
        g_assert_cmpstr(stead_build_release(*names)->name, ==, *names);
    }
}

static void test_debian_12_is_bookworm(void)
{
    g_assert_cmpstr(stead_build_release("debian:12")->codename, ==, "bookworm");
    g_assert_cmpstr(stead_build_release("debian:13")->codename, ==, "trixie");
}

static void test_other_releases_are_unknown(void)
{
    g_assert_false(stead_image_build_known("debian:99"));
    g_assert_false(stead_image_build_known("debian"));
    g_assert_false(stead_image_build_known(""));
    g_assert_false(stead_image_build_known(NULL));
}

static void test_unknown_release_is_refused(void)
{
    const SteadBuildOptions options = {.release = "debian:99",
                                       .output = "/nowhere/x",
                                       .work_dir = "/nowhere/w",
                                       .cache_dir = "/nowhere/c"};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_image_build(&options, NULL, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "debian:99"));
    g_assert_nonnull(strstr(stead_error_hint(error), "debian:12"));
}

static void test_bad_size_is_refused(void)
{
    const SteadBuildOptions options = {.release = "debian:12",
                                       .output = "/nowhere/x",
                                       .work_dir = "/nowhere/w",
                                       .cache_dir = "/nowhere/c",
                                       .disk_size = 1000};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_image_build(&options, NULL, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

/* --- Mirrors --- */

static void test_mirror_from_deb822(void)
{
    g_auto(SteadBuildMirror) mirror = {NULL};
    stead_build_mirror_from_deb822(&mirror, "Types: deb\n"
                                            "# a comment\n"
                                            "URIs: http://mirror.test/debian/\n"
                                            "Suites: bookworm bookworm-updates\n"
                                            "Components: main\n" KEYRING "\n"
                                            "Types: deb\n"
                                            "URIs: http://mirror.test/debian-security\n"
                                            "Suites: bookworm-security\n" KEYRING);
    g_assert_cmpstr(mirror.archive, ==, "http://mirror.test/debian");
    g_assert_cmpstr(mirror.security, ==, "http://mirror.test/debian-security");
}

static void test_mirror_passes_over_third_parties(void)
{
    g_auto(SteadBuildMirror) mirror = {NULL};
    stead_build_mirror_from_deb822(
        &mirror, "Types: deb\nURIs: https://deb.vendor.test/node\nSuites: nodistro\n"
                 "Signed-By: /usr/share/keyrings/vendor.gpg\n\n"
                 "Types: deb\nURIs: https://unsigned.test/debian\nSuites: stable\n");
    stead_build_mirror_from_list(&mirror,
                                 "deb https://packages.vendor.test/apt sdk-bookworm main\n"
                                 "deb [signed-by=/etc/k.gpg] http://v.test/debian bookworm main\n");
    g_assert_null(mirror.archive);
    g_assert_null(mirror.security);
}

static void test_mirror_passes_over_disabled_and_source_entries(void)
{
    g_auto(SteadBuildMirror) mirror = {NULL};
    stead_build_mirror_from_deb822(&mirror,
                                   "Enabled: no\nTypes: deb\nURIs: http://off.test/debian\n"
                                   "Suites: bookworm\n" KEYRING "\n"
                                   "Types: deb-src\nURIs: http://src.test/debian\n"
                                   "Suites: bookworm\n" KEYRING);
    stead_build_mirror_from_list(&mirror, "deb-src http://src.test/debian bookworm main\n"
                                          "# deb http://comment.test/debian bookworm main\n");
    g_assert_null(mirror.archive);
}

static void test_mirror_takes_the_first_web_uri(void)
{
    g_auto(SteadBuildMirror) mirror = {NULL};
    stead_build_mirror_from_deb822(
        &mirror, "Types: deb\nURIs: file:/srv/debian\n http://second.test/debian\n"
                 "Suites: trixie\n" KEYRING);
    g_assert_cmpstr(mirror.archive, ==, "http://second.test/debian");
}

static void test_mirror_from_list(void)
{
    g_auto(SteadBuildMirror) mirror = {NULL};
    stead_build_mirror_from_list(
        &mirror,
        "deb [arch=amd64 signed-by=" STEAD_BUILD_KEYRING "] https://m.test/deb bookworm main\n"
        "deb http://m.test/debian-security/ bookworm-security main # trailing\n");
    g_assert_cmpstr(mirror.archive, ==, "https://m.test/deb");
    g_assert_cmpstr(mirror.security, ==, "http://m.test/debian-security");
}

static void test_host_without_sources_gets_debian(void)
{
    g_auto(SteadBuildMirror) mirror = {NULL};
    stead_build_mirror_of_host(&mirror, "/nonexistent");
    g_assert_cmpstr(mirror.archive, ==, "http://deb.debian.org/debian");
    g_assert_cmpstr(mirror.security, ==, "http://deb.debian.org/debian-security");
}

static void test_sources_and_inrelease(void)
{
    SteadBuildMirror mirror = {(char *)"http://m.test/debian", (char *)"http://s.test/sec"};
    const SteadBuildRelease *release = stead_build_release("debian:13");
    g_autofree char *sources = stead_build_sources(release, &mirror);
    g_assert_cmpstr(
        sources, ==,
        "deb [signed-by=" STEAD_BUILD_KEYRING "] http://m.test/debian trixie main\n"
        "deb [signed-by=" STEAD_BUILD_KEYRING "] http://m.test/debian trixie-updates main\n"
        "deb [signed-by=" STEAD_BUILD_KEYRING "] http://s.test/sec trixie-security main\n");
    g_auto(GStrv) uris = stead_build_inrelease_uris(release, &mirror);
    g_assert_cmpuint(g_strv_length(uris), ==, 3);
    g_autofree char *name = stead_build_list_name(uris[2]);
    g_assert_cmpstr(name, ==, "s.test_sec_dists_trixie-security_InRelease");
}

/* --- The disk --- */

static void test_layout_is_aligned_and_fits(void)
{
    static const guint64 sizes[] = {STEAD_BUILD_DISK_MIN, STEAD_BUILD_DISK_DEFAULT,
                                    STEAD_BUILD_DISK_MAX};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        SteadBuildLayout layout;
        g_assert_true(stead_build_layout(sizes[i], &layout, NULL));
        g_assert_cmpuint(layout.bios_start, >=, 34);
        g_assert_cmpuint(layout.bios_start + layout.bios_size, ==, layout.esp_start);
        g_assert_cmpuint(layout.esp_start + layout.esp_size, ==, layout.root_start);
        g_assert_cmpuint(layout.root_start % 2048, ==, 0);
        g_assert_cmpuint(layout.root_size % 8, ==, 0);
        g_assert_cmpuint(layout.root_start + layout.root_size + 33, <, sizes[i] / 512);
    }
}

static void test_layout_refuses_sizes(void)
{
    static const guint64 sizes[] = {0, STEAD_BUILD_DISK_MIN - 1048576,
                                    STEAD_BUILD_DISK_MAX + 1048576, STEAD_BUILD_DISK_DEFAULT + 512};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        SteadBuildLayout layout;
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_build_layout(sizes[i], &layout, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_sfdisk_script(void)
{
    SteadBuildLayout layout;
    g_assert_true(stead_build_layout(STEAD_BUILD_DISK_DEFAULT, &layout, NULL));
    g_autofree char *script = stead_build_sfdisk_script(&layout);
    g_assert_cmpstr(script, ==,
                    "label: gpt\n"
                    "14 : start=2048, size=6144, type=21686148-6449-6E6F-744E-656564454649\n"
                    "15 : start=8192, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n"
                    "1 : start=139264, size=8247296, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n");
}

static void test_bios_code_is_patched(void)
{
    guint8 boot[512] = {0}, core[1024] = {0};
    g_assert_true(stead_build_patch_bios(boot, core, sizeof core, 0x0102030405));
    static const guint8 at_boot[] = {5, 4, 3, 2, 1, 0, 0, 0};
    static const guint8 at_core[] = {6, 4, 3, 2, 1, 0, 0, 0};
    g_assert_cmpmem(boot + 0x5c, 8, at_boot, 8);
    g_assert_cmpmem(core + 0x1f4, 8, at_core, 8);
    g_assert_cmpuint(boot[0x66], ==, 0x90);
    g_assert_cmpuint(boot[0x67], ==, 0x90);
    g_assert_cmpuint(core[0x1f4 + 8], ==, 0);
}

static void test_short_bios_core_is_refused(void)
{
    guint8 boot[512] = {0}, core[100] = {0};
    g_assert_false(stead_build_patch_bios(boot, core, sizeof core, 2048));
}

/* --- What is written into the image --- */

static SteadBuild sample_build(void)
{
    return (SteadBuild){.release = stead_build_release("debian:12"),
                        .uuid = (char *)"11111111-2222-3333-4444-555555555555",
                        .esp_id = 0x12ab34cd,
                        .kernel = (char *)"6.1.0-1-cloud-amd64"};
}

static char *expanded(const SteadBuildFile *files, const char *path)
{
    SteadBuild build = sample_build();
    for (; files->path; files++)
        if (strcmp(files->path, path) == 0)
            return stead_build_expand(&build, files->text);
    g_error("no file %s", path);
}

static void test_grub_cfg(void)
{
    g_autofree char *text = expanded(stead_build_files_after, "/boot/grub/grub.cfg");
    g_assert_cmpstr(text, ==,
                    "if [ \"$grub_platform\" = pc ]; then\n"
                    "  serial --unit=0 --speed=115200\n"
                    "  terminal_input console serial\n"
                    "  terminal_output console serial\n"
                    "fi\n"
                    "search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555\n"
                    "set timeout=0\n"
                    "menuentry 'Debian GNU/Linux' --class debian {\n"
                    "  linux /boot/vmlinuz-6.1.0-1-cloud-amd64 "
                    "root=UUID=11111111-2222-3333-4444-555555555555 ro "
                    "console=tty0 console=ttyS0,115200n8\n"
                    "  initrd /boot/initrd.img-6.1.0-1-cloud-amd64\n"
                    "}\n");
}

static void test_fstab(void)
{
    g_autofree char *text = expanded(stead_build_files_after, "/etc/fstab");
    g_assert_nonnull(strstr(text, "UUID=11111111-2222-3333-4444-555555555555 / ext4 "));
    g_assert_nonnull(strstr(text, "x-systemd.growfs"));
    g_assert_nonnull(strstr(text, "UUID=12AB-34CD /boot/efi vfat "));
}

static void test_sources_of_the_image_are_official(void)
{
    g_autofree char *text =
        expanded(stead_build_files_after, "/etc/apt/sources.list.d/debian.sources");
    g_assert_nonnull(strstr(text, "URIs: http://deb.debian.org/debian\n"
                                  "Suites: bookworm bookworm-updates\n"));
    g_assert_nonnull(strstr(text, "Suites: bookworm-security\n"));
}

static void test_no_placeholder_is_left(void)
{
    SteadBuild build = sample_build();
    const SteadBuildFile *const tables[] = {stead_build_files_before, stead_build_files_after};
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const SteadBuildFile *file = tables[i]; file->path; file++) {
            g_autofree char *text = stead_build_expand(&build, file->text);
            g_assert_true(file->path[0] == '/');
            g_assert_false(g_regex_match_simple("@[A-Z]+@", text, 0, 0));
        }
    }
}

static void put(const char *root, const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    g_autofree char *folder = g_path_get_dirname(full);
    g_assert_true(stead_make_dir(folder, 0755, NULL));
    g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

static gboolean is_there(const char *root, const char *path)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    struct stat info;
    return lstat(full, &info) == 0;
}

static void test_configuring_a_tree(void)
{
    g_autofree char *root = g_dir_make_tmp("stead-build-XXXXXX", NULL);
    put(root, "boot/vmlinuz-6.1.0-1-cloud-amd64", "");
    put(root, "usr/lib/grub/i386-pc/linux.mod", "m");
    put(root, "usr/lib/grub/x86_64-efi/linux.mod", "m");
    put(root, "etc/hostname", "builder\n");
    put(root, "etc/machine-id", "0123\n");
    put(root, "etc/ssh/ssh_host_rsa_key", "secret");
    put(root, "etc/ssh/sshd_config", "kept");
    put(root, "etc/apt/sources.list", "deb http://inner.mirror/debian bookworm main\n");
    put(root, "var/lib/apt/lists/some_InRelease", "list");
    put(root, "var/lib/systemd/random-seed", "seed");
    put(root, "var/cache/apt/archives/a.deb", "deb");

    SteadBuild build = sample_build();
    build.root = root;
    build.kernel = NULL;
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_build_configure(&build, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(build.kernel, ==, "6.1.0-1-cloud-amd64");
    g_free(build.kernel);

    static const char *const gone[] = {"etc/hostname",
                                       "etc/ssh/ssh_host_rsa_key",
                                       "etc/apt/sources.list",
                                       "var/lib/apt/lists/some_InRelease",
                                       "var/lib/systemd/random-seed",
                                       "var/cache/apt/archives/a.deb"};
    for (gsize i = 0; i < G_N_ELEMENTS(gone); i++)
        g_assert_false(is_there(root, gone[i]));
    static const char *const there[] = {"etc/ssh/sshd_config",
                                        "boot/grub/i386-pc/linux.mod",
                                        "boot/grub/x86_64-efi/linux.mod",
                                        "boot/efi",
                                        "etc/systemd/system/sys-kernel-debug.mount",
                                        "etc/.updated"};
    for (gsize i = 0; i < G_N_ELEMENTS(there); i++)
        g_assert_true(is_there(root, there[i]));
    g_autofree char *id_path = g_build_filename(root, "etc/machine-id", NULL);
    g_autofree char *id = NULL;
    g_assert_true(g_file_get_contents(id_path, &id, NULL, NULL));
    g_assert_cmpstr(id, ==, "");
    g_assert_true(stead_remove_tree(root, NULL));
}

static void test_writing_does_not_follow_links_out_of_the_tree(void)
{
    g_autofree char *root = g_dir_make_tmp("stead-build-XXXXXX", NULL);
    g_autofree char *outside = g_build_filename(root, "outside", NULL);
    g_autofree char *tree = g_build_filename(root, "tree", NULL);
    g_autofree char *link = g_build_filename(tree, "etc/hosts", NULL);
    put(root, "outside", "untouched");
    put(tree, "etc/other", "");
    g_assert_cmpint(symlink(outside, link), ==, 0);
    SteadBuild build = sample_build();
    build.root = tree;
    g_assert_true(stead_build_write_files(&build, stead_build_files_after, NULL));
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(outside, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "untouched");
    g_assert_true(stead_remove_tree(root, NULL));
}

/* --- The cache --- */

static void test_cache_keeps_what_the_tree_used(void)
{
    g_autofree char *dir = g_dir_make_tmp("stead-build-XXXXXX", NULL);
    g_autofree char *root = g_build_filename(dir, "root", NULL);
    g_autofree char *cache = g_build_filename(dir, "cache", NULL);
    g_autofree char *second = g_build_filename(dir, "second", NULL);
    put(root, "var/cache/apt/archives/a_1.deb", "a");
    put(root, "var/cache/apt/archives/lock", "");
    put(root, "var/lib/apt/lists/m_InRelease", "list");
    put(cache, "archives/old_1.deb", "old");

    SteadBuild build = {.root = root, .cache = cache};
    g_assert_false(stead_build_cache_is_complete(&build, "key"));
    g_assert_true(stead_build_cache_store(&build, "key", NULL));
    g_assert_true(stead_build_cache_is_complete(&build, "key"));
    g_assert_false(stead_build_cache_is_complete(&build, "other key"));
    g_assert_true(is_there(cache, "archives/a_1.deb"));
    g_assert_true(is_there(cache, "lists/m_InRelease"));
    g_assert_false(is_there(cache, "archives/old_1.deb"));
    g_assert_false(is_there(cache, "archives/lock"));

    SteadBuild next = {.root = second, .cache = cache};
    g_assert_true(stead_build_cache_seed(&next, FALSE, NULL));
    g_assert_true(is_there(second, "var/cache/apt/archives/a_1.deb"));
    g_assert_false(is_there(second, "var/lib/apt/lists/m_InRelease"));
    g_assert_true(stead_build_cache_seed(&next, TRUE, NULL));
    g_assert_true(is_there(second, "var/lib/apt/lists/m_InRelease"));
    g_assert_true(stead_remove_tree(dir, NULL));
}

/* --- Progress --- */

static void test_meter_follows_apt_and_dpkg(void)
{
    SteadBuildMeter meter = {.expected = 2};
    g_assert_cmpfloat(stead_build_meter_line(&meter, "I: running apt-get update..."), ==, 0);
    stead_build_meter_line(&meter,
                           "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.");
    stead_build_meter_line(&meter,
                           "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.");
    double half = 0;
    for (int i = 0; i < 4; i++)
        half = stead_build_meter_line(&meter, "Unpacking libc6:amd64 (2.36-9) ...");
    g_assert_cmpfloat_with_epsilon(half, 0.6, 0.001);
    double all = 0;
    for (int i = 0; i < 4; i++)
        all = stead_build_meter_line(&meter, "Setting up libc6:amd64 (2.36-9) ...");
    g_assert_cmpfloat_with_epsilon(all, 1.0, 0.001);
}

static void test_meter_never_goes_back_nor_over(void)
{
    SteadBuildMeter meter = {.expected = 1};
    double before = 0;
    for (int i = 0; i < 50; i++) {
        if (i == 10)
            stead_build_meter_line(&meter, "0 upgraded, 99999999999 newly installed, 0 to remove");
        double now = stead_build_meter_line(&meter, i % 2 ? "Setting up a" : "Unpacking a");
        g_assert_cmpfloat(now, >=, before);
        g_assert_cmpfloat(now, <=, 1);
        before = now;
    }
}

typedef struct {
    double last;
    guint calls;
} Seen;

static void on_progress(const char *stage, double fraction, gpointer data)
{
    Seen *seen = data;
    g_assert_cmpfloat(fraction, >=, seen->last);
    seen->last = fraction;
    seen->calls++;
}

static void test_reports_stay_in_their_stage(void)
{
    Seen seen = {0};
    SteadBuild build = {
        .progress = on_progress, .data = &seen, .stage = "disk", .from = 0.5, .to = 0.75};
    stead_build_report(&build, 0.5);
    g_assert_cmpfloat_with_epsilon(seen.last, 0.625, 0.0001);
    stead_build_report(&build, 0.1);
    g_assert_cmpfloat_with_epsilon(seen.last, 0.625, 0.0001);
    stead_build_report(&build, 7);
    g_assert_cmpfloat_with_epsilon(seen.last, 0.75, 0.0001);
    g_assert_cmpuint(seen.calls, ==, 3);
}

/* --- Tiny images --- */

static void test_tiny_is_built_apart(void)
{
    const SteadBuildRelease *tiny = stead_build_release("tiny:12");
    const SteadBuildRelease *full = stead_build_release("debian:12");
    g_assert_cmpstr(tiny->codename, ==, full->codename);
    /* Each build forgets the packages that it did not use. */
    g_assert_cmpstr(tiny->cache, !=, full->cache);
    g_assert_cmpuint(tiny->disk_size, <, STEAD_BUILD_DISK_MIN);
    g_assert_true(stead_image_build_is_tiny("tiny:12"));
    g_assert_false(stead_image_build_is_tiny("debian:12"));
    g_assert_false(stead_image_build_is_tiny("mine"));
    g_assert_false(stead_image_build_is_tiny(NULL));
}

static void test_tiny_size_is_checked(void)
{
    SteadBuildOptions options = {.release = "tiny:12",
                                 .output = "/nowhere/x",
                                 .work_dir = "/nowhere/w",
                                 .cache_dir = "/nowhere/c"};
    static const guint64 sizes[] = {1048576, STEAD_BUILD_TINY_MIN + 512,
                                    STEAD_BUILD_DISK_MAX + 1048576};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GError) error = NULL;
        options.disk_size = sizes[i];
        g_assert_false(stead_image_build(&options, NULL, NULL, NULL, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_module_order(void)
{
    static const char *const wanted[] = {"virtio_net", "virtio-rng", "absent", NULL};
    g_auto(GStrv) order = stead_build_module_order(
        "k/virtio_ring.ko:\n"
        "k/virtio.ko: k/virtio_ring.ko\n"
        "k/failover.ko:\n"
        "k/net_failover.ko: k/failover.ko\n"
        "k/hw/virtio-rng.ko.xz: k/virtio.ko k/virtio_ring.ko\n"
        "k/virtio_net.ko: k/net_failover.ko k/failover.ko k/virtio.ko k/virtio_ring.ko\n"
        "k/virtio_net_other.ko: k/other.ko\n"
        "no line\n",
        wanted);
    g_autofree char *all = g_strjoinv(" ", order);
    g_assert_cmpstr(all, ==,
                    "k/virtio_ring.ko k/virtio.ko k/failover.ko k/net_failover.ko "
                    "k/virtio_net.ko k/hw/virtio-rng.ko.xz");
}

static void test_module_order_is_bounded(void)
{
    static const char *const wanted[] = {"a", NULL};
    g_autoptr(GString) text = g_string_new("a.ko:");
    for (guint i = 0; i < 500; i++)
        g_string_append_printf(text, " m%u.ko", i);
    g_auto(GStrv) order = stead_build_module_order(text->str, wanted);
    g_assert_cmpuint(g_strv_length(order), <=, 64);
    g_auto(GStrv) none = stead_build_module_order("", wanted);
    g_assert_cmpuint(g_strv_length(none), ==, 0);
}

static void test_applets(void)
{
    g_auto(GStrv) applets = stead_build_applets("usr/bin/[\nbin/sh\nbin/busybox\nlinuxrc\n"
                                                "sbin/init\nusr/bin/dpkg\nbin/../../etc/x\n"
                                                "etc/x\nbin/a/b\nbin/\n\nusr/sbin/httpd");
    g_autofree char *all = g_strjoinv(" ", applets);
    g_assert_cmpstr(all, ==, "usr/bin/[ bin/sh usr/sbin/httpd");
}

static void test_tiny_scripts_are_sound(void)
{
    for (const SteadBuildFile *file = stead_build_tiny_files; file->path; file++) {
        if (!g_str_has_prefix(file->text, "#!/bin/sh\n"))
            continue;
        g_assert_cmpint(file->mode, ==, 0755);
        const SteadRunOptions options = {.input = file->text};
        const char *const argv[] = {"sh", "-n", NULL};
        g_autoptr(GError) error = NULL;
        stead_run(argv, &options, NULL, NULL, &error);
        g_assert_no_error(error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/image/build/" name, function)
    ADD("every-listed-release-is-known", test_every_listed_release_is_known);
    ADD("debian-12-is-bookworm", test_debian_12_is_bookworm);
    ADD("other-releases-are-unknown", test_other_releases_are_unknown);
    ADD("unknown-release-is-refused", test_unknown_release_is_refused);
    ADD("bad-size-is-refused", test_bad_size_is_refused);
    ADD("mirror-from-deb822", test_mirror_from_deb822);
    ADD("mirror-passes-over-third-parties", test_mirror_passes_over_third_parties);
    ADD("mirror-passes-over-disabled", test_mirror_passes_over_disabled_and_source_entries);
    ADD("mirror-takes-the-first-web-uri", test_mirror_takes_the_first_web_uri);
    ADD("mirror-from-list", test_mirror_from_list);
    ADD("host-without-sources-gets-debian", test_host_without_sources_gets_debian);
    ADD("sources-and-inrelease", test_sources_and_inrelease);
    ADD("layout-is-aligned-and-fits", test_layout_is_aligned_and_fits);
    ADD("layout-refuses-sizes", test_layout_refuses_sizes);
    ADD("sfdisk-script", test_sfdisk_script);
    ADD("bios-code-is-patched", test_bios_code_is_patched);
    ADD("short-bios-core-is-refused", test_short_bios_core_is_refused);
    ADD("grub-cfg", test_grub_cfg);
    ADD("fstab", test_fstab);
    ADD("sources-of-the-image-are-official", test_sources_of_the_image_are_official);
    ADD("no-placeholder-is-left", test_no_placeholder_is_left);
    ADD("configuring-a-tree", test_configuring_a_tree);
    ADD("links-out-of-the-tree", test_writing_does_not_follow_links_out_of_the_tree);
    ADD("cache-keeps-what-the-tree-used", test_cache_keeps_what_the_tree_used);
    ADD("meter-follows-apt-and-dpkg", test_meter_follows_apt_and_dpkg);
    ADD("meter-never-goes-back-nor-over", test_meter_never_goes_back_nor_over);
    ADD("reports-stay-in-their-stage", test_reports_stay_in_their_stage);
    ADD("tiny/built-apart", test_tiny_is_built_apart);
    ADD("tiny/size", test_tiny_size_is_checked);
    ADD("tiny/module-order", test_module_order);
    ADD("tiny/module-order-bounded", test_module_order_is_bounded);
    ADD("tiny/applets", test_applets);
    ADD("tiny/scripts", test_tiny_scripts_are_sound);
#undef ADD
    return g_test_run();
}
