/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command lines of both engines of microVMs against golden files, one argument a line.
 * STEAD_GOLDEN_UPDATE=1 rewrites them.
 */
#include "runtime/microvm/engine.h"

#include <string.h>

#define QEMU "/usr/bin/qemu-system-x86_64"
#define VMM "/usr/libexec/stead/stead-vmm"

typedef struct {
    SteadMachine *machine;
    SteadEngineFds fds;
    int next;
} Fixture;

static void add_disk(Fixture *f, const char *format, const char *serial, gboolean read_only,
                     guint backing)
{
    SteadMachineDisk *disk = g_new0(SteadMachineDisk, 1);
    disk->path = g_strdup_printf("/var/lib/stead/volumes/disk-%u", f->machine->disks->len);
    disk->format = g_strdup(format);
    disk->serial = g_strdup(serial);
    disk->read_only = read_only;
    if (backing) {
        disk->backing = g_new0(char *, backing + 1);
        for (guint i = 0; i < backing; i++)
            disk->backing[i] = g_strdup_printf("%s.%u", disk->path, i);
    }
    g_ptr_array_add(f->machine->disks, disk);
    for (guint i = 0; i <= backing; i++, f->next++)
        g_array_append_val(f->fds.disks, f->next);
}

static void add_nic(Fixture *f, const char *mac)
{
    SteadMachineNic *nic = g_new0(SteadMachineNic, 1);
    nic->network = g_strdup("stead-default");
    nic->mac = g_strdup(mac);
    g_ptr_array_add(f->machine->nics, nic);
    g_array_append_val(f->fds.taps, f->next);
    f->next++;
}

static void set_up(Fixture *f, gconstpointer unused)
{
    SteadMachine *machine = f->machine = stead_machine_new();
    machine->id = g_strdup("1a2b3c4d-0000-4000-8000-000000000001");
    machine->name = g_strdup("web");
    machine->domain = g_strdup("stead-web");
    machine->accel = g_strdup("tcg");
    machine->kernel = g_strdup("/var/lib/stead/boot/vmlinuz");
    machine->initrd = g_strdup("/var/lib/stead/boot/initrd.img");
    machine->cmdline = g_strdup("console=ttyS0 root=LABEL=root");
    machine->spec = stead_instance_spec_new();
    machine->spec->cpus = 2;
    machine->spec->memory.max = G_GUINT64_CONSTANT(512) << 20;
    f->fds = (SteadEngineFds){.qmp = 3,
                              .console = 4,
                              .agent = 5,
                              .log = 6,
                              .memory = -1,
                              .kernel = -1,
                              .initrd = -1,
                              .seed = -1,
                              .uid = 64055,
                              .gid = 107,
                              .disks = g_array_new(FALSE, FALSE, sizeof(int)),
                              .taps = g_array_new(FALSE, FALSE, sizeof(int))};
    f->next = 10;
    add_disk(f, "qcow2", NULL, FALSE, 1);
    add_nic(f, "52:54:00:12:34:56");
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    g_array_unref(f->fds.disks);
    g_array_unref(f->fds.taps);
    stead_machine_free(f->machine);
}

static char *write_args(const Fixture *f, gboolean vmm)
{
    g_auto(GStrv) args =
        vmm ? stead_vmm_args(VMM, f->machine, &f->fds) : stead_qemu_args(QEMU, f->machine, &f->fds);
    g_autofree char *lines = g_strjoinv("\n", args);
    return g_strconcat(lines, "\n", NULL);
}

static void check_file(const Fixture *f, const char *name, gboolean vmm)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *args = write_args(f, vmm);
    if (g_getenv("STEAD_GOLDEN_MICROVM") == NULL) {
        g_test_skip("STEAD_GOLDEN_MICROVM does not say where the golden files are");
        return;
    }
    g_autofree char *file = g_build_filename(g_getenv("STEAD_GOLDEN_MICROVM"), name, NULL);
    if (g_getenv("STEAD_GOLDEN_UPDATE")) {
        g_assert_true(g_file_set_contents(file, args, -1, NULL));
        return;
    }
    g_autofree char *golden = NULL;
    g_assert_true(g_file_get_contents(file, &golden, NULL, &error));
    g_assert_cmpstr(args, ==, golden);
}

static void check_golden(const Fixture *f, const char *name)
{
    check_file(f, name, FALSE);
}

static void use_kvm(Fixture *f)
{
    g_free(f->machine->accel);
    f->machine->accel = g_strdup("kvm");
}

