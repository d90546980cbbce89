/* SPDX-License-Identifier: Apache-2.0 */
#include "image/boot.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/paths.h"
#include "base/subprocess.h"
#include "fixture.h"
#include "image/boot_parts.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

/* --- Partitions --- */

static GArray *partitions(const char *json)
{
    return stead_boot_parse_partitions(json, strlen(json), 100 * MIB);
}

static void test_partitions(void)
{
    g_autoptr(GArray) starts =
        partitions("{\"partitiontable\": {\"label\": \"gpt\", \"unit\": \"sectors\", "
                   "\"sectorsize\": 512, \"partitions\": [{\"node\": \"x1\", \"start\": 2048, "
                   "\"size\": 8}, {\"node\": \"x14\", \"start\": 4096, \"size\": 8}]}}");
    g_assert_nonnull(starts);
    g_assert_cmpuint(starts->len, ==, 2);
    g_assert_cmpuint(g_array_index(starts, guint64, 0), ==, MIB);
    g_assert_cmpuint(g_array_index(starts, guint64, 1), ==, 2 * MIB);
}

static void test_partitions_of_older_sfdisk(void)
{
    g_autoptr(GArray) starts =
        partitions("{\"partitiontable\": {\"partitions\": [{\"start\": 2048}]}}");
    g_assert_cmpuint(g_array_index(starts, guint64, 0), ==, MIB);
}

static void test_partitions_outside(void)
{
    g_autoptr(GArray) starts = partitions(
        "{\"partitiontable\": {\"sectorsize\": 4096, \"partitions\": [{\"start\": 9007199254740991}"
        ", {\"start\": 9223372036854775807}, {\"start\": -1}, {\"start\": 0}, {\"start\": \"9\"}, "
        "{\"start\": 1.5}, {\"size\": 7}, 7, null, [], {\"start\": 25600}, {\"start\": 25599}]}}");
    g_assert_cmpuint(starts->len, ==, 1);
    g_assert_cmpuint(g_array_index(starts, guint64, 0), ==, 100 * MIB - 4096);
}

static void test_partitions_too_many(void)
{
    g_autoptr(GString) json = g_string_new("{\"partitiontable\": {\"partitions\": [{\"start\": 1}");
    for (guint i = 0; i < 128; i++)
        g_string_append(json, ", {\"start\": 2}");
    g_string_append(json, "]}}");
    g_autoptr(GArray) starts = partitions(json->str);
    g_assert_cmpuint(starts->len, ==, STEAD_BOOT_PARTITIONS_MAX);
}

static void test_partitions_none(void)
{
    static const char *const answers[] = {
        "",
        "{",
        "[]",
        "7",
        "{}",
        "{\"partitiontable\": 7}",
        "{\"partitiontable\": {}}",
        "{\"partitiontable\": {\"partitions\": {}}}",
        "{\"partitiontable\": {\"sectorsize\": 0, \"partitions\": []}}",
        "{\"partitiontable\": {\"sectorsize\": 1, \"partitions\": []}}",
        "{\"partitiontable\": {\"sectorsize\": 514, \"partitions\": []}}",
        "{\"partitiontable\": {\"sectorsize\": 8192, \"partitions\": []}}",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++)
        g_assert_null(partitions(answers[i]));
}

/* --- Listings --- */

static void test_listing(void)
{
    g_autoptr(GArray) listing = stead_boot_parse_listing("/13/040755/0/0/.//\n"
                                                         "/17/040755/0/0/grub//\n"
                                                         "/1389/120777/0/0/initrd.img/36/\n"
                                                         "/580/100644/0/0/initrd.img-6.1/6909963/\n"
                                                         "\n");
    g_assert_cmpuint(listing->len, ==, 3);
    const SteadBootEntry *file = &g_array_index(listing, SteadBootEntry, 2);
    g_assert_cmpuint(file->inode, ==, 580);
    g_assert_cmpint(file->kind, ==, STEAD_BOOT_FILE);
    g_assert_cmpuint(file->size, ==, 6909963);
    g_assert_cmpstr(file->name, ==, "initrd.img-6.1");
    g_assert_cmpuint(stead_boot_find_folder(listing, "grub"), ==, 17);
    g_assert_cmpuint(stead_boot_find_folder(listing, "initrd.img-6.1"), ==, 0);
}

