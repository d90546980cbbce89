/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's piece of an initramfs. The kernel unpacks archives that follow each other one over
 * the other, so what is appended to an image's initramfs adds files to it or replaces them
 * (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).
 *
 * The piece has the agent and a file of conf/conf.d, which the /init of initramfs-tools (Debian,
 * Ubuntu) reads before it mounts anything. That appends a line to the order of the scripts that run
 * last, when the real root is mounted and /run is about to be moved there: by then the agent
 * installs itself below /run (guest/install.h). An initramfs of other making does not look there,
 * and starts as if nothing had been added.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "image/boot_parts.h"

/* cpio(5), "New ASCII Format": fields of 8 hex digits after a magic. */
#define MAGIC "070701"
#define TRAILER "TRAILER!!!"
#define ALIGNMENT 4

/* What LZ4's decompressor takes for the end, and more (lib/decompress_unlz4.c of Linux). */
#define PADDING_MIN 8
#define PADDING_TO 512

static const char hook[] =
    "# Read by /init before anything is mounted; the agent comes to stay when the root is there.\n"
    "mkdir -p /scripts/init-bottom\n"
    "echo '/stead/agent --install /run' >>/scripts/init-bottom/ORDER\n";

static void pad(GByteArray *archive)
{
    static const guint8 zeros[ALIGNMENT];
    g_byte_array_append(archive, zeros, (ALIGNMENT - archive->len % ALIGNMENT) % ALIGNMENT);
}

static void add(GByteArray *archive, const SteadCpioEntry *entry, guint inode)
{
    char head[128];
    /* magic, inode, mode, uid, gid, links, mtime, size, device and rdevice, name's size, checksum
     */
    int n =
        g_snprintf(head, sizeof head, MAGIC "%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
                   inode, entry->mode, 0U, 0U, 1U, 0U, (guint)entry->size, 0U, 0U, 0U, 0U,
                   (guint)strlen(entry->name) + 1, 0U);
    g_byte_array_append(archive, (const guint8 *)head, (guint)n);
    g_byte_array_append(archive, (const guint8 *)entry->name, (guint)strlen(entry->name) + 1);
    pad(archive);
    if (entry->size > 0)
        g_byte_array_append(archive, entry->bytes, (guint)entry->size);
    pad(archive);
}

GBytes *stead_cpio_new(const SteadCpioEntry *entries, gsize n)
{
    static const SteadCpioEntry trailer = {.name = TRAILER};
    GByteArray *archive = g_byte_array_new();
    for (gsize i = 0; i < n; i++)
        add(archive, &entries[i], (guint)i + 1);
    add(archive, &trailer, 0);
    return g_byte_array_free_to_bytes(archive);
}

static gboolean read_agent(const char *path, char **bytes, gsize *size, GError **error)
{
    if (!g_file_get_contents(path, bytes, size, error))
        return FALSE;
    if (*size > 4 && *size <= STEAD_BOOT_AGENT_MAX && memcmp(*bytes, "\177ELF", 4) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, "Install stead again.",
                    "%s is not the program of an agent", path);
    return FALSE;
}

GBytes *stead_boot_piece(const char *agent, GError **error)
{
    g_autofree char *bytes = NULL;
    gsize size;
    if (!read_agent(agent, &bytes, &size, error))
        return NULL;
    const SteadCpioEntry entries[] = {
        {"stead", S_IFDIR | 0755, NULL, 0},
        {"stead/agent", S_IFREG | 0755, bytes, size},
        {"conf", S_IFDIR | 0755, NULL, 0},
        {"conf/conf.d", S_IFDIR | 0755, NULL, 0},
        {"conf/conf.d/zz-stead", S_IFREG | 0644, hook, sizeof hook - 1},
    };
    return stead_cpio_new(entries, G_N_ELEMENTS(entries));
}

gsize stead_boot_padding(guint64 size)
{
    gsize over = (gsize)((size + PADDING_MIN) % PADDING_TO);
    return PADDING_MIN + (over ? PADDING_TO - over : 0);
}
