/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the headers of hostile disk images. The question is one only: can a reader that is told
 * the format be led to another file, or into a feature that nobody looked at? Everything else about
 * an image (its tables, its clusters) is left to qemu-img, which runs confined.
 *
 *   qcow2  backing file, external data file, encryption, unknown incompatible features; the header
 *          extensions are walked because a data file can be named there as well
 *   vmdk   the embedded descriptor may name extents and a parent; QEMU also takes a descriptor
 *          found elsewhere when the header's capacity is 0
 *   vdi    undo and differencing types stand on a parent
 *   vhd    differencing disks stand on a parent
 *   vhdx   its parent locator is refused by QEMU itself, and by the confined `info` of import.c
 *
 * Numbers are taken out of a local copy of the header, each checked before it is used.
 */
#include "image/inspect.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/units.h"
#include "image/format.h"
#include "model/spec.h"

#define SECTOR 512

gboolean stead_read_some(int fd, guint64 offset, void *buffer, gsize wanted, gsize *got,
                         GError **error)
{
    *got = 0;
    while (*got < wanted) {
        ssize_t n = pread(fd, (guint8 *)buffer + *got, wanted - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int saved = errno;
            g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "reading: %s",
                        g_strerror(saved));
            return FALSE;
        }
        if (n == 0)
            break;
        *got += (gsize)n;
    }
    return TRUE;
}

static gboolean refuse(GError **error, SteadErrorCode code, const char *hint, const char *what)
{
    stead_set_error(error, code, hint, "%s", what);
    return FALSE;
}

static gboolean broken(GError **error, const char *what)
{
    return refuse(error, STEAD_ERROR_INVALID, "The file is damaged, or made to mislead.", what);
}

static gboolean check_virtual_size(guint64 size, GError **error)
{
    if (size == 0)
        return broken(error, "its disk has no size");
    if (size <= STEAD_MAX_DISK)
        return TRUE;
    g_autofree char *limit = stead_format_size(STEAD_MAX_DISK);
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL,
                    "its disk of %" G_GUINT64_FORMAT " bytes is larger than %s", size, limit);
    return FALSE;
}

static guint32 be32(const guint8 *p)
{
    guint32 value;
    memcpy(&value, p, sizeof value);
    return GUINT32_FROM_BE(value);
}

static guint64 be64(const guint8 *p)
{
    guint64 value;
    memcpy(&value, p, sizeof value);
    return GUINT64_FROM_BE(value);
}

static guint32 le32(const guint8 *p)
{
    guint32 value;
    memcpy(&value, p, sizeof value);
    return GUINT32_FROM_LE(value);
}

static guint64 le64(const guint8 *p)
{
    guint64 value;
    memcpy(&value, p, sizeof value);
    return GUINT64_FROM_LE(value);
}

/* qcow2: docs/interop/qcow2.txt of QEMU. Offsets into the header. */
enum {
    QCOW2_VERSION = 4,
    QCOW2_BACKING_OFFSET = 8,
    QCOW2_BACKING_SIZE = 16,
    QCOW2_CLUSTER_BITS = 20,
    QCOW2_SIZE = 24,
    QCOW2_CRYPT = 32,
    QCOW2_V2_LENGTH = 72,
    QCOW2_INCOMPATIBLE = 72,
    QCOW2_HEADER_LENGTH = 100,
    QCOW2_V3_LENGTH = 104,
};

/* Incompatible feature bits: dirty, corrupt, external data, compression type, extended L2. */
#define QCOW2_CORRUPT (1u << 1)
#define QCOW2_EXTERNAL_DATA (1u << 2)
#define QCOW2_KNOWN_FEATURES 0x1fu

#define QCOW2_EXT_END 0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_DATA_FILE 0x44415441u
/* QEMU writes four; each takes at least 8 bytes. */
#define QCOW2_MAX_EXTENSIONS 64
#define QCOW2_HEAD_BYTES (64 * 1024)

#define FLATTEN                                                                                    \
    "It would read other files of this host. Flatten it where it was made: qemu-img convert -O "   \
    "qcow2 FILE NEW"