static void test_listing_hostile(void)
{
    g_autofree char *name = g_strnfill(256, 'x');
    g_autofree char *text = g_strconcat("/0/100644/0/0/zero/1/\n"
                                        "/4294967296/100644/0/0/inode/1/\n"
                                        "/-5/100644/0/0/minus/1/\n"
                                        "/5/100644/0/0/size/18446744073709551615/\n"
                                        "/5/100644/0/0/size/-1/\n"
                                        "/5/100644/0/0/size//\n"
                                        "/5/999999/0/0/mode/1/\n"
                                        "/5/060644/0/0/device/1/\n"
                                        "/5/100644/0/0/with/slash/1/\n"
                                        "/5/100644/0/0/cut\n"
                                        "/5/100644/0/0//1/\n"
                                        "5/100644/0/0/begin/1/\n"
                                        "/5/100644/0/0/end/1/x\n"
                                        "/5/100644/0/0/",
                                        name, "/1/\n", NULL);
    g_autoptr(GArray) listing = stead_boot_parse_listing(text);
    g_assert_cmpuint(listing->len, ==, 0);
}

static void test_listing_too_long(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < 2 * STEAD_BOOT_ENTRIES_MAX; i++)
        g_string_append(text, "/5/100644/0/0/file/1/\n");
    g_autoptr(GArray) listing = stead_boot_parse_listing(text->str);
    g_assert_cmpuint(listing->len, <, STEAD_BOOT_ENTRIES_MAX);
}

static void test_uuid(void)
{
    g_autofree char *uuid =
        stead_boot_parse_uuid("Filesystem volume name:   root\n"
                              "Filesystem UUID:          70a383b2-27E8-4f3f-9117-58a0bb62dbab\n"
                              "Filesystem magic number:  0xEF53\n");
    g_assert_cmpstr(uuid, ==, "70a383b2-27e8-4f3f-9117-58a0bb62dbab");
    g_assert_null(stead_boot_parse_uuid(""));
    g_assert_null(stead_boot_parse_uuid("Filesystem UUID:          <none>\n"));
    g_assert_null(stead_boot_parse_uuid(
        "Filesystem UUID: 70a383b2-27e8-4f3f-9117-58a0bb62dbab init=/bin/sh\n"));
}

/* --- Versions --- */

static gboolean choose(const char *text, SteadBootKernel *kernel)
{
    g_autoptr(GArray) listing = stead_boot_parse_listing(text);
    return stead_boot_choose(listing, kernel);
}

static void test_newest(void)
{
    SteadBootKernel kernel;
    g_assert_true(choose("/1/100644/0/0/vmlinuz-6.1.0-9-amd64/10/\n"
                         "/2/100644/0/0/initrd.img-6.1.0-9-amd64/20/\n"
                         "/3/100644/0/0/vmlinuz-6.1.0-56-amd64/30/\n"
                         "/4/100644/0/0/initrd.img-6.1.0-56-amd64/40/\n"
                         "/5/100644/0/0/vmlinuz-6.1.0-57-amd64/50/\n"
                         "/6/100644/0/0/vmlinuz-6.1.0-58-amd64.old/50/\n"
                         "/7/100644/0/0/initrd.img-6.1.0-58-amd64.old/50/\n",
                         &kernel));
    g_assert_cmpstr(kernel.version, ==, "6.1.0-56-amd64");
    g_assert_cmpuint(kernel.kernel, ==, 3);
    g_assert_cmpuint(kernel.initrd, ==, 4);
    g_assert_cmpuint(kernel.kernel_size, ==, 30);
    g_assert_cmpuint(kernel.initrd_size, ==, 40);
}

