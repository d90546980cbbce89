/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding out what a file is. QEMU's own probing is never used: a guest can write the magic of
 * another format into its raw disk, and a reader that believes it follows whatever names that
 * header holds. So the magic is looked at here, once, and every later program is told the format.
 * inspect.c then reads the header of the format that was found.
 */
#include "image/format.h"

#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "image/inspect.h"

#define SECTOR 512

typedef struct {
    const char *name;
    const char *driver;
} FormatInfo;

static const FormatInfo formats[] = {
    [STEAD_DISK_FORMAT_RAW] = {"raw", "raw"},    [STEAD_DISK_FORMAT_QCOW2] = {"qcow2", "qcow2"},
    [STEAD_DISK_FORMAT_VMDK] = {"vmdk", "vmdk"}, [STEAD_DISK_FORMAT_VDI] = {"vdi", "vdi"},
    [STEAD_DISK_FORMAT_VHDX] = {"vhdx", "vhdx"}, [STEAD_DISK_FORMAT_VHD] = {"vhd", "vpc"},
};
G_STATIC_ASSERT(G_N_ELEMENTS(formats) == STEAD_N_DISK_FORMATS);

static const char *const packings[] = {"none", "gzip", "xz", "zstd"};
G_STATIC_ASSERT(G_N_ELEMENTS(packings) == STEAD_N_PACKINGS);

/* Bytes at an offset that tell a format. `format` -1: known, but not taken. */
typedef struct {
    gsize offset;
    const char *bytes;
    gsize length;
    int format;
    const char *what; /* of those not taken */
    const char *hint;
} Magic;

#define UNPACK "Unpack it and import the disk image that is inside."
#define CONVERT "Convert it to qcow2 first: qemu-img convert -O qcow2 FILE FILE.qcow2"

static const Magic magics[] = {
    {0, "QFI\xfb", 4, STEAD_DISK_FORMAT_QCOW2, NULL, NULL},
    {0, "KDMV", 4, STEAD_DISK_FORMAT_VMDK, NULL, NULL},
    {0x40, "\x7f\x10\xda\xbe", 4, STEAD_DISK_FORMAT_VDI, NULL, NULL},
    {0, "vhdxfile", 8, STEAD_DISK_FORMAT_VHDX, NULL, NULL},
    {0, "conectix", 8, STEAD_DISK_FORMAT_VHD, NULL, NULL},
    {0, "COWD", 4, -1, "a VMDK of an old ESX", CONVERT},
    {0, "# Disk DescriptorFile", 21, -1, "a VMDK descriptor, whose data lies in other files",
     "Make it one file first: qemu-img convert -f vmdk -O qcow2 FILE FILE.qcow2"},
    {0, "QED\0", 4, -1, "a QED image", CONVERT},
    {0, "LUKS\xba\xbe", 6, -1, "an encrypted (LUKS) volume", "Decrypt it first."},
    {0, "WithoutFreeSpace", 16, -1, "a Parallels image", CONVERT},
    {0, "WithouFreSpacExt", 16, -1, "a Parallels image", CONVERT},
    {257, "ustar", 5, -1, "a tar archive (perhaps an OVA)", UNPACK},
    {0, "PK\x03\x04", 4, -1, "a zip archive", UNPACK},
    {0, "7z\xbc\xaf\x27\x1c", 6, -1, "a 7z archive", UNPACK},
    {0, "BZh", 3, -1, "packed with bzip2", "Unpack it first: bunzip2 FILE"},
    {0, "\x1f\x8b", 2, -1, "packed twice", UNPACK},
    {0,
     "\xfd"
     "7zXZ\0",
     6, -1, "packed twice", UNPACK},
    {0, "\x28\xb5\x2f\xfd", 4, -1, "packed twice", UNPACK},
};

typedef struct {
    const char *bytes;
    gsize length;
    SteadPacking packing;
} PackingMagic;

static const PackingMagic packing_magics[] = {
    {"\x1f\x8b", 2, STEAD_PACKING_GZIP},
    {"\xfd"
     "7zXZ\0",
     6, STEAD_PACKING_XZ},
    {"\x28\xb5\x2f\xfd", 4, STEAD_PACKING_ZSTD},
};

const char *stead_disk_format_name(SteadDiskFormat format)
{
    return formats[format].name;
}

const char *stead_disk_format_driver(SteadDiskFormat format)
{
    return formats[format].driver;
}

const char *stead_packing_name(SteadPacking packing)
{
    return packings[packing];
}

gboolean stead_packing_detect(int fd, SteadPacking *packing, GError **error)
{
    guint8 head[8];
    gsize n;
    if (!stead_read_some(fd, 0, head, sizeof head, &n, error))
        return FALSE;
    *packing = STEAD_PACKING_NONE;
    for (gsize i = 0; i < G_N_ELEMENTS(packing_magics); i++) {
        const PackingMagic *magic = &packing_magics[i];
        if (n >= magic->length && memcmp(head, magic->bytes, magic->length) == 0)
            *packing = magic->packing;
    }
    return TRUE;
}

/* A fixed VHD has no header, only a footer in its last sector. */
static gboolean has_vhd_footer(int fd, guint64 size)
{
    guint8 footer[SECTOR];
    gsize n;
    return size >= 2 * SECTOR && size % SECTOR == 0 &&
           stead_read_some(fd, size - SECTOR, footer, sizeof footer, &n, NULL) && n == SECTOR &&
           stead_vhd_footer_is_valid(footer);
}

static gboolean detect_without_magic(int fd, SteadDiskFormat *format, GError **error)
{
    struct stat st;
    guint64 size = fstat(fd, &st) == 0 ? (guint64)st.st_size : 0;
    if (has_vhd_footer(fd, size)) {
        *format = STEAD_DISK_FORMAT_VHD;
        return TRUE;
    }
    if (size == 0 || size % SECTOR != 0) {
        stead_set_error(error, STEAD_ERROR_INVALID,
                        "Give a qcow2, raw, vmdk, vdi, vhdx or vhd file, or one of these packed "
                        "with gzip, xz or zstd.",
                        size == 0 ? "it is empty" : "it is not a disk image of a known format");
        return FALSE;
    }
    *format = STEAD_DISK_FORMAT_RAW;
    return TRUE;
}

gboolean stead_disk_format_detect(int fd, SteadDiskFormat *format, GError **error)
{
    guint8 head[SECTOR];
    gsize n;
    if (!stead_read_some(fd, 0, head, sizeof head, &n, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(magics); i++) {
        const Magic *magic = &magics[i];
        if (n < magic->offset + magic->length ||
            memcmp(head + magic->offset, magic->bytes, magic->length) != 0)
            continue;
        if (magic->format < 0) {
            stead_set_error(error, STEAD_ERROR_UNSUPPORTED, magic->hint, "it is %s", magic->what);
            return FALSE;
        }
        *format = (SteadDiskFormat)magic->format;
        return TRUE;
    }
    return detect_without_magic(fd, format, error);
}