static void check_vmm(Fixture *f, const char *name)
{
    use_kvm(f);
    f->fds.kernel = 30;
    f->fds.initrd = f->machine->initrd ? 31 : -1;
    check_file(f, name, TRUE);
}

static void test_boot(Fixture *f, gconstpointer unused)
{
    f->fds.tsc_khz = 2400000;
    f->fds.seed = 20;
    check_golden(f, "boot.golden");
}

static void test_boot_kvm(Fixture *f, gconstpointer unused)
{
    use_kvm(f);
    check_golden(f, "boot-kvm.golden");
}

static void test_frozen(Fixture *f, gconstpointer unused)
{
    f->fds.tsc_khz = 2400000;
    f->fds.memory = 7;
    f->machine->frozen = g_strdup("/var/lib/stead/templates/base");
    check_golden(f, "frozen.golden");
}

static void test_frozen_kvm(Fixture *f, gconstpointer unused)
{
    use_kvm(f);
    f->fds.memory = 7;
    check_golden(f, "frozen-kvm.golden");
}

static void test_many_devices(Fixture *f, gconstpointer unused)
{
    add_disk(f, "qcow2", "data", FALSE, 0);
    add_disk(f, "qcow2", "layers", FALSE, 3);
    add_disk(f, "raw", "logs", FALSE, 0);
    add_disk(f, "raw", "shared", TRUE, 0);
    add_nic(f, "52:54:00:12:34:57");
    f->fds.seed = 40;
    check_golden(f, "many-devices.golden");
}

/* Nothing is added to what a user wrote, and nothing is there that is not given. */
static void test_users_own_kernel(Fixture *f, gconstpointer unused)
{
    g_free(f->machine->cmdline);
    f->machine->cmdline = g_strdup("-- hello, 'world' \"quoted\"");
    g_free(f->machine->spec->cmdline);
    f->machine->spec->cmdline = g_strdup(f->machine->cmdline);
    g_clear_pointer(&f->machine->initrd, g_free);
    f->fds.tsc_khz = 2400000;
    g_ptr_array_set_size(f->machine->disks, 0);
    g_ptr_array_set_size(f->machine->nics, 0);
    check_golden(f, "users-own-kernel.golden");
}

static void test_vmm_boot(Fixture *f, gconstpointer unused)
{
    f->fds.seed = 20;
    check_vmm(f, "vmm-boot.golden");
}

static void test_vmm_frozen(Fixture *f, gconstpointer unused)
{
    f->fds.memory = 7;
    f->machine->frozen = g_strdup("/var/lib/stead/templates/base");
    check_vmm(f, "vmm-frozen.golden");
}

static void test_vmm_many_devices(Fixture *f, gconstpointer unused)
{
    add_disk(f, "qcow2", "data", FALSE, 0);
    add_disk(f, "qcow2", "layers", FALSE, 3);
    add_disk(f, "raw", "shared", TRUE, 0);
    add_nic(f, "52:54:00:12:34:57");
    f->fds.seed = 40;
    g_clear_pointer(&f->machine->initrd, g_free);
    check_vmm(f, "vmm-many-devices.golden");
}

/* A template's devices are its clones' devices, in the same order: only the memory differs. */
static void check_same_devices(Fixture *f, gboolean vmm, const char *first)
{
    add_disk(f, "raw", "logs", TRUE, 0);
    g_autofree char *boots = write_args(f, vmm);
    f->fds.memory = 7;
    g_autofree char *goes_on = write_args(f, vmm);
    const char *devices = strstr(boots, first);
    g_assert_nonnull(devices);
    g_assert_true(g_str_has_suffix(goes_on, devices));
}

static void test_frozen_has_the_same_devices(Fixture *f, gconstpointer unused)
{
    check_same_devices(f, FALSE, "-chardev\n");
}

static void test_vmm_frozen_has_the_same_devices(Fixture *f, gconstpointer unused)
{
    check_same_devices(f, TRUE, "--qmp\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"boot", test_boot},
        {"boot-kvm", test_boot_kvm},
        {"frozen", test_frozen},
        {"frozen-kvm", test_frozen_kvm},
        {"many-devices", test_many_devices},
        {"users-own-kernel", test_users_own_kernel},
        {"frozen-has-the-same-devices", test_frozen_has_the_same_devices},
        {"vmm-boot", test_vmm_boot},
        {"vmm-frozen", test_vmm_frozen},
        {"vmm-many-devices", test_vmm_many_devices},
        {"vmm-frozen-has-the-same-devices", test_vmm_frozen_has_the_same_devices},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/engine-args/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
