/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools and volumes on the libvirtd of this machine. Each test has a root of its own, hence a pool
 * that nobody else uses, and removes it, also when it failed.
 */
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/subprocess.h"
#include "storage/disk_name.h"
#include "storage/pool.h"
#include "storage/qemu_img.h"
#include "storage/volume.h"

#define LIBVIRT_SOCKET "/run/libvirt/libvirt-sock"
#define MIB (G_GUINT64_CONSTANT(1) << 20)
#define ID "1a2b3c4d-0000-4000-8000-000000000000"
#define STEM "web-1a2b3c4d"

typedef struct {
    char *root;
    SteadPaths *paths;
    SteadLibvirt *libvirt;
    virConnectPtr conn;
    char *pool;   /* the default pool's name */
    char *folder; /* and its folder */
    char *image_path;
    SteadDiskImage image;
} Fixture;

/* Tests fail by returning, so that tear_down() runs. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            g_test_message("%s:%d: %s", __FILE__, __LINE__, #condition);                           \
            g_test_fail();                                                                         \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static void set_up(Fixture *fixture, gconstpointer data)
{
    if (geteuid() != 0 || !g_file_test(LIBVIRT_SOCKET, G_FILE_TEST_EXISTS) ||
        !stead_find_program("qemu-img", NULL)) {
        g_test_skip("needs root, qemu-img and a running libvirtd");
        return;
    }
    fixture->root = g_dir_make_tmp("stead-storage-XXXXXX", NULL);
    fixture->paths = stead_paths_new_for_root(fixture->root, NULL);
    fixture->pool = stead_pool_default_name(fixture->paths);
    fixture->folder = stead_pool_default_path(fixture->paths);
    fixture->libvirt = stead_libvirt_new(NULL);
    fixture->conn = stead_libvirt_get(fixture->libvirt, NULL);
    g_assert_nonnull(fixture->conn);
    fixture->image_path = g_build_filename(fixture->root, "image.qcow2", NULL);
    const char *const argv[] = {"qemu-img",          "create", "-q", "-f", "qcow2",
                                fixture->image_path, "16M",    NULL};
    g_assert_true(stead_run(argv, NULL, NULL, NULL, NULL));
    fixture->image = (SteadDiskImage){fixture->image_path, "qcow2", 16 * MIB};
}

static void drop_pool(Fixture *fixture)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(fixture->conn, fixture->pool);
    if (pool == NULL)
        return;
    if (virStoragePoolIsActive(pool) == 1)
        virStoragePoolDestroy(pool);
    virStoragePoolUndefine(pool);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    drop_pool(fixture);
    umount2(fixture->folder, MNT_DETACH);
    virConnectClose(fixture->conn);
    stead_libvirt_free(fixture->libvirt);
    stead_remove_tree(fixture->root, NULL);
    stead_paths_free(fixture->paths);
    g_free(fixture->image_path);
    g_free(fixture->folder);
    g_free(fixture->pool);
    g_free(fixture->root);
}

static gboolean is_fine(const GError *error)
{
    if (error)
        g_test_message("%s", error->message);
    return error == NULL;
}

static SteadDisk *make(Fixture *fixture, const char *stem, guint64 size)
{
    g_autoptr(GError) error = NULL;
    SteadDisk *disk = stead_disk_make(fixture->libvirt, fixture->paths,
                                      (SteadDiskPlace){NULL, stem}, size, &error);
    is_fine(error);
    return disk;
}

static SteadDisk *clone_image(Fixture *fixture, guint64 size, GError **error)
{
    return stead_disk_clone(fixture->libvirt, fixture->paths, (SteadDiskPlace){NULL, STEM},
                            &fixture->image, size, NULL, NULL, NULL, error);
}

static guint count_files(Fixture *fixture)
{
    g_autoptr(GDir) dir = g_dir_open(fixture->folder, 0, NULL);
    guint n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

/* ---- pools ---- */

static const SteadPool *find_pool(const GPtrArray *pools, const char *name)
{
    for (guint i = 0; i < pools->len; i++) {
        const SteadPool *pool = g_ptr_array_index(pools, i);
        if (strcmp(pool->name, name) == 0)
            return pool;
    }
    return NULL;
}

