/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine runs a microVM, and what stead-vmm leaves to the other. */
#include "runtime/microvm/choice.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "runtime/microvm/vmm_fit.h"
#include "vmm/disk/disk.h"
#include "vmm/machine.h"
#include "vmm/options.h"
#include "vmm/vm.h"

G_STATIC_ASSERT(STEAD_VMM_CPUS_MAX == VMM_CPUS_MAX);
G_STATIC_ASSERT(STEAD_VMM_MEMORY_MAX == VMM_MEMORY_MAX);
G_STATIC_ASSERT(STEAD_VMM_DISKS_MAX == VMM_DISKS_MAX);
G_STATIC_ASSERT(STEAD_VMM_NICS_MAX == VMM_NETS_MAX);
G_STATIC_ASSERT(STEAD_VMM_DEVICES_MAX == VMM_VIRTIO_MAX);
G_STATIC_ASSERT(STEAD_VMM_FILES_MAX == VMM_DISK_FILES_MAX);

/* In a qcow2 header, last bytes. */
#define INCOMPATIBLE_LAST 79
#define REFCOUNT_ORDER_LAST 99

static const SteadEngineHost with_all = {.kvm = TRUE, .why = "usable", .vmm = TRUE};
static const SteadEngineHost without_kvm = {.why = "unusable: xrstor", .vmm = TRUE};
static const SteadEngineHost without_vmm = {.kvm = TRUE, .why = "usable"};

typedef struct {
    char *dir;
    SteadMachine *machine;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-choice-XXXXXX", NULL);
    f->machine = stead_machine_new();
    f->machine->name = g_strdup("web");
    f->machine->accel = g_strdup("kvm");
    f->machine->spec = stead_instance_spec_new();
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_machine_free(f->machine);
    g_assert_true(stead_remove_tree(f->dir, NULL));
    g_free(f->dir);
}

/* The file's path. Borrowed from the machine. */
static const char *add_disk(Fixture *f, const char *name, const char *format)
{
    SteadMachineDisk *disk = g_new0(SteadMachineDisk, 1);
    disk->path = g_build_filename(f->dir, name, NULL);
    disk->format = g_strdup(format);
    g_ptr_array_add(f->machine->disks, disk);
    return disk->path;
}

static void check_choice(Fixture *f, const SteadEngineHost *host, const char *engine,
                         const char *accel, const char *reason)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_engine_choice(host, f->machine, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(f->machine->engine, ==, engine);
    g_assert_cmpstr(f->machine->accel, ==, accel);
    g_assert_cmpstr(f->machine->engine_reason, ==, reason);
}

static void test_with_kvm(Fixture *f, gconstpointer unused)
{
    check_choice(f, &with_all, "stead-vmm", "kvm", "KVM is usable");
}

static void test_without_kvm(Fixture *f, gconstpointer unused)
{
    check_choice(f, &without_kvm, "qemu", "tcg", "KVM is unusable: xrstor");
}

static void test_without_stead_vmm(Fixture *f, gconstpointer unused)
{
    check_choice(f, &without_vmm, "qemu", "kvm", "KVM is usable, but stead-vmm is not installed");
}

static void test_too_many_cpus(Fixture *f, gconstpointer unused)
{
    f->machine->spec->cpus = STEAD_VMM_CPUS_MAX;
    check_choice(f, &with_all, "stead-vmm", "kvm", "KVM is usable");
    f->machine->spec->cpus++;
    check_choice(f, &with_all, "qemu", "kvm", "KVM is usable, but stead-vmm takes at most 64 CPUs");
}

/* The seed is a disk, too. */
static void test_too_many_disks(Fixture *f, gconstpointer unused)
{
    for (guint i = 0; i < STEAD_VMM_DISKS_MAX; i++) {
        g_autofree char *name = g_strdup_printf("disk%u", i);
        g_assert_true(g_file_set_contents(add_disk(f, name, "raw"), "", 0, NULL));
    }
    check_choice(f, &with_all, "stead-vmm", "kvm", "KVM is usable");
    f->machine->seed = g_strdup("seed.iso");
    check_choice(f, &with_all, "qemu", "kvm", "KVM is usable, but stead-vmm takes at most 8 disks");
}

