/* SPDX-License-Identifier: Apache-2.0 */
/* Counts first, then the files, of a qcow2 file its header: what stead-vmm refuses, with a reason.
 */
#include "runtime/microvm/vmm_fit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FIXED_DEVICES 3 /* agent, random numbers, balloon */

#define MAGIC 0x514649fbU
#define VERSION 3
#define OLD_VERSION 2 /* is read, not written, and has no features */
#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21
#define REFCOUNT_ORDER 4 /* 16 bits */
#define L1_MAX (32U << 20)
#define OTHER_COMPRESSION (G_GUINT64_CONSTANT(1) << 3) /* a bit of `incompatible` */

/* The first bytes of the file, as far as they are read (docs/interop/qcow2.txt). */
typedef struct {
    guint32 magic, version;
    guint64 backing_name;
    guint32 backing_name_length, cluster_bits;
    guint64 size;
    guint32 crypt_method, l1_entries;
    guint64 l1_offset, refcount_table;
    guint32 refcount_clusters, n_snapshots;
    guint64 snapshots, incompatible, compatible, autoclear;
    guint32 refcount_order;
} Header;

static const char *refuse_header(const Header *header, gboolean is_written)
{
    guint32 version = GUINT32_FROM_BE(header->version);
    gboolean is_old = version == OLD_VERSION;
    guint64 features = is_old ? 0 : GUINT64_FROM_BE(header->incompatible);
    guint32 bits = GUINT32_FROM_BE(header->cluster_bits);
    const struct {
        gboolean is_so;
        const char *why;
    } reasons[] = {
        {GUINT32_FROM_BE(header->magic) != MAGIC, "is no qcow2 file"},
        {version != VERSION && (is_written || !is_old), "is of another version of qcow2"},
        {bits < CLUSTER_BITS_MIN || bits > CLUSTER_BITS_MAX, "has clusters of an odd size"},
        {header->crypt_method != 0, "is encrypted"},
        {header->n_snapshots != 0, "has snapshots inside"},
        {(features & OTHER_COMPRESSION) != 0, "is compressed otherwise than by zlib"},
        {features != 0, "has features that it does not know"},
        {!is_old && GUINT32_FROM_BE(header->refcount_order) != REFCOUNT_ORDER,
         "has odd reference counts"},
        {GUINT32_FROM_BE(header->l1_entries) > L1_MAX / sizeof(guint64), "has too large a table"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (reasons[i].is_so)
            return reasons[i].why;
    return NULL;
}

static const char *refuse_file(const char *path, gboolean is_qcow2, gboolean is_written)
{
    Header header;
    struct stat st;
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return "cannot be read";
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return "is no file";
    if (!is_qcow2)
        return NULL;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return "is no qcow2 file";
    return refuse_header(&header, is_written);
}

static char *refuse_disk(const SteadMachineDisk *disk)
{
    gboolean is_qcow2 = g_strcmp0(disk->format, "qcow2") == 0;
    guint n = disk->backing ? g_strv_length(disk->backing) : 0;
    if (!is_qcow2 && g_strcmp0(disk->format, "raw") != 0)
        return g_strdup_printf("does not know the disk format %s", disk->format);
    if (n + 1 > STEAD_VMM_FILES_MAX)
        return g_strdup_printf("takes at most %d files that stand on each other",
                               STEAD_VMM_FILES_MAX);
    const char *path = disk->path;
    const char *why = refuse_file(path, is_qcow2, !disk->read_only);
    for (guint i = 0; i < n && why == NULL; i++)
        why = refuse_file(path = disk->backing[i], TRUE, FALSE);
    return why ? g_strdup_printf("does not take a disk that %s: %s", why, path) : NULL;
}

static char *refuse_count(const char *what, guint n, guint max)
{
    return n > max ? g_strdup_printf("takes at most %u %s", max, what) : NULL;
}

char *stead_vmm_refusal(const SteadMachine *machine)
{
    guint disks = machine->disks->len + (machine->seed ? 1 : 0);
    guint nics = machine->nics->len;
    char *why = refuse_count("CPUs", machine->spec->cpus, STEAD_VMM_CPUS_MAX);
    if (why == NULL && machine->spec->memory.max > STEAD_VMM_MEMORY_MAX)
        why = g_strdup("takes at most 1 TiB of memory");
    if (why == NULL)
        why = refuse_count("disks", disks, STEAD_VMM_DISKS_MAX);
    if (why == NULL)
        why = refuse_count("interfaces", nics, STEAD_VMM_NICS_MAX);
    if (why == NULL)
        why = refuse_count("devices", disks + nics + FIXED_DEVICES, STEAD_VMM_DEVICES_MAX);
    for (guint i = 0; i < machine->disks->len && why == NULL; i++)
        why = refuse_disk(machine->disks->pdata[i]);
    return why;
}