static void test_default_pool_is_made(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    struct stat st;
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    CHECK(stat(fixture->folder, &st) == 0 && (st.st_mode & 07777) == 0711);
    g_autoptr(GPtrArray) pools = stead_pool_list(fixture->libvirt, fixture->paths, NULL);
    const SteadPool *pool = pools ? find_pool(pools, fixture->pool) : NULL;
    CHECK(pool && pool->active && pool->is_default && pool->files && pool->supported);
    CHECK(pool->capacity > 0 && pool->available > 0);
    g_assert_cmpstr(pool->path, ==, fixture->folder);
}

static void test_stopped_pool_is_started(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(fixture->conn, fixture->pool);
    CHECK(virStoragePoolDestroy(pool) == 0);
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    CHECK(virStoragePoolIsActive(pool) == 1);
}

static void test_unknown_pool_gets_a_hint(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    g_autofree char *near = g_strdup_printf("%sx", fixture->pool);
    g_autoptr(virStoragePool) pool =
        stead_pool_open(fixture->conn, fixture->paths, near, NULL, &error);
    g_autofree char *hint = g_strdup_printf("Did you mean %s?", fixture->pool);
    CHECK(pool == NULL && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND));
    g_assert_cmpstr(stead_error_hint(error), ==, hint);
}

static void test_pool_elsewhere_is_a_conflict(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = g_strdup_printf(
        "<pool type='dir'><name>%s</name><target><path>%s/other</path></target></pool>",
        fixture->pool, fixture->root);
    g_autoptr(virStoragePool) other = virStoragePoolDefineXML(fixture->conn, xml, 0);
    CHECK(other);
    CHECK(!stead_pool_ensure_default(fixture->libvirt, fixture->paths, &error));
    CHECK(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFLICT));
}

/* ---- disks ---- */

static void test_blank_disk(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    struct stat st;
    g_autoptr(SteadDisk) disk = make(fixture, STEM, 64 * MIB);
    CHECK(disk && stat(disk->path, &st) == 0 && (st.st_mode & 0777) == 0600);
    g_assert_cmpstr(disk->format, ==, "qcow2");
    g_assert_cmpuint(disk->capacity, ==, 64 * MIB);
    CHECK(disk->allocation < MIB);
    CHECK(stead_disk_remove(fixture->libvirt, disk->path, NULL));
    CHECK(stead_disk_remove(fixture->libvirt, disk->path, NULL));
    g_assert_cmpuint(count_files(fixture), ==, 0);
}

static void test_blank_disk_is_kept_and_grown(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    struct stat before, after;
    g_autoptr(SteadDisk) disk = make(fixture, STEM, 64 * MIB);
    CHECK(disk && stat(disk->path, &before) == 0);
    g_autoptr(SteadDisk) again = make(fixture, STEM, 128 * MIB);
    CHECK(again && stat(again->path, &after) == 0);
    g_assert_cmpuint(before.st_ino, ==, after.st_ino);
    g_assert_cmpuint(again->capacity, ==, 128 * MIB);
}

static void test_half_made_disk_is_replaced(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    g_autofree char *path = g_build_filename(fixture->folder, STEM ".qcow2", NULL);
    CHECK(stead_write_file(path, "", 0, 0600, NULL)); /* unknown to libvirt */
    g_autoptr(SteadDisk) disk = make(fixture, STEM, 64 * MIB);
    CHECK(disk);
    g_assert_cmpstr(disk->format, ==, "qcow2");
    g_assert_cmpuint(disk->capacity, ==, 64 * MIB);
}

static void test_what_is_not_ours_stays(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    CHECK(stead_pool_ensure_default(fixture->libvirt, fixture->paths, NULL));
    g_autofree char *path = g_build_filename(fixture->folder, STEM ".qcow2", NULL);
    g_autofree char *content = g_strnfill(2 * MIB, 'x');
    CHECK(stead_write_file(path, content, -1, 0600, NULL));
    g_autoptr(SteadDisk) disk = stead_disk_make(fixture->libvirt, fixture->paths,
                                                (SteadDiskPlace){NULL, STEM}, 64 * MIB, &error);
    CHECK(disk == NULL && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFLICT));
    CHECK(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_clone_stands_on_its_image(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    struct stat before, after;
    g_autoptr(SteadDisk) disk = clone_image(fixture, 64 * MIB, &error);
    CHECK(is_fine(error) && stat(disk->path, &before) == 0);
    g_autoptr(SteadDiskFile) file = stead_disk_file_info(disk->path, NULL, NULL);
    g_assert_cmpstr(file->backing, ==, fixture->image_path);
    g_assert_cmpuint(file->virtual_size, ==, 64 * MIB);
    g_autoptr(SteadDisk) again = clone_image(fixture, 64 * MIB, &error);
    CHECK(is_fine(error) && stat(again->path, &after) == 0);
    g_assert_cmpuint(before.st_ino, ==, after.st_ino);
}

static void test_clone_is_as_large_as_its_image(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadDisk) disk = clone_image(fixture, 0, &error);
    CHECK(is_fine(error));
    g_assert_cmpuint(disk->capacity, ==, 16 * MIB);
}

