/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk, made as a plain sparse file without a loop device: each program is told the offset of
 * its partition in that file. The order of partitions and their numbers are those of Debian's cloud
 * images: 14 (GRUB's core for BIOS) and 15 (EFI system partition) lie first, 1 (root) lies last, so
 * that it can grow with the disk. The root partition has the type that systemd-repart looks for.
 *
 * GRUB is put in place by hand, since grub-install wants a block device:
 *   UEFI: shim and Debian's signed GRUB in the removable-media path, with a three-line grub.cfg in
 *         the folder that the signed GRUB has built in, which leads to the one in the root.
 *   BIOS: GRUB's boot.img in the first sector, and the core that the tree's own grub-mkimage made
 *         in partition 14; both hold sector numbers, which are patched here.
 *
 * The file system is made with its tables written out (lazy_itable_init=0): a kernel would write
 * them at first boot otherwise, in every clone.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/subprocess.h"
#include "image/build_parts.h"

#define MIB_SECTORS (G_GUINT64_CONSTANT(1048576) / STEAD_BUILD_SECTOR)
#define BIOS_MIB 3
#define ESP_MIB 64

/* The features that every GRUB and kernel of the table knows, whatever the host's mke2fs.conf. */
#define EXT4_FEATURES                                                                              \
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super," \
    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

/* GRUB's boot.img (include/grub/i386/pc/boot.h): its code ends where the disk's id begins. */
#define BOOT_CODE_SIZE 440
#define BOOT_KERNEL_SECTOR 0x5c
#define BOOT_DRIVE_CHECK 0x66
/* diskboot.img: where the first block list of the core, at the end of its first sector, starts. */
#define CORE_BLOCKLIST_START 0x1f4
/* A core that would not leave room in its partition. */
#define CORE_MAX (BIOS_MIB * 1048576)

#define TYPE_BIOS "21686148-6449-6E6F-744E-656564454649"
#define TYPE_ESP "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
#define TYPE_ROOT "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"

#define SHIM "/usr/lib/shim/shimx64.efi.signed"
#define GRUB_EFI "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
#define GRUB_BOOT "/usr/lib/grub/i386-pc/boot.img"

gboolean stead_build_layout(guint64 disk_size, SteadBuildLayout *layout, GError **error)
{
    if (disk_size < STEAD_BUILD_DISK_MIN || disk_size > STEAD_BUILD_DISK_MAX ||
        disk_size % 1048576 != 0) {
        stead_set_error(error, STEAD_ERROR_INVALID,
                        "Ask for a multiple of 1 MiB from 2 GiB to 16 TiB, such as 10G.",
                        "an image cannot have a disk of %" G_GUINT64_FORMAT " bytes", disk_size);
        return FALSE;
    }
    layout->bios_start = MIB_SECTORS;
    layout->bios_size = BIOS_MIB * MIB_SECTORS;
    layout->esp_start = layout->bios_start + layout->bios_size;
    layout->esp_size = ESP_MIB * MIB_SECTORS;
    layout->root_start = layout->esp_start + layout->esp_size;
    /* The last MiB is left to the copy of the partition table. */
    layout->root_size = disk_size / STEAD_BUILD_SECTOR - MIB_SECTORS - layout->root_start;
    return TRUE;
}

char *stead_build_sfdisk_script(const SteadBuildLayout *layout)
{
    return g_strdup_printf(
        "label: gpt\n"
        "14 : start=%" G_GUINT64_FORMAT ", size=%" G_GUINT64_FORMAT ", type=" TYPE_BIOS "\n"
        "15 : start=%" G_GUINT64_FORMAT ", size=%" G_GUINT64_FORMAT ", type=" TYPE_ESP "\n"
        "1 : start=%" G_GUINT64_FORMAT ", size=%" G_GUINT64_FORMAT ", type=" TYPE_ROOT "\n",
        layout->bios_start, layout->bios_size, layout->esp_start, layout->esp_size,
        layout->root_start, layout->root_size);
}

static void put_le64(guint8 *place, guint64 value)
{
    value = GUINT64_TO_LE(value);
    memcpy(place, &value, sizeof value);
}

gboolean stead_build_patch_bios(guint8 *boot, guint8 *core, gsize core_size, guint64 core_start)
{
    if (core_size < STEAD_BUILD_SECTOR)
        return FALSE;
    put_le64(boot + BOOT_KERNEL_SECTOR, core_start);
    /* As grub-bios-setup does for hard disks: believe the BIOS about the drive booted from. */
    memset(boot + BOOT_DRIVE_CHECK, 0x90, 2);
    put_le64(core + CORE_BLOCKLIST_START, core_start + 1);
    return TRUE;
}

/* --- The root file system --- */

gboolean stead_build_make_raw(const SteadBuild *build, GError **error)
{
    stead_autofd fd = open(build->disk, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)build->disk_size) != 0) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "making %s: %s",
                    build->disk, g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