static void test_no_initrd(void)
{
    SteadBootKernel kernel;
    g_assert_true(choose("/1/100644/0/0/vmlinuz-1/10/\n/2/100644/0/0/vmlinuz-2/10/\n"
                         "/3/040755/0/0/initrd.img-2//\n/4/100644/0/0/initrd.img-3/5/\n",
                         &kernel));
    g_assert_cmpstr(kernel.version, ==, "2");
    g_assert_cmpuint(kernel.initrd, ==, 0);
}

static void test_initrd_names(void)
{
    static const char *const names[] = {"initrd.img-1", "initramfs-1.img", "initramfs-1",
                                        "initrd-1"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        SteadBootKernel kernel;
        g_autofree char *text =
            g_strdup_printf("/1/100644/0/0/vmlinuz-1/10/\n/2/100644/0/0/%s/10/\n", names[i]);
        g_assert_true(choose(text, &kernel));
        g_assert_cmpuint(kernel.initrd, ==, 2);
    }
}

static void test_no_kernel(void)
{
    SteadBootKernel kernel;
    g_autofree char *version = g_strnfill(STEAD_BOOT_VERSION_MAX + 1, '1');
    g_autofree char *text = g_strdup_printf("/1/100644/0/0/vmlinuz-%s/10/\n"
                                            "/2/100644/0/0/vmlinuz-/10/\n"
                                            "/3/100644/0/0/vmlinuz-a b/10/\n"
                                            "/4/100644/0/0/vmlinuz-1/0/\n"
                                            "/5/100644/0/0/vmlinuz-2/268435457/\n"
                                            "/6/040755/0/0/vmlinuz-3//\n"
                                            "/7/100644/0/0/vmlinuz/10/\n",
                                            version);
    g_assert_false(choose(text, &kernel));
    g_assert_false(choose("", &kernel));
}

static void test_initrd_too_large(void)
{
    SteadBootKernel kernel;
    g_assert_true(
        choose("/1/100644/0/0/vmlinuz-1/10/\n/2/100644/0/0/initrd.img-1/536870913/\n", &kernel));
    g_assert_cmpuint(kernel.initrd, ==, 0);
}

/* --- The piece --- */