static void test_too_small_clone_is_refused(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadDisk) disk = clone_image(fixture, 8 * MIB, &error);
    CHECK(disk == NULL && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_INVALID));
    g_assert_cmpstr(stead_error_hint(error), ==, "Give it at least 16M.");
    g_assert_cmpuint(count_files(fixture), ==, 0);
}

static void test_wrong_clone_is_replaced(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadDisk) wrong = make(fixture, STEM, 64 * MIB);
    CHECK(wrong);
    g_autoptr(SteadDisk) disk = clone_image(fixture, 32 * MIB, &error);
    CHECK(is_fine(error));
    g_autoptr(SteadDiskFile) file = stead_disk_file_info(disk->path, NULL, NULL);
    g_assert_cmpstr(file->backing, ==, fixture->image_path);
    g_assert_cmpuint(file->virtual_size, ==, 32 * MIB);
}

static void test_disks_only_grow(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadDisk) disk = make(fixture, STEM, 64 * MIB);
    CHECK(disk && stead_disk_resize(fixture->libvirt, disk->path, 96 * MIB, NULL));
    CHECK(stead_disk_resize(fixture->libvirt, disk->path, 96 * MIB, NULL));
    g_autoptr(SteadDisk) grown = stead_disk_info(fixture->libvirt, disk->path, NULL);
    g_assert_cmpuint(grown->capacity, ==, 96 * MIB);
    CHECK(!stead_disk_resize(fixture->libvirt, disk->path, 32 * MIB, &error));
    CHECK(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_INVALID));
}

static void test_absent_disk(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(fixture->folder, "none", NULL);
    CHECK(!stead_disk_info(fixture->libvirt, path, &error));
    CHECK(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND));
}

/* A pool whose folder is a file system of 2 MiB, filled by a file. */
static gboolean fill_pool(Fixture *fixture, gsize left)
{
    g_autofree char *path = g_build_filename(fixture->folder, "filler", NULL);
    struct statvfs fs;
    if (!stead_make_dir(fixture->folder, 0711, NULL) ||
        mount("tmpfs", fixture->folder, "tmpfs", 0, "size=2m") != 0 ||
        statvfs(fixture->folder, &fs) != 0)
        return FALSE;
    gsize size = (gsize)(fs.f_bavail * fs.f_frsize) - left;
    g_autofree char *content = g_strnfill(size, 'x');
    return stead_write_file(path, content, -1, 0600, NULL);
}

static void test_full_pool_is_told(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    if (!fill_pool(fixture, 65536)) {
        g_test_skip("a tmpfs cannot be mounted here");
        return;
    }
    g_autoptr(SteadDisk) disk = clone_image(fixture, 0, &error);
    CHECK(disk == NULL && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED));
    CHECK(stead_error_hint(error));
    g_assert_cmpuint(count_files(fixture), ==, 1);
}

/* ---- many, and records ---- */

static void test_all_of_an_instance_go(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadDisk) root = make(fixture, STEM, MIB);
    g_autoptr(SteadDisk) second = make(fixture, STEM "-disk1", MIB);
    g_autoptr(SteadDisk) other = make(fixture, "web-99999999", MIB);
    g_autofree char *layer = g_build_filename(fixture->folder, STEM ".s1.qcow2", NULL);
    CHECK(root && second && other && stead_write_file(layer, "", 0, 0600, NULL));
    stead_disk_remove_all(fixture->libvirt, fixture->paths, fixture->pool, ID, &error);
    CHECK(is_fine(error));
    g_assert_cmpuint(count_files(fixture), ==, 1);
    CHECK(g_file_test(other->path, G_FILE_TEST_EXISTS));
    CHECK(stead_disk_remove_all(fixture->libvirt, fixture->paths, "no-such-pool", ID, NULL));
}