gboolean stead_build_make_ext4(const SteadBuild *build, guint64 offset, guint64 blocks,
                               GError **error)
{
    g_autofree char *extended = g_strdup_printf(
        "offset=%" G_GUINT64_FORMAT ",lazy_itable_init=0,lazy_journal_init=0,nodiscard", offset);
    g_autofree char *count = g_strdup_printf("%" G_GUINT64_FORMAT, blocks);
    const char *const mke2fs[] = {"mke2fs",      "-q",        "-F",        "-t", "ext4",   "-O",
                                  EXT4_FEATURES, "-b",        "4096",      "-I", "256",    "-L",
                                  "root",        "-U",        build->uuid, "-E", extended, "-d",
                                  build->root,   build->disk, count,       NULL};
    G_STATIC_ASSERT(STEAD_BUILD_BLOCK == 4096);
    return stead_run(mke2fs, NULL, build->cancellable, NULL, error);
}

gboolean stead_build_file_system(SteadBuild *build, GError **error)
{
    if (!stead_build_make_raw(build, error))
        return FALSE;
    g_autofree char *script = stead_build_sfdisk_script(&build->layout);
    const char *const sfdisk[] = {"sfdisk", "--quiet", build->disk, NULL};
    const SteadRunOptions options = {.input = script};
    return stead_run(sfdisk, &options, build->cancellable, NULL, error) &&
           stead_build_make_ext4(build, build->layout.root_start * STEAD_BUILD_SECTOR,
                                 build->layout.root_size / (STEAD_BUILD_BLOCK / STEAD_BUILD_SECTOR),
                                 error);
}

/* --- The EFI system partition --- */

static gboolean mtool(SteadBuild *build, GError **error, ...) G_GNUC_NULL_TERMINATED;

/* Runs a program of mtools on the EFI partition: its name, then its arguments; "-i IMAGE" is put
 * between them. */
static gboolean mtool(SteadBuild *build, GError **error, ...)
{
    g_autofree char *image = g_strdup_printf("%s@@%" G_GUINT64_FORMAT, build->disk,
                                             build->layout.esp_start * STEAD_BUILD_SECTOR);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    va_list args;
    va_start(args, error);
    g_ptr_array_add(argv, va_arg(args, char *));
    g_ptr_array_add(argv, (gpointer) "-i");
    g_ptr_array_add(argv, image);
    for (char *arg = va_arg(args, char *); arg; arg = va_arg(args, char *))
        g_ptr_array_add(argv, arg);
    va_end(args);
    g_ptr_array_add(argv, NULL);
    return stead_run((const char *const *)argv->pdata, NULL, build->cancellable, NULL, error);
}

static gboolean make_esp(SteadBuild *build, GError **error)
{
    g_autofree char *sectors = g_strdup_printf("%" G_GUINT64_FORMAT, build->layout.esp_size);
    g_autofree char *serial = g_strdup_printf("%08X", build->esp_id);
    g_autofree char *shim = g_build_filename(build->root, SHIM, NULL);
    g_autofree char *grub = g_build_filename(build->root, GRUB_EFI, NULL);
    g_autofree char *config = g_strconcat(build->disk, ".grub.cfg", NULL);
    g_autofree char *text = g_strdup_printf("search.fs_uuid %s root\n"
                                            "set prefix=($root)/boot/grub\n"
                                            "configfile $prefix/grub.cfg\n",
                                            build->uuid);
    return g_file_set_contents(config, text, -1, error) &&
           mtool(build, error, "mformat", "-F", "-T", sectors, "-h", "255", "-s", "63", "-v", "EFI",
                 "-N", serial, "::", NULL) &&
           mtool(build, error, "mmd", "::/EFI", "::/EFI/BOOT", "::/EFI/debian", NULL) &&
           mtool(build, error, "mcopy", shim, "::/EFI/BOOT/BOOTX64.EFI", NULL) &&
           mtool(build, error, "mcopy", grub, "::/EFI/BOOT/grubx64.efi", NULL) &&
           mtool(build, error, "mcopy", config, "::/EFI/debian/grub.cfg", NULL);
}