static gboolean check_qcow2_features(const guint8 *head, GError **error)
{
    guint64 features = be64(head + QCOW2_INCOMPATIBLE);
    if (features & QCOW2_EXTERNAL_DATA)
        return refuse(error, STEAD_ERROR_INVALID, FLATTEN, "it keeps its data in another file");
    if (features & QCOW2_CORRUPT)
        return refuse(error, STEAD_ERROR_INVALID, "Mend it first: qemu-img check -r all FILE",
                      "it is marked as corrupt");
    if (features & ~(guint64)QCOW2_KNOWN_FEATURES)
        return refuse(error, STEAD_ERROR_UNSUPPORTED, NULL,
                      "it needs qcow2 features that are not known here");
    return TRUE;
}

/* Walks the header extensions, which lie between the header and the end of the first cluster. */
static gboolean check_qcow2_extensions(const guint8 *head, gsize n, gsize at, GError **error)
{
    for (int i = 0; i < QCOW2_MAX_EXTENSIONS; i++) {
        if (at + 8 > n)
            return TRUE; /* the cluster ends here, and with it the extensions */
        guint32 type = be32(head + at), length = be32(head + at + 4);
        at += 8;
        if (type == QCOW2_EXT_END)
            return TRUE;
        if (length > n - at)
            return broken(error, "a header extension runs out of its cluster");
        if (type == QCOW2_EXT_BACKING_FORMAT || type == QCOW2_EXT_DATA_FILE)
            return refuse(error, STEAD_ERROR_INVALID, FLATTEN, "it refers to another file");
        at += (gsize)length + 7 - (length + 7) % 8;
    }
    return broken(error, "it has too many header extensions");
}

static gboolean inspect_qcow2(int fd, guint64 *virtual_size, GError **error)
{
    g_autofree guint8 *head = g_malloc0(QCOW2_HEAD_BYTES);
    gsize n;
    if (!stead_read_some(fd, 0, head, QCOW2_HEAD_BYTES, &n, error))
        return FALSE;
    if (n < QCOW2_V3_LENGTH)
        return broken(error, "its qcow2 header is cut short");
    guint32 version = be32(head + QCOW2_VERSION);
    if (version != 2 && version != 3)
        return refuse(error, STEAD_ERROR_UNSUPPORTED, "Convert it to qcow2 version 2 or 3 first.",
                      "it is a qcow image of a version that is not taken");
    if (be64(head + QCOW2_BACKING_OFFSET) != 0 || be32(head + QCOW2_BACKING_SIZE) != 0)
        return refuse(error, STEAD_ERROR_INVALID, FLATTEN, "it stands on a backing file");
    if (be32(head + QCOW2_CRYPT) != 0)
        return refuse(error, STEAD_ERROR_UNSUPPORTED, "Decrypt it first.", "it is encrypted");
    guint32 cluster_bits = be32(head + QCOW2_CLUSTER_BITS);
    if (cluster_bits < 9 || cluster_bits > 21)
        return broken(error, "its cluster size is impossible");
    if (version == 3 && !check_qcow2_features(head, error))
        return FALSE;
    gsize length = version == 2 ? QCOW2_V2_LENGTH : be32(head + QCOW2_HEADER_LENGTH);
    gsize cluster = MIN(n, (gsize)1 << cluster_bits);
    if (version == 3 && (length < QCOW2_V3_LENGTH || length > cluster || length % 8 != 0))
        return broken(error, "its header length is impossible");
    *virtual_size = be64(head + QCOW2_SIZE);
    return check_qcow2_extensions(head, cluster, length, error);
}

/* vmdk: "Virtual Disk Format 5.0". The sparse header's offsets; counts are in sectors. */
enum {
    VMDK_CAPACITY = 12,
    VMDK_DESCRIPTOR_OFFSET = 28,
    VMDK_DESCRIPTOR_SIZE = 36,
};

/* Where QEMU looks for the embedded descriptor whatever the header says, and how much it takes. */
#define VMDK_DESCRIPTOR_AT SECTOR
#define VMDK_DESCRIPTOR_MAX (20 * SECTOR)

static const char *const vmdk_types[] = {"monolithicSparse", "streamOptimized"};

#define ONE_FILE "Make it one file first: qemu-img convert -f vmdk -O qcow2 FILE FILE.qcow2"

