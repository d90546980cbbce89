/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of boot.c: finding a kernel in a disk that nobody vouches for, and the agent's piece of
 * an initramfs. Limits are of what the image's maker controls.
 */
#pragma once

#include <gio/gio.h>

/* What sfdisk or debugfs may say about a disk, in bytes. */
#define STEAD_BOOT_ANSWER_MAX (1024 * 1024)
#define STEAD_BOOT_PARTITIONS_MAX 32
#define STEAD_BOOT_ENTRIES_MAX 4096 /* of a folder */
#define STEAD_BOOT_VERSION_MAX 64
#define STEAD_BOOT_UUID_LENGTH 36
#define STEAD_BOOT_KERNEL_MAX (G_GUINT64_CONSTANT(256) << 20)
#define STEAD_BOOT_INITRD_MAX (G_GUINT64_CONSTANT(512) << 20)
#define STEAD_BOOT_AGENT_MAX (16 * 1024 * 1024)

/* --- boot_parse.c: what the programs say. Pure. --- */

/* The first byte of each partition in an answer of `sfdisk --json` (guint64), in the order of the
 * answer; those outside of a disk of `disk_size` bytes are left out. NULL: it is no such answer.
 * Owned by the caller. */
GArray *stead_boot_parse_partitions(const char *json, gsize length, guint64 disk_size);

typedef enum { STEAD_BOOT_FILE, STEAD_BOOT_FOLDER } SteadBootEntryKind;

typedef struct {
    guint32 inode;
    SteadBootEntryKind kind;
    guint64 size; /* of a file, as it says */
    char *name;
} SteadBootEntry;

/* The regular files and folders in an answer of debugfs to `ls -p` (SteadBootEntry; lines that are
 * none are passed over). Owned by the caller. */
GArray *stead_boot_parse_listing(const char *text);

/* The folder of that name in a listing: its inode, or 0. */
guint32 stead_boot_find_folder(const GArray *listing, const char *name);

/* The UUID in an answer of debugfs to `stats -h`, or NULL; owned by the caller. */
char *stead_boot_parse_uuid(const char *text);

/* A kernel in a listing, with what it starts with. */
typedef struct {
    guint32 kernel; /* inodes */
    guint32 initrd; /* 0: none */
    guint64 kernel_size, initrd_size;
    char version[STEAD_BOOT_VERSION_MAX + 1];
} SteadBootKernel;

/* The newest version that has both a kernel and an initramfs, or else the newest kernel. FALSE:
 * there is none. */
gboolean stead_boot_choose(const GArray *listing, SteadBootKernel *kernel);

/* Less than, equal to or greater than 0 as `a` is the worse choice, the same or the better one. */
int stead_boot_compare(const SteadBootKernel *a, const SteadBootKernel *b);

/* --- boot_disk.c: asking the programs about a raw disk --- */

typedef struct {
    SteadBootKernel kernel;
    guint64 offset; /* of the kernel's file system in the disk, in bytes */
    char root[STEAD_BOOT_UUID_LENGTH + 1];
} SteadBootPlace;

/* Finds kernel and root in the raw disk behind `fd`, which confined programs may read. UNSUPPORTED
 * when there are none. */
gboolean stead_boot_find(int fd, guint64 disk_size, SteadBootPlace *place,
                         GCancellable *cancellable, GError **error);

/* Copies the file of an inode of that file system to `to`: as long as it says it is, or an error.
 */
gboolean stead_boot_take(int fd, guint64 offset, guint32 inode, guint64 size, int to,
                         GCancellable *cancellable, GError **error);

/* --- boot_piece.c: the agent's piece of an initramfs --- */

typedef struct {
    const char *name; /* without a leading slash */
    guint32 mode;     /* with its type, S_IFREG or S_IFDIR */
    const void *bytes;
    gsize size;
} SteadCpioEntry;

/* A cpio archive in the kernel's format ("newc"), owned by the caller. The same entries give the
 * same bytes. */
GBytes *stead_cpio_new(const SteadCpioEntry *entries, gsize n);

/* The piece with the agent program; owned by the caller. INVALID: that is no program. */
GBytes *stead_boot_piece(const char *agent, GError **error);

/* The zero bytes between an initramfs of `size` bytes and a piece. */
gsize stead_boot_padding(guint64 size);