/* --- BIOS --- */

/* The core, made by the tree's own grub-mkimage: it finds the root by its UUID. */
static gboolean make_core(SteadBuild *build, char **core, gsize *size, GError **error)
{
    g_autofree char *early = g_build_filename(build->root, "tmp", "early.cfg", NULL);
    g_autofree char *image = g_build_filename(build->root, "tmp", "core.img", NULL);
    g_autofree char *text = g_strdup_printf("search.fs_uuid %s root\n"
                                            "set prefix=($root)/boot/grub\n",
                                            build->uuid);
    const char *const argv[] = {
        "chroot",        build->root, "grub-mkimage",   "-O",     "i386-pc",    "-o",
        "/tmp/core.img", "-c",        "/tmp/early.cfg", "-p",     "/boot/grub", "biosdisk",
        "part_gpt",      "ext2",      "search_fs_uuid", "normal", NULL};
    return g_file_set_contents(early, text, -1, error) &&
           stead_run(argv, NULL, build->cancellable, NULL, error) &&
           g_file_get_contents(image, core, size, error) && g_unlink(early) == 0 &&
           g_unlink(image) == 0;
}

static gboolean write_at(int fd, const void *bytes, gsize size, guint64 offset, GError **error)
{
    gssize n = pwrite(fd, bytes, size, (off_t)offset);
    if (n == (gssize)size)
        return TRUE;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(n < 0 ? errno : ENOSPC),
                "writing the boot code: %s", g_strerror(n < 0 ? errno : ENOSPC));
    return FALSE;
}

static gboolean make_bios(SteadBuild *build, GError **error)
{
    g_autofree char *boot_path = g_build_filename(build->root, GRUB_BOOT, NULL);
    g_autofree char *boot = NULL, *core = NULL;
    gsize boot_size, core_size;
    if (!g_file_get_contents(boot_path, &boot, &boot_size, error) ||
        !make_core(build, &core, &core_size, error))
        return FALSE;
    guint64 start = build->layout.bios_start;
    if (boot_size < STEAD_BUILD_SECTOR || core_size > CORE_MAX ||
        !stead_build_patch_bios((guint8 *)boot, (guint8 *)core, core_size, start)) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL,
                        "GRUB's BIOS boot code has an unexpected size (%zu and %zu bytes)",
                        boot_size, core_size);
        return FALSE;
    }
    stead_autofd fd = open(build->disk, O_WRONLY | O_CLOEXEC);
    return write_at(fd, boot, BOOT_CODE_SIZE, 0, error) &&
           write_at(fd, core, core_size, start * STEAD_BUILD_SECTOR, error);
}

/* --- The qcow2 --- */

static gboolean sync_file(const char *path, GError **error)
{
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fdatasync(fd) == 0)
        return TRUE;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "writing %s to disk: %s",
                path, g_strerror(errno));
    return FALSE;
}

gboolean stead_build_convert(const SteadBuild *build, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(build->options->output);
    g_autofree char *name = g_path_get_basename(build->options->output);
    stead_autounlink partial = g_strdup_printf("%s/.%s.partial", folder, name);
    const char *const argv[] = {"qemu-img", "convert",   "-f",    "raw", "-O",
                                "qcow2",    build->disk, partial, NULL};
    if (!stead_run(argv, NULL, build->cancellable, NULL, error) || !sync_file(partial, error))
        return FALSE;
    if (g_rename(partial, build->options->output) != 0) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "renaming to %s: %s",
                    build->options->output, g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

gboolean stead_build_disk(SteadBuild *build, GError **error)
{
    if (!make_esp(build, error) || !make_bios(build, error))
        return FALSE;
    stead_build_report(build, 0.2);
    return stead_build_convert(build, error);
}