static char *read_text(const char *path)
{
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void test_cpio_golden(void)
{
    static const SteadCpioEntry entries[] = {
        {"d", S_IFDIR | 0711, NULL, 0},
        {"d/file", S_IFREG | 0644, "hello", 5},
    };
    static const char golden[] = /* heads of 110 bytes; name and content padded to 4 */
        "070701000000010000"
        "41C9"
        "0000000000000000"
        "00000001"
        "00000000"
        "00000000"
        "00000000000000000000000000000000"
        "00000002"
        "00000000"
        "d\0"
        "070701000000020000"
        "81A4"
        "0000000000000000"
        "00000001"
        "00000000"
        "00000005"
        "00000000000000000000000000000000"
        "00000007"
        "00000000"
        "d/file\0\0\0\0"
        "hello\0\0\0"
        "070701000000000000"
        "0000"
        "0000000000000000"
        "00000001"
        "00000000"
        "00000000"
        "00000000000000000000000000000000"
        "0000000B"
        "00000000"
        "TRAILER!!!\0\0\0";
    g_autoptr(GBytes) archive = stead_cpio_new(entries, G_N_ELEMENTS(entries));
    g_assert_cmpmem(g_bytes_get_data(archive, NULL), g_bytes_get_size(archive), golden,
                    sizeof golden - 1 + 1);
}

static void test_padding(void)
{
    for (guint64 size = 0; size < 2000; size++) {
        gsize padding = stead_boot_padding(size);
        g_assert_cmpuint((size + padding) % 512, ==, 0);
        g_assert_cmpuint(padding, >=, 8);
        g_assert_cmpuint(padding, <, 8 + 512);
    }
}

static char *write_agent(Fixture *fixture, const char *name, const char *words)
{
    g_autofree char *text = g_strconcat("\177ELF", words, NULL);
    return fixture_write(fixture, name, text, -1);
}

static void test_piece_unpacks(Fixture *fixture, gconstpointer data)
{
    if (!stead_find_program("cpio", NULL)) {
        g_test_skip("cpio is not installed");
        return;
    }
    g_autofree char *agent = write_agent(fixture, "agent", " the agent");
    g_autoptr(GBytes) piece = stead_boot_piece(agent, NULL);
    g_autofree char *archive = fixture_write(fixture, "piece", g_bytes_get_data(piece, NULL),
                                             (gssize)g_bytes_get_size(piece));
    g_autofree char *root = fixture_path(fixture, "root");
    g_assert_cmpint(g_mkdir(root, 0755), ==, 0);
    fixture_run("cpio", "--quiet", "-i", "-D", root, "-F", archive, NULL);
    g_autofree char *program = g_build_filename(root, "stead/agent", NULL);
    g_autofree char *hook = g_build_filename(root, "conf/conf.d/zz-stead", NULL);
    g_autofree char *program_text = read_text(program), *hook_text = read_text(hook);
    struct stat st;
    g_assert_cmpstr(program_text, ==, "\177ELF the agent");
    g_assert_nonnull(strstr(hook_text, "/stead/agent --install /run"));
    g_assert_cmpint(stat(program, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0755);
    /* Sourced as /init does it, it must not fail nor say anything. */
    fixture_run("sh", "-n", hook, NULL);
}

static void test_piece_refuses(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *script = fixture_write(fixture, "agent", "#!/bin/sh\n", -1);
    g_assert_null(stead_boot_piece(script, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
    g_assert_null(stead_boot_piece("/nonexistent", NULL));
}

/* --- Images --- */

#define UUID "01234567-89ab-4def-8123-456789abcdef"

static gboolean has_tools(void)
{
    static const char *const programs[] = {"mke2fs", "debugfs", "sfdisk", "qemu-img"};
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++)
        if (!stead_find_program(programs[i], NULL)) {
            g_test_skip("mke2fs, debugfs, sfdisk or qemu-img is not installed");
            return FALSE;
        }
    return TRUE;
}

/* A file below the fixture's folder with the folders above it. */
static void put(Fixture *fixture, const char *name, const char *text, gsize length)
{
    g_autofree char *path = fixture_path(fixture, name);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_true(stead_make_dir(folder, 0755, NULL));
    g_free(fixture_write(fixture, name, text, (gssize)length));
}

/* What passes for a kernel. */
static void put_kernel(Fixture *fixture, const char *name, char mark)
{
    g_autofree char *bytes = g_strnfill(70000, mark);
    memcpy(bytes + 0x202, "HdrS", 4);
    put(fixture, name, bytes, 70000);
}

/* Puts an ext4 of 8 MiB filled from a folder at an offset of the raw disk. */
static void put_file_system(Fixture *fixture, const char *folder, const char *disk, guint mib,
                            const char *uuid)
{
    g_autofree char *from = fixture_path(fixture, folder);
    g_autofree char *extended = g_strdup_printf("offset=%u", mib << 20);
    fixture_run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-U", uuid, "-E", extended, "-d",
                from, disk, "8M", NULL);
}

static char *make_raw(Fixture *fixture, guint mib)
{
    char *path = fixture_path(fixture, "disk.raw");
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    g_assert_cmpint(ftruncate(fd, (off_t)mib << 20), ==, 0);
    close(fd);
    return path;
}

/* Stores it as an image. */
static SteadImage *store_raw(Fixture *fixture, const char *raw)
{
    static const SteadImageOrigin origin = {.name = "test:1", .source = "build"};
    g_autoptr(GError) error = NULL;
    g_autofree char *staged = stead_image_store_stage(fixture->store, ".qcow2", NULL, &error);
    fixture_run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, staged, NULL);
    SteadImage *image =
        stead_image_store_add(fixture->store, staged, &origin, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    stead_image_store_settle(fixture->store, image->digest);
    return image;
}

static void put_root(Fixture *fixture)
{
    put(fixture, "root/etc/hostname", "x", 1);
    put(fixture, "root/usr/bin/true", "x", 1);
}

/* One file system on the whole disk, kernel and initramfs in its /boot. */
static SteadImage *whole_disk_image(Fixture *fixture)
{
    put_root(fixture);
    put_kernel(fixture, "root/boot/vmlinuz-1-test", 'k');
    put(fixture, "root/boot/initrd.img-1-test", "an initramfs", 12);
    g_autofree char *raw = make_raw(fixture, 8);
    put_file_system(fixture, "root", raw, 0, UUID);
    return store_raw(fixture, raw);
}

static void assert_content(const char *path, const char *expected, gsize length, mode_t mode)
{
    g_autofree char *text = NULL;
    gsize size;
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, mode);
    g_assert_true(g_file_get_contents(path, &text, &size, NULL));
    g_assert_cmpmem(text, MIN(size, length), expected, length);
}

static void test_whole_disk(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadImage) image = whole_disk_image(fixture);
    g_autofree char *agent = write_agent(fixture, "agent", "1");
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(fixture->store, image->digest, agent, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(files->root, ==, "UUID=" UUID);
    assert_content(files->kernel, "kkkk", 4, 0644);
    assert_content(files->initrd, "an initramfs", 12, 0644);
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(files->initrd, &bytes, &size, NULL));
    g_assert_cmpmem(bytes + 512, 6, "070701", 6);
    fixture_assert_clean(fixture, 1);
    /* The second time they are the same files. */
    g_autoptr(SteadBootFiles) again =
        stead_boot_files(fixture->store, image->digest, agent, NULL, &error);
    g_assert_cmpstr(again->initrd, ==, files->initrd);
    g_assert_cmpstr(again->kernel, ==, files->kernel);
}