static void test_disks_in_any_pool_go(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadDisk) disk = make(fixture, STEM "-disk1", MIB);
    CHECK(disk);
    stead_instance_disks_remove(fixture->libvirt, fixture->paths, ID, &error);
    CHECK(is_fine(error));
    g_assert_cmpuint(count_files(fixture), ==, 0);
}

static void test_orphans_are_found(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(known, (gpointer)ID);
    g_autoptr(SteadDisk) ours = make(fixture, STEM, MIB);
    g_autoptr(SteadDisk) orphan = make(fixture, "web-99999999", MIB);
    g_autoptr(SteadDisk) odd = make(fixture, "something", MIB);
    CHECK(ours && orphan && odd);
    g_autoptr(GPtrArray) orphans =
        stead_storage_orphans(fixture->libvirt, fixture->paths, known, NULL);
    CHECK(orphans && orphans->len == 1);
    g_assert_cmpstr(g_ptr_array_index(orphans, 0), ==, orphan->path);
}

static void test_volume_of_a_record(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) busy = NULL;
    SteadVolumeSpec spec = {.size = 16 * MIB};
    SteadVolume volume = {.id = (char *)ID, .name = (char *)"data", .spec = &spec};
    CHECK(stead_volume_make(fixture->libvirt, fixture->paths, &volume, NULL));
    g_autofree char *path = volume.path;
    g_autofree char *expected = g_build_filename(fixture->folder, "data-1a2b3c4d.qcow2", NULL);
    g_assert_cmpstr(path, ==, expected);
    g_assert_cmpstr(stead_volume_format(&volume), ==, "qcow2");
    CHECK(stead_volume_resize(fixture->libvirt, fixture->paths, &volume, 32 * MIB, NULL));
    g_assert_cmpuint(spec.size, ==, 32 * MIB);
    volume.attached = (char *)"someone";
    CHECK(!stead_volume_remove(fixture->libvirt, fixture->paths, &volume, &busy));
    CHECK(g_error_matches(busy, STEAD_ERROR, STEAD_ERROR_BUSY));
    volume.attached = NULL;
    CHECK(stead_volume_remove(fixture->libvirt, fixture->paths, &volume, NULL));
    CHECK(stead_volume_remove(fixture->libvirt, fixture->paths, &volume, NULL));
    g_assert_cmpuint(count_files(fixture), ==, 0);
}

/* libvirt-glib tells of every event, without a log domain. */
static void drop_message(const char *domain, GLogLevelFlags level, const char *text, gpointer data)
{
}

#define ADD(name, func) g_test_add("/storage/" name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    umask(022);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_log_set_handler(NULL, G_LOG_LEVEL_DEBUG, drop_message, NULL);
    ADD("default-pool-is-made", test_default_pool_is_made);
    ADD("stopped-pool-is-started", test_stopped_pool_is_started);
    ADD("unknown-pool-gets-a-hint", test_unknown_pool_gets_a_hint);
    ADD("pool-elsewhere-is-a-conflict", test_pool_elsewhere_is_a_conflict);
    ADD("blank-disk", test_blank_disk);
    ADD("blank-disk-is-kept-and-grown", test_blank_disk_is_kept_and_grown);
    ADD("half-made-disk-is-replaced", test_half_made_disk_is_replaced);
    ADD("what-is-not-ours-stays", test_what_is_not_ours_stays);
    ADD("clone-stands-on-its-image", test_clone_stands_on_its_image);
    ADD("clone-is-as-large-as-its-image", test_clone_is_as_large_as_its_image);
    ADD("too-small-clone-is-refused", test_too_small_clone_is_refused);
    ADD("wrong-clone-is-replaced", test_wrong_clone_is_replaced);
    ADD("disks-only-grow", test_disks_only_grow);
    ADD("absent-disk", test_absent_disk);
    ADD("full-pool-is-told", test_full_pool_is_told);
    ADD("all-of-an-instance-go", test_all_of_an_instance_go);
    ADD("disks-in-any-pool-go", test_disks_in_any_pool_go);
    ADD("orphans-are-found", test_orphans_are_found);
    ADD("volume-of-a-record", test_volume_of_a_record);
    return g_test_run();
}