static gboolean vmdk_type_is_taken(const char *value)
{
    for (gsize i = 0; i < G_N_ELEMENTS(vmdk_types); i++) {
        g_autofree char *quoted = g_strdup_printf("\"%s\"", vmdk_types[i]);
        if (strcmp(value, quoted) == 0 || strcmp(value, vmdk_types[i]) == 0)
            return TRUE;
    }
    return FALSE;
}

/* One line of the descriptor: KEY=VALUE, or an extent "RW 20480 SPARSE "name.vmdk"". */
static gboolean check_vmdk_line(char *line, gboolean *has_type, GError **error)
{
    char *value = strchr(line, '=');
    if (value != NULL) {
        *value++ = '\0';
        g_strstrip(value);
    }
    g_strstrip(line);
    if (value && g_ascii_strcasecmp(line, "createType") == 0) {
        *has_type = TRUE;
        if (!vmdk_type_is_taken(value))
            return refuse(error, STEAD_ERROR_INVALID, ONE_FILE, "its data lies in other files");
    } else if (value && g_ascii_strcasecmp(line, "parentCID") == 0) {
        if (g_ascii_strcasecmp(value, "ffffffff") != 0)
            return refuse(error, STEAD_ERROR_INVALID, ONE_FILE, "it stands on a parent file");
    } else if (g_ascii_strncasecmp(line, "RW ", 3) == 0 ||
               g_ascii_strncasecmp(line, "RDONLY ", 7) == 0) {
        if (strstr(line, " SPARSE ") == NULL)
            return refuse(error, STEAD_ERROR_INVALID, ONE_FILE, "an extent lies in another file");
    }
    return TRUE;
}

static gboolean check_vmdk_descriptor(char *descriptor, GError **error)
{
    gboolean has_type = FALSE;
    /* QEMU searches for these anywhere in the text, so the whole of it is searched here too. */
    if (strstr(descriptor, "parentFileNameHint") != NULL)
        return refuse(error, STEAD_ERROR_INVALID, ONE_FILE, "it stands on a parent file");
    g_auto(GStrv) lines = g_strsplit_set(descriptor, "\r\n", -1);
    for (char **line = lines; *line; line++)
        if (!check_vmdk_line(*line, &has_type, error))
            return FALSE;
    return has_type ? TRUE : broken(error, "its descriptor does not say what type it is");
}

static gboolean inspect_vmdk(int fd, guint64 *virtual_size, GError **error)
{
    guint8 head[SECTOR];
    g_autofree char *descriptor = g_malloc0(VMDK_DESCRIPTOR_MAX + 1);
    gsize n;
    if (!stead_read_some(fd, 0, head, sizeof head, &n, error))
        return FALSE;
    if (n < sizeof head)
        return broken(error, "its vmdk header is cut short");
    guint64 capacity = le64(head + VMDK_CAPACITY);
    if (capacity == 0)
        return refuse(error, STEAD_ERROR_INVALID, ONE_FILE, "its data lies in other files");
    if (capacity > STEAD_MAX_DISK / SECTOR)
        capacity = STEAD_MAX_DISK / SECTOR + 1; /* no overflow; refused below */
    guint64 size = le64(head + VMDK_DESCRIPTOR_SIZE);
    if (le64(head + VMDK_DESCRIPTOR_OFFSET) != VMDK_DESCRIPTOR_AT / SECTOR || size == 0)
        return broken(error, "its descriptor is not where it belongs");
    if (!stead_read_some(fd, VMDK_DESCRIPTOR_AT, descriptor, VMDK_DESCRIPTOR_MAX, &n, error))
        return FALSE;
    *virtual_size = capacity * SECTOR;
    return check_vmdk_descriptor(descriptor, error);
}

/* vdi: offsets into the header; types 1 (dynamic) and 2 (fixed) stand alone. */
enum { VDI_VERSION = 0x44, VDI_TYPE = 0x4c, VDI_DISK_SIZE = 0x170, VDI_HEADER = 0x200 };

