/* SPDX-License-Identifier: Apache-2.0 */
#include "image/import.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "base/subprocess.h"
#include "model/spec.h"

static const SteadImportOptions plain = {.origin = {.name = "test:1"}};

static SteadImage *import(Fixture *fixture, const char *path, GError **error)
{
    return stead_image_import(fixture->store, path, &plain, NULL, NULL, NULL, error);
}

static void assert_same_content(Fixture *fixture, const SteadImage *image, const char *raw)
{
    g_autofree char *path = stead_image_store_path(fixture->store, image->digest);
    fixture_run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, path, NULL);
}

static void assert_imports(Fixture *fixture, const char *path, const char *raw)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadImage) image = import(fixture, path, &error);
    g_assert_no_error(error);
    assert_same_content(fixture, image, raw);
    fixture_assert_clean(fixture, 1);
}

static void assert_refused(Fixture *fixture, const char *path, SteadErrorCode code,
                           const char *because)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadImage) image = import(fixture, path, &error);
    g_assert_null(image);
    assert_stead_error(error, code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, because));
    g_assert_nonnull(strstr(error->message, path));
    fixture_assert_clean(fixture, 0);
}

typedef struct {
    const char *driver;
    const char *options; /* NULL: none */
} FormatCase;

static const FormatCase format_cases[] = {
    {"raw", NULL},
    {"qcow2", "compat=0.10"},
    {"qcow2", "compat=1.1,extended_l2=on"},
    {"vmdk", "subformat=monolithicSparse"},
    {"vmdk", "subformat=streamOptimized"},
    {"vdi", NULL},
    {"vdi", "static=on"},
    {"vhdx", NULL},
    {"vhdx", "subformat=fixed"},
    {"vpc", "subformat=dynamic,force_size=on"},
    {"vpc", "subformat=fixed,force_size=on"},
};

/* The names say nothing: all are called "disk". */
static void test_format(Fixture *fixture, gconstpointer data)
{
    const FormatCase *one = data;
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_autofree char *disk = fixture_path(fixture, "disk");
    fixture_run("qemu-img", "convert", "-f", "raw", "-O", one->driver, raw, disk,
                one->options ? "-o" : NULL, one->options, NULL);
    assert_imports(fixture, disk, raw);
}

static const char *const packers[] = {"gzip", "xz", "zstd"};

static void test_packed(Fixture *fixture, gconstpointer data)
{
    const char *packer = data;
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_autofree char *disk = fixture_path(fixture, "disk.vdi");
    g_autofree char *suffixed = g_strconcat(disk,
                                            *packer == 'g'   ? ".gz"
                                            : *packer == 'x' ? ".xz"
                                                             : ".zst",
                                            NULL);
    fixture_run("qemu-img", "convert", "-f", "raw", "-O", "vdi", raw, disk, NULL);
    fixture_run(packer, "-q", disk, NULL);
    assert_imports(fixture, suffixed, raw);
}

static void test_packed_raw(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 40);
    g_autofree char *packed = fixture_path(fixture, "raw.gz");
    fixture_run("gzip", "-qk", raw, NULL);
    assert_imports(fixture, packed, raw);
}

static void test_private_file(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_assert_cmpint(chmod(raw, 0600), ==, 0);
    assert_imports(fixture, raw, raw);
}

static void test_record(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_autofree char *source = g_strconcat("import ", raw, NULL);
    g_autoptr(SteadImage) image = import(fixture, raw, NULL);
    g_assert_cmpstr(image->name, ==, "test:1");
    g_assert_cmpstr(image->source, ==, source);
    g_assert_null(image->published);
    g_assert_cmpuint(image->virtual_size, ==, 8 << 20);
    g_assert_false(image->agent);
}

/* The same disk imported twice, in two formats, is one file. */
static void test_equal_disks_are_stored_once(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_autofree char *vdi = fixture_path(fixture, "vdi");
    fixture_run("qemu-img", "convert", "-f", "raw", "-O", "vdi", raw, vdi, NULL);
    g_autoptr(SteadImage) one = import(fixture, raw, NULL);
    g_autoptr(SteadImage) two = import(fixture, vdi, NULL);
    g_assert_cmpstr(one->digest, ==, two->digest);
    fixture_assert_clean(fixture, 1);
}

static void test_verified_qcow2_is_kept(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_autofree char *disk =
        g_build_filename(stead_image_store_downloads(fixture->store), "disk", NULL);
    g_autofree char *copy = fixture_path(fixture, "copy");
    fixture_run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, disk, NULL);
    fixture_run("cp", disk, copy, NULL);
    SteadImportOptions options = plain;
    options.verified = options.move = TRUE;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadImage) image =
        stead_image_import(fixture->store, disk, &options, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_autofree char *path = stead_image_store_path(fixture->store, image->digest);
    fixture_run("cmp", copy, path, NULL);
    g_assert_false(g_file_test(disk, G_FILE_TEST_EXISTS));
}