static void test_other_agent(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    g_autoptr(SteadImage) image = whole_disk_image(fixture);
    g_autofree char *agent = write_agent(fixture, "agent", "1");
    g_autofree char *newer = write_agent(fixture, "newer", "2");
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(fixture->store, image->digest, agent, NULL, NULL);
    g_autoptr(SteadBootFiles) others =
        stead_boot_files(fixture->store, image->digest, newer, NULL, NULL);
    g_assert_cmpstr(files->initrd, !=, others->initrd);
    g_assert_true(g_file_test(files->initrd, G_FILE_TEST_EXISTS)); /* it may be about to be used */
    const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}};
    g_assert_cmpint(utimensat(AT_FDCWD, files->initrd, long_ago, 0), ==, 0);
    g_assert_cmpint(g_unlink(others->initrd), ==, 0);
    g_autoptr(SteadBootFiles) again =
        stead_boot_files(fixture->store, image->digest, newer, NULL, NULL);
    g_assert_cmpstr(again->initrd, ==, others->initrd);
    g_assert_false(g_file_test(files->initrd, G_FILE_TEST_EXISTS));
}

static void test_separate_boot(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    g_autoptr(GError) error = NULL;
    put_root(fixture);
    put(fixture, "root/boot/.keep", "", 0);
    put_kernel(fixture, "boot/vmlinuz-6.8.0-9-generic", 'o');
    put(fixture, "boot/initrd.img-6.8.0-9-generic", "old", 3);
    put_kernel(fixture, "boot/vmlinuz-6.8.0-31-generic", 'n');
    put(fixture, "boot/initrd.img-6.8.0-31-generic", "new", 3);
    g_autofree char *raw = make_raw(fixture, 32);
    const SteadRunOptions options = {.input = "label: gpt\nstart=2048, size=16384\n"
                                              "start=18432, size=4096\nstart=32768, size=16384\n"};
    const char *const sfdisk[] = {"sfdisk", "--quiet", raw, NULL};
    g_assert_true(stead_run(sfdisk, &options, NULL, NULL, NULL));
    put_file_system(fixture, "root", raw, 1, UUID);
    put_file_system(fixture, "boot", raw, 16, "f1234567-89ab-4def-8123-456789abcdef");
    g_autoptr(SteadImage) image = store_raw(fixture, raw);
    g_autofree char *agent = write_agent(fixture, "agent", "1");
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(fixture->store, image->digest, agent, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(files->root, ==, "UUID=" UUID);
    assert_content(files->kernel, "nnnn", 4, 0644);
    assert_content(files->initrd, "new", 3, 0644);
}

static void test_without_initrd(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    put_root(fixture);
    put_kernel(fixture, "root/boot/vmlinuz-1", 'k');
    g_autofree char *raw = make_raw(fixture, 8);
    put_file_system(fixture, "root", raw, 0, UUID);
    g_autoptr(SteadImage) image = store_raw(fixture, raw);
    g_autofree char *agent = write_agent(fixture, "agent", "1");
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(fixture->store, image->digest, agent, NULL, NULL);
    g_assert_nonnull(files);
    g_assert_null(files->initrd);
}

static void assert_refused(Fixture *fixture, const char *raw, SteadErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadImage) image = store_raw(fixture, raw);
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(fixture->store, image->digest, "/nonexistent", NULL, &error);
    g_assert_null(files);
    assert_stead_error(error, code);
    g_autofree char *folder = stead_image_store_boot_folder(fixture->store, image->digest);
    g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
    fixture_assert_clean(fixture, 1);
}

