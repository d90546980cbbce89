/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real root of a guest in which this is the only init: the initramfs has the drivers
 * (guest/init.h), and what root= on the kernel's command line names is put in its place.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Started once, with the console, when the root is there; its own place to bring up the network. */
#define GUEST_BOOT_SCRIPT "/etc/stead/boot"

/*
 * Mounts the root, an ext4 that is grown to the size of its disk, and makes it /, with /dev, /proc,
 * /sys, /run and /tmp as they are. Success also where there is nothing to do: / is no initramfs, or
 * no root= names a file system by UUID. On failure / is what it was, and *what is what could not
 * be done; waits for the disk up to ten seconds. Once, as process 1.
 */
int guest_root_enter(const char **what);

/* Starts GUEST_BOOT_SCRIPT if it is there, and does not wait for it. Before signals are blocked. */
void guest_boot_script(void);

/* --- for tests --- */

#define GUEST_UUID_SIZE 16

/* The UUID that root= names on a kernel's command line. */
bool guest_root_wanted(const char *cmdline, uint8_t uuid[GUEST_UUID_SIZE]);

/* What is read of an ext2, ext3 or ext4: the 1024 bytes at 1024. */
#define GUEST_SUPERBLOCK_OFFSET 1024
#define GUEST_SUPERBLOCK_SIZE 1024

typedef struct {
    uint8_t uuid[GUEST_UUID_SIZE];
    uint64_t blocks;
    uint32_t block_size; /* bytes */
} GuestSuperblock;

/* False: these bytes are none. */
bool guest_superblock(const uint8_t bytes[GUEST_SUPERBLOCK_SIZE], GuestSuperblock *found);