static void note_stage(const char *stage, double fraction, gpointer data)
{
    g_assert_cmpfloat(fraction, <=, 1.0);
    if (!g_strv_contains((const char *const *)((GPtrArray *)data)->pdata, stage)) {
        GPtrArray *stages = data;
        g_ptr_array_insert(stages, (int)stages->len - 1, g_strdup(stage));
    }
}

static void test_progress(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 64);
    g_autofree char *packed = fixture_path(fixture, "raw.zst");
    g_autoptr(GPtrArray) stages = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(stages, NULL);
    fixture_run("zstd", "-q", raw, NULL);
    g_autoptr(SteadImage) image =
        stead_image_import(fixture->store, packed, &plain, note_stage, stages, NULL, NULL);
    g_assert_nonnull(image);
    g_assert_cmpstr(stages->pdata[0], ==, "unpacking");
    g_assert_cmpstr(stages->pdata[1], ==, "converting");
}

static void cancel_at_conversion(const char *stage, double fraction, gpointer cancellable)
{
    if (strcmp(stage, "converting") == 0)
        g_cancellable_cancel(cancellable);
}

static void test_cancel(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 64);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_image_import(fixture->store, raw, &plain, cancel_at_conversion, cancellable,
                                     cancellable, &error));
    assert_stead_error(error, STEAD_ERROR_CANCELLED);
    fixture_assert_clean(fixture, 0);
}

/* Hostile and wrong files. */
static void test_backing_file(Fixture *fixture, gconstpointer data)
{
    g_autofree char *disk = fixture_path(fixture, "disk");
    fixture_run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd",
                disk, "1M", NULL);
    assert_refused(fixture, disk, STEAD_ERROR_INVALID, "backing file");
}

static void test_backing_file_inside_a_packed_image(Fixture *fixture, gconstpointer data)
{
    g_autofree char *disk = fixture_path(fixture, "disk");
    g_autofree char *packed = fixture_path(fixture, "disk.gz");
    fixture_run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd",
                disk, "1M", NULL);
    fixture_run("gzip", "-q", disk, NULL);
    assert_refused(fixture, packed, STEAD_ERROR_INVALID, "backing file");
}

static void test_external_data_file(Fixture *fixture, gconstpointer data)
{
    g_autofree char *disk = fixture_path(fixture, "disk");
    g_autofree char *other = fixture_path(fixture, "other");
    g_autofree char *option = g_strconcat("data_file=", other, NULL);
    fixture_run("qemu-img", "create", "-q", "-f", "qcow2", "-o", option, disk, "1M", NULL);
    assert_refused(fixture, disk, STEAD_ERROR_INVALID, "another file");
}

static void test_vmdk_of_several_files(Fixture *fixture, gconstpointer data)
{
    static const char *const subformats[] = {"subformat=monolithicFlat",
                                             "subformat=twoGbMaxExtentSparse"};
    for (gsize i = 0; i < G_N_ELEMENTS(subformats); i++) {
        g_autofree char *name = g_strdup_printf("disk%" G_GSIZE_FORMAT ".vmdk", i);
        g_autofree char *disk = fixture_path(fixture, name);
        fixture_run("qemu-img", "create", "-q", "-f", "vmdk", "-o", subformats[i], disk, "1M",
                    NULL);
        assert_refused(fixture, disk, STEAD_ERROR_UNSUPPORTED, "other files");
    }
}

/* Changes bytes of a file in place. */
static void patch(const char *path, off_t offset, const void *bytes, gsize n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, bytes, n, offset), ==, n);
    close(fd);
}

static char *make_disk(Fixture *fixture, const char *driver, const char *options)
{
    char *disk = fixture_path(fixture, "disk");
    fixture_run("qemu-img", "create", "-q", "-f", driver, disk, "8M", options ? "-o" : NULL,
                options, NULL);
    return disk;
}

typedef struct {
    const char *name;
    const char *driver;
    const char *options;
    off_t offset;
    const char *bytes;
    gsize length;
    SteadErrorCode code;
    const char *because;
} Patch;