static void test_too_many_devices(Fixture *f, gconstpointer unused)
{
    for (guint i = 0; i < STEAD_VMM_DISKS_MAX; i++) {
        g_autofree char *name = g_strdup_printf("disk%u", i);
        g_assert_true(g_file_set_contents(add_disk(f, name, "raw"), "", 0, NULL));
    }
    for (guint i = 0; i < STEAD_VMM_DEVICES_MAX - 3 - STEAD_VMM_DISKS_MAX + 1; i++)
        g_ptr_array_add(f->machine->nics, g_new0(SteadMachineNic, 1));
    check_choice(f, &with_all, "qemu", "kvm",
                 "KVM is usable, but stead-vmm takes at most 17 devices");
}

static void check_refused(const Fixture *f, const char *words)
{
    g_autofree char *why = stead_vmm_refusal(f->machine);
    if (words == NULL)
        g_assert_null(why);
    else if (why == NULL || strstr(why, words) == NULL)
        g_error("'%s' has no '%s'", why ? why : "(not refused)", words);
}

static void test_disks_that_are_none(Fixture *f, gconstpointer unused)
{
    const char *path = add_disk(f, "disk", "qcow2");
    check_refused(f, "cannot be read");
    g_assert_true(g_file_set_contents(path, "QFI", 3, NULL));
    check_refused(f, "is no qcow2 file");
    g_unlink(path);
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    check_refused(f, "is no file");
}

static void qemu_img(const char *const argv[])
{
    g_autoptr(GError) error = NULL;
    stead_run(argv, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static gboolean has_qemu_img(void)
{
    if (stead_find_program("qemu-img", NULL))
        return TRUE;
    g_test_skip("qemu-img is not installed");
    return FALSE;
}

static void test_disks_that_fit(Fixture *f, gconstpointer unused)
{
    if (!has_qemu_img())
        return;
    const char *path = add_disk(f, "disk", "qcow2");
    qemu_img((const char *[]){"qemu-img", "create", "-q", "-f", "qcow2", path, "1G", NULL});
    check_refused(f, NULL);
    qemu_img((const char *[]){"qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", path,
                              "1G", NULL});
    check_refused(f, "another version");
    SteadMachineDisk *disk = f->machine->disks->pdata[0];
    disk->read_only = TRUE;
    check_refused(f, NULL);
}

/* As images are published. Returns the path. */
static char *make_compressed(Fixture *f, const char *name, const char *compat)
{
    g_autofree char *raw = g_build_filename(f->dir, "raw", NULL);
    g_autofree char *text = g_strnfill(200000, 'x');
    char *path = g_build_filename(f->dir, name, NULL);
    g_assert_true(g_file_set_contents(raw, text, -1, NULL));
    qemu_img((const char *[]){"qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", compat,
                              raw, path, NULL});
    return path;
}

static void put_byte(const char *path, off_t offset, guint8 byte)
{
    int fd = g_open(path, O_RDWR | O_CLOEXEC, 0);
    g_assert_cmpint(pwrite(fd, &byte, 1, offset), ==, 1);
    close(fd);
}

/* A machine's own disk, and what it stands on. */
static void test_compressed_disks_fit(Fixture *f, gconstpointer unused)
{
    if (!has_qemu_img())
        return;
    g_autofree char *base = make_compressed(f, "base", "compat=1.1");
    const char *path = add_disk(f, "disk", "qcow2");
    qemu_img((const char *[]){"qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2",
                              path, NULL});
    SteadMachineDisk *disk = f->machine->disks->pdata[0];
    disk->backing = g_new0(char *, 2);
    disk->backing[0] = g_strdup(base);
    check_choice(f, &with_all, "stead-vmm", "kvm", "KVM is usable");
    put_byte(base, INCOMPATIBLE_LAST, 1 << 3);
    check_refused(f, "compressed otherwise than by zlib");
    put_byte(base, INCOMPATIBLE_LAST, 1 << 4);
    check_refused(f, "features that it does not know");
}

/* Version 2, of which nothing behind the header's 72 bytes is a feature. */
static void test_old_compressed_disks_fit(Fixture *f, gconstpointer unused)
{
    if (!has_qemu_img())
        return;
    g_autofree char *base = make_compressed(f, "base", "compat=0.10");
    const char *path = add_disk(f, "disk", "qcow2");
    qemu_img((const char *[]){"qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2",
                              path, NULL});
    SteadMachineDisk *disk = f->machine->disks->pdata[0];
    disk->backing = g_new0(char *, 2);
    disk->backing[0] = g_strdup(base);
    put_byte(base, INCOMPATIBLE_LAST, 0xff);
    put_byte(base, REFCOUNT_ORDER_LAST, 0xff);
    check_refused(f, NULL);
}

static void test_own_compressed_disk_fits(Fixture *f, gconstpointer unused)
{
    if (!has_qemu_img())
        return;
    g_autofree char *path = make_compressed(f, "disk", "compat=1.1");
    g_assert_cmpstr(add_disk(f, "disk", "qcow2"), ==, path);
    check_refused(f, NULL);
}

/* ---- going on ---- */

static void freeze(Fixture *f, const char *engine, const char *accel)
{
    f->machine->frozen = g_strdup("/var/lib/stead/templates/base");
    g_free(f->machine->accel);
    f->machine->engine = g_strdup(engine);
    f->machine->accel = g_strdup(accel);
}

static void check_no_choice(Fixture *f, const SteadEngineHost *host, const char *words,
                            const char *help)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_engine_choice(host, f->machine, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, words));
    g_assert_nonnull(strstr(stead_error_hint(error), help));
}