static gboolean inspect_vdi(int fd, guint64 *virtual_size, GError **error)
{
    guint8 head[VDI_HEADER];
    gsize n;
    if (!stead_read_some(fd, 0, head, sizeof head, &n, error))
        return FALSE;
    if (n < sizeof head)
        return broken(error, "its vdi header is cut short");
    if (le32(head + VDI_VERSION) != 0x00010001)
        return refuse(error, STEAD_ERROR_UNSUPPORTED, NULL, "it is a vdi of an unknown version");
    guint32 type = le32(head + VDI_TYPE);
    if (type != 1 && type != 2)
        return refuse(error, STEAD_ERROR_INVALID, "Merge it with its parent first.",
                      "it stands on a parent file");
    *virtual_size = le64(head + VDI_DISK_SIZE);
    return TRUE;
}

/* vhd: "Virtual Hard Disk Image Format Specification". Offsets into the footer. */
enum { VHD_CURRENT_SIZE = 48, VHD_TYPE = 60, VHD_CHECKSUM = 64 };
enum { VHD_FIXED = 2, VHD_DYNAMIC = 3 };

gboolean stead_vhd_footer_is_valid(const guint8 *footer)
{
    guint32 sum = 0;
    for (int i = 0; i < SECTOR; i++)
        if (i < VHD_CHECKSUM || i >= VHD_CHECKSUM + 4)
            sum += footer[i];
    return memcmp(footer, "conectix", 8) == 0 && be32(footer + VHD_CHECKSUM) == ~sum;
}

/* The footer: in front of a dynamic disk stands a copy of it, which is what QEMU reads. */
static gboolean read_vhd_footer(int fd, guint8 *footer, GError **error)
{
    struct stat st;
    gsize n;
    if (!stead_read_some(fd, 0, footer, SECTOR, &n, error))
        return FALSE;
    if (n == SECTOR && memcmp(footer, "conectix", 8) == 0)
        return TRUE;
    if (fstat(fd, &st) != 0 || st.st_size < SECTOR)
        return broken(error, "its vhd footer is cut short");
    if (!stead_read_some(fd, (guint64)st.st_size - SECTOR, footer, SECTOR, &n, error))
        return FALSE;
    return n == SECTOR ? TRUE : broken(error, "its vhd footer is cut short");
}

static gboolean inspect_vhd(int fd, guint64 *virtual_size, GError **error)
{
    guint8 footer[SECTOR];
    if (!read_vhd_footer(fd, footer, error))
        return FALSE;
    if (!stead_vhd_footer_is_valid(footer))
        return broken(error, "the checksum of its vhd footer is wrong");
    guint32 type = be32(footer + VHD_TYPE);
    if (type != VHD_FIXED && type != VHD_DYNAMIC)
        return refuse(error, STEAD_ERROR_INVALID, "Merge it with its parent first.",
                      "it stands on a parent file");
    *virtual_size = be64(footer + VHD_CURRENT_SIZE);
    return TRUE;
}

static gboolean inspect_raw(int fd, guint64 *virtual_size, GError **error)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return broken(error, "its size cannot be read");
    *virtual_size = (guint64)st.st_size;
    return TRUE;
}

static gboolean inspect_vhdx(int fd, guint64 *virtual_size, GError **error)
{
    guint8 head[8];
    gsize n;
    *virtual_size = 0;
    return stead_read_some(fd, 0, head, sizeof head, &n, error);
}

typedef gboolean (*InspectFunc)(int fd, guint64 *virtual_size, GError **error);

static const InspectFunc inspectors[] = {
    [STEAD_DISK_FORMAT_RAW] = inspect_raw,   [STEAD_DISK_FORMAT_QCOW2] = inspect_qcow2,
    [STEAD_DISK_FORMAT_VMDK] = inspect_vmdk, [STEAD_DISK_FORMAT_VDI] = inspect_vdi,
    [STEAD_DISK_FORMAT_VHDX] = inspect_vhdx, [STEAD_DISK_FORMAT_VHD] = inspect_vhd,
};
G_STATIC_ASSERT(G_N_ELEMENTS(inspectors) == STEAD_N_DISK_FORMATS);

gboolean stead_disk_format_inspect(int fd, SteadDiskFormat format, guint64 *virtual_size,
                                   GError **error)
{
    guint64 size = 0;
    if (!inspectors[format](fd, &size, error))
        return FALSE;
    if (virtual_size)
        *virtual_size = size;
    return format == STEAD_DISK_FORMAT_VHDX || check_virtual_size(size, error);
}