static void test_empty_disk(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    g_autofree char *raw = make_raw(fixture, 8);
    assert_refused(fixture, raw, STEAD_ERROR_UNSUPPORTED);
}

static void test_no_kernel_in_image(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    put_root(fixture);
    g_autofree char *raw = make_raw(fixture, 8);
    put_file_system(fixture, "root", raw, 0, UUID);
    assert_refused(fixture, raw, STEAD_ERROR_UNSUPPORTED);
}

static void test_kernel_is_none(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    put_root(fixture);
    put(fixture, "root/boot/vmlinuz-1", "not a kernel", 12);
    g_autofree char *raw = make_raw(fixture, 8);
    put_file_system(fixture, "root", raw, 0, UUID);
    assert_refused(fixture, raw, STEAD_ERROR_UNSUPPORTED);
}

/* File systems with their tables overwritten: whatever comes of it, it ends, and with an error or
 * with files. */
static void test_damaged(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    put_root(fixture);
    put_kernel(fixture, "root/boot/vmlinuz-1-test", 'k');
    put(fixture, "root/boot/initrd.img-1-test", "an initramfs", 12);
    g_autofree char *raw = make_raw(fixture, 8);
    for (guint i = 1; i <= 12; i++) {
        put_file_system(fixture, "root", raw, 0, UUID);
        int fd = open(raw, O_WRONLY | O_CLOEXEC);
        g_autofree char *noise = g_malloc(2048);
        for (guint j = 0; j < 2048; j++)
            noise[j] = (char)g_test_rand_int();
        g_assert_cmpint(pwrite(fd, noise, i == 1 ? 300 : 2048, i == 1 ? 1080 : i * 3000), >, 0);
        close(fd);
        g_autoptr(GError) error = NULL;
        g_autoptr(SteadImage) image = store_raw(fixture, raw);
        g_autoptr(SteadBootFiles) files =
            stead_boot_files(fixture->store, image->digest, NULL, NULL, &error);
        g_assert_true((files != NULL) != (error != NULL));
    }
}