static const Patch patches[] = {
    {"qcow2-version", "qcow2", NULL, 4, "\0\0\0\x09", 4, STEAD_ERROR_UNSUPPORTED, "version"},
    {"qcow2-corrupt", "qcow2", NULL, 79, "\x02", 1, STEAD_ERROR_INVALID, "corrupt"},
    {"qcow2-data-file-bit", "qcow2", NULL, 79, "\x04", 1, STEAD_ERROR_INVALID, "another file"},
    {"qcow2-unknown-feature", "qcow2", NULL, 72, "\x80", 1, STEAD_ERROR_UNSUPPORTED, "features"},
    {"qcow2-backing-offset", "qcow2", NULL, 15, "\x70", 1, STEAD_ERROR_INVALID, "backing"},
    {"qcow2-backing-length", "qcow2", NULL, 19, "\x08", 1, STEAD_ERROR_INVALID, "backing"},
    {"qcow2-encrypted", "qcow2", NULL, 35, "\x02", 1, STEAD_ERROR_UNSUPPORTED, "encrypted"},
    {"qcow2-cluster-bits", "qcow2", NULL, 20, "\xff\xff\xff\xff", 4, STEAD_ERROR_INVALID,
     "cluster"},
    {"qcow2-size-zero", "qcow2", NULL, 24, "\0\0\0\0\0\0\0", 8, STEAD_ERROR_INVALID, "no size"},
    {"qcow2-size-huge", "qcow2", NULL, 24, "\xff", 1, STEAD_ERROR_EXHAUSTED, "larger"},
    {"qcow2-header-length", "qcow2", NULL, 100, "\xff\xff\xff\xf8", 4, STEAD_ERROR_INVALID,
     "header length"},
    {"qcow2-data-file-extension", "qcow2", NULL, 112, "DATA\0\0\0\x08/etc/pwd", 16,
     STEAD_ERROR_INVALID, "another file"},
    {"qcow2-endless-extension", "qcow2", NULL, 112, "xxxx\xff\xff\xff\xff", 8, STEAD_ERROR_INVALID,
     "extension"},
    {"qcow2-tables-misplaced", "qcow2", NULL, 47, "\x01", 1, STEAD_ERROR_INVALID, "qemu-img"},
    {"vmdk-capacity-zero", "vmdk", NULL, 12, "\0\0\0\0\0\0\0", 8, STEAD_ERROR_INVALID,
     "other files"},
    {"vmdk-capacity-huge", "vmdk", NULL, 12, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
     STEAD_ERROR_EXHAUSTED, "larger"},
    {"vmdk-descriptor-moved", "vmdk", NULL, 28, "\x02", 1, STEAD_ERROR_INVALID, "descriptor"},
    {"vdi-differencing", "vdi", NULL, 0x4c, "\x04", 1, STEAD_ERROR_INVALID, "parent"},
    {"vdi-version", "vdi", NULL, 0x44, "\x09", 1, STEAD_ERROR_UNSUPPORTED, "version"},
    {"vdi-size-huge", "vdi", NULL, 0x177, "\x7f", 1, STEAD_ERROR_EXHAUSTED, "larger"},
    {"vhd-checksum", "vpc", NULL, 60, "\0\0\0\x04", 4, STEAD_ERROR_INVALID, "checksum"},
};

static void test_patched(Fixture *fixture, gconstpointer data)
{
    const Patch *one = data;
    g_autofree char *disk = make_disk(fixture, one->driver, one->options);
    patch(disk, one->offset, one->bytes, one->length);
    assert_refused(fixture, disk, one->code, one->because);
}

/* A descriptor rewritten as a whole, as an attacker would. */
static void refuse_descriptor(Fixture *fixture, const char *descriptor, const char *because)
{
    g_autofree char *disk = make_disk(fixture, "vmdk", NULL);
    char sectors[20 * 512] = {0};
    g_strlcpy(sectors, descriptor, sizeof sectors);
    patch(disk, 512, sectors, sizeof sectors);
    assert_refused(fixture, disk, STEAD_ERROR_INVALID, because);
}

#define DESCRIPTOR "# Disk DescriptorFile\nversion=1\nCID=1\n"

static void test_vmdk_descriptors(Fixture *fixture, gconstpointer data)
{
    refuse_descriptor(fixture,
                      DESCRIPTOR "parentCID=12345678\ncreateType=\"monolithicSparse\"\n"
                                 "parentFileNameHint=\"/etc/passwd\"\n",
                      "parent");
    refuse_descriptor(fixture, DESCRIPTOR "parentCID=12345678\ncreateType=\"monolithicSparse\"\n",
                      "parent");
    refuse_descriptor(fixture,
                      DESCRIPTOR "parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
                                 "RW 16384 FLAT \"/etc/passwd\" 0\n",
                      "other files");
    refuse_descriptor(fixture,
                      DESCRIPTOR "parentCID=ffffffff\ncreateType=\"monolithicSparse\"\n"
                                 "RW 16384 FLAT \"/etc/passwd\" 0\n",
                      "another file");
    refuse_descriptor(fixture, DESCRIPTOR "parentCID=ffffffff\n", "what type");
}