static void test_frozen_keeps_its_engine(Fixture *f, gconstpointer unused)
{
    freeze(f, "qemu", "tcg");
    check_choice(f, &with_all, "qemu", "tcg", "its template was frozen on it");
    check_choice(f, &without_kvm, "qemu", "tcg", "its template was frozen on it");
}

/* Whatever its disks are by now: they are those of the template. */
static void test_frozen_by_stead_vmm(Fixture *f, gconstpointer unused)
{
    freeze(f, "stead-vmm", "kvm");
    add_disk(f, "gone", "qcow2");
    check_choice(f, &with_all, "stead-vmm", "kvm", "its template was frozen on it");
    check_no_choice(f, &without_kvm, "frozen by stead-vmm with KVM, and KVM is unusable: xrstor",
                    "template create");
    check_no_choice(f, &without_vmm, "not installed", "template create");
}

static void test_frozen_by_qemu_on_kvm(Fixture *f, gconstpointer unused)
{
    freeze(f, "qemu", "kvm");
    check_choice(f, &without_vmm, "qemu", "kvm", "its template was frozen on it");
    check_no_choice(f, &without_kvm, "frozen by qemu with KVM", "template create");
}

static void test_snapshot_without_kvm(Fixture *f, gconstpointer unused)
{
    freeze(f, "stead-vmm", "kvm");
    f->machine->itself = TRUE;
    check_no_choice(f, &without_kvm, "frozen by stead-vmm", "Start it instead");
    check_choice(f, &with_all, "stead-vmm", "kvm", "its snapshot was taken on it");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"with-kvm", test_with_kvm},
        {"without-kvm", test_without_kvm},
        {"without-stead-vmm", test_without_stead_vmm},
        {"too-many-cpus", test_too_many_cpus},
        {"too-many-disks", test_too_many_disks},
        {"too-many-devices", test_too_many_devices},
        {"disks-that-are-none", test_disks_that_are_none},
        {"disks-that-fit", test_disks_that_fit},
        {"compressed-disks-fit", test_compressed_disks_fit},
        {"old-compressed-disks-fit", test_old_compressed_disks_fit},
        {"own-compressed-disk-fits", test_own_compressed_disk_fits},
        {"frozen-keeps-its-engine", test_frozen_keeps_its_engine},
        {"frozen-by-stead-vmm", test_frozen_by_stead_vmm},
        {"frozen-by-qemu-on-kvm", test_frozen_by_qemu_on_kvm},
        {"snapshot-without-kvm", test_snapshot_without_kvm},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/engine-choice/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