static void test_absent_image(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *digest = g_strnfill(64, 'a');
    g_assert_null(stead_boot_files(fixture->store, digest, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_null(stead_boot_files(fixture->store, "../../etc", NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
}

static void test_removed_with_image(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    g_autoptr(SteadImage) image = whole_disk_image(fixture);
    g_autofree char *folder = stead_image_store_boot_folder(fixture->store, image->digest);
    g_autofree char *agent = write_agent(fixture, "agent", "1");
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(fixture->store, image->digest, agent, NULL, NULL);
    g_assert_nonnull(files);
    g_assert_true(g_file_test(folder, G_FILE_TEST_IS_DIR));
    g_assert_true(stead_image_store_remove(fixture->store, image, NULL, NULL, NULL));
    g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
    fixture_assert_clean(fixture, 0);
}

static void test_orphaned_folder(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *digest = g_strnfill(64, 'a');
    g_autofree char *folder = stead_image_store_boot_folder(fixture->store, digest);
    g_autofree char *inner = g_build_filename(folder, "x", NULL);
    g_assert_true(stead_make_dir(inner, 0711, NULL));
    g_autofree char *state = fixture_path(fixture, "state");
    g_clear_pointer(&fixture->store, stead_image_store_free);
    fixture->store = stead_image_store_open(state, &error);
    g_assert_no_error(error);
    g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
}

typedef struct {
    Fixture *fixture;
    const char *digest, *agent;
} Caller;

static gpointer call(gpointer data)
{
    const Caller *caller = data;
    return stead_boot_files(caller->fixture->store, caller->digest, caller->agent, NULL, NULL);
}

static void test_many_at_once(Fixture *fixture, gconstpointer data)
{
    if (!has_tools())
        return;
    g_autoptr(SteadImage) image = whole_disk_image(fixture);
    g_autofree char *agent = write_agent(fixture, "agent", "1");
    Caller caller = {fixture, image->digest, agent};
    GThread *threads[8];
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("boot", call, &caller);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_autoptr(SteadBootFiles) files = g_thread_join(threads[i]);
        g_assert_nonnull(files);
        g_assert_true(g_file_test(files->initrd, G_FILE_TEST_IS_REGULAR));
    }
    fixture_assert_clean(fixture, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/boot/partitions", test_partitions);
    g_test_add_func("/boot/partitions/older-sfdisk", test_partitions_of_older_sfdisk);
    g_test_add_func("/boot/partitions/outside", test_partitions_outside);
    g_test_add_func("/boot/partitions/too-many", test_partitions_too_many);
    g_test_add_func("/boot/partitions/none", test_partitions_none);
    g_test_add_func("/boot/listing", test_listing);
    g_test_add_func("/boot/listing/hostile", test_listing_hostile);
    g_test_add_func("/boot/listing/too-long", test_listing_too_long);
    g_test_add_func("/boot/uuid", test_uuid);
    g_test_add_func("/boot/kernel/newest", test_newest);
    g_test_add_func("/boot/kernel/no-initrd", test_no_initrd);
    g_test_add_func("/boot/kernel/initrd-names", test_initrd_names);
    g_test_add_func("/boot/kernel/none", test_no_kernel);
    g_test_add_func("/boot/kernel/initrd-too-large", test_initrd_too_large);
    g_test_add_func("/boot/cpio/golden", test_cpio_golden);
    g_test_add_func("/boot/cpio/padding", test_padding);
    add_test("/boot/piece/unpacks", test_piece_unpacks);
    add_test("/boot/piece/refuses", test_piece_refuses);
    add_test("/boot/image/whole-disk", test_whole_disk);
    add_test("/boot/image/other-agent", test_other_agent);
    add_test("/boot/image/separate-boot", test_separate_boot);
    add_test("/boot/image/without-initrd", test_without_initrd);
    add_test("/boot/image/empty-disk", test_empty_disk);
    add_test("/boot/image/no-kernel", test_no_kernel_in_image);
    add_test("/boot/image/kernel-is-none", test_kernel_is_none);
    add_test("/boot/image/damaged", test_damaged);
    add_test("/boot/image/absent", test_absent_image);
    add_test("/boot/image/removed", test_removed_with_image);
    add_test("/boot/image/orphan", test_orphaned_folder);
    add_test("/boot/image/many-at-once", test_many_at_once);
    return g_test_run();
}