static void test_no_disk(Fixture *fixture, gconstpointer data)
{
    g_autofree char *text = fixture_write(fixture, "page.qcow2", "<html>404</html>", -1);
    g_autofree char *empty = fixture_write(fixture, "empty.raw", "", 0);
    g_autofree char *zip = fixture_write(fixture, "disk.zip", "PK\3\4 and more", -1);
    assert_refused(fixture, text, STEAD_ERROR_INVALID, "not a disk image");
    assert_refused(fixture, empty, STEAD_ERROR_INVALID, "empty");
    assert_refused(fixture, zip, STEAD_ERROR_UNSUPPORTED, "zip archive");
}

static void test_cut_short(Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *magic;
        gsize length;
    } heads[] = {{"QFI\xfb\0\0\0\3", 8}, {"KDMV\1\0\0\0", 8}, {"conectix", 8}, {"vhdxfile", 8}};
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++) {
        g_autofree char *disk =
            fixture_write(fixture, "disk", heads[i].magic, (gssize)heads[i].length);
        g_autoptr(GError) error = NULL;
        g_assert_null(import(fixture, disk, &error));
        assert_stead_error(error, STEAD_ERROR_INVALID);
        fixture_assert_clean(fixture, 0);
    }
}

static void test_damaged_packing(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 8);
    g_autofree char *packed = fixture_path(fixture, "raw.xz");
    fixture_run("xz", "-q", raw, NULL);
    struct stat st;
    g_assert_cmpint(stat(packed, &st), ==, 0);
    g_assert_cmpint(truncate(packed, st.st_size / 2), ==, 0);
    assert_refused(fixture, packed, STEAD_ERROR_INVALID, "xz failed");
}

static void test_packed_twice(Fixture *fixture, gconstpointer data)
{
    g_autofree char *raw = fixture_raw(fixture, "raw", 1);
    g_autofree char *packed = fixture_path(fixture, "raw.xz.gz");
    g_autofree char *once = fixture_path(fixture, "raw.xz");
    fixture_run("xz", "-q", raw, NULL);
    fixture_run("gzip", "-q", once, NULL);
    assert_refused(fixture, packed, STEAD_ERROR_UNSUPPORTED, "packed twice");
}

static void test_paths(Fixture *fixture, gconstpointer data)
{
    g_autofree char *absent = fixture_path(fixture, "absent");
    g_autofree char *pipe_path = fixture_path(fixture, "pipe");
    g_assert_cmpint(mkfifo(pipe_path, 0600), ==, 0);
    assert_refused(fixture, "disk.qcow2", STEAD_ERROR_INVALID, "absolute");
    assert_refused(fixture, absent, STEAD_ERROR_NOT_FOUND, "No such file");
    assert_refused(fixture, fixture->folder, STEAD_ERROR_INVALID, "a folder");
    assert_refused(fixture, pipe_path, STEAD_ERROR_INVALID, "a named pipe");
    assert_refused(fixture, "/dev/zero", STEAD_ERROR_INVALID, "a character device");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!stead_find_program("qemu-img", NULL)) {
        g_test_skip("qemu-img is not installed");
        return 77;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(format_cases); i++) {
        g_autofree char *path =
            g_strdup_printf("/image/import/format/%s/%" G_GSIZE_FORMAT, format_cases[i].driver, i);
        g_test_add(path, Fixture, &format_cases[i], fixture_set_up, test_format, fixture_tear_down);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(packers); i++) {
        g_autofree char *path = g_strconcat("/image/import/packed/", packers[i], NULL);
        g_test_add(path, Fixture, packers[i], fixture_set_up, test_packed, fixture_tear_down);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(patches); i++) {
        g_autofree char *path = g_strconcat("/image/import/hostile/", patches[i].name, NULL);
        g_test_add(path, Fixture, &patches[i], fixture_set_up, test_patched, fixture_tear_down);
    }
    add_test("/image/import/packed-raw", test_packed_raw);
    add_test("/image/import/private-file", test_private_file);
    add_test("/image/import/record", test_record);
    add_test("/image/import/equal-disks-are-stored-once", test_equal_disks_are_stored_once);
    add_test("/image/import/verified-qcow2-is-kept", test_verified_qcow2_is_kept);
    add_test("/image/import/progress", test_progress);
    add_test("/image/import/cancel", test_cancel);
    add_test("/image/import/backing-file", test_backing_file);
    add_test("/image/import/backing-file-packed", test_backing_file_inside_a_packed_image);
    add_test("/image/import/external-data-file", test_external_data_file);
    add_test("/image/import/vmdk-of-several-files", test_vmdk_of_several_files);
    add_test("/image/import/vmdk-descriptors", test_vmdk_descriptors);
    add_test("/image/import/no-disk", test_no_disk);
    add_test("/image/import/cut-short", test_cut_short);
    add_test("/image/import/damaged-packing", test_damaged_packing);
    add_test("/image/import/packed-twice", test_packed_twice);
    add_test("/image/import/paths", test_paths);
    return g_test_run();
}
