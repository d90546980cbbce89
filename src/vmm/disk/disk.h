/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: requests go in, their ends come back from the loop. What needs no look at metadata runs
 * asynchronously through io_uring; the rest, and everything where io_uring is refused, runs in a
 * thread of the disk's own. Nothing here blocks but draining.
 *
 * Requests that run at once may end in any order. A flush covers the writes that had ended before
 * it was submitted.
 */
#pragma once

#include "vmm/disk/image.h"
#include "vmm/disk/uring.h"
#include "vmm/disk/worker.h"

#define VMM_DISK_SECTOR 512
#define VMM_DISK_FILES_MAX 16 /* an image and those that back it */

typedef enum {
    VMM_DISK_READ,
    VMM_DISK_WRITE,
    VMM_DISK_FLUSH,
    VMM_DISK_DISCARD,
    VMM_DISK_ZERO,
} VmmDiskOp;

typedef enum {
    VMM_DISK_RAW,
    VMM_DISK_QCOW2,
} VmmDiskFormat;

typedef struct VmmDisk VmmDisk;
typedef struct VmmDiskRequest VmmDiskRequest;

/* The caller's, with its parts, and to be left alone until `done` was called. */
struct VmmDiskRequest {
    VmmDiskOp op;
    bool unmap;      /* of VMM_DISK_ZERO */
    uint64_t offset; /* bytes; the range lies inside the disk */
    uint64_t length;
    const struct iovec *parts; /* of reads and writes; together `length` bytes */
    unsigned n_parts;          /* at most VMM_CHAIN_MAX */
    void (*done)(VmmDiskRequest *request, int result); /* 0 or a negative errno */
    /* The disk's. */
    VmmDisk *disk;
    VmmJob job;
    VmmUringOp ring_op;
    int result;
};

typedef struct {
    int fds[VMM_DISK_FILES_MAX]; /* the image, then what backs it; they stay the caller's */
    unsigned n_fds;
    VmmDiskFormat format;
    bool is_read_only;
    bool no_uring;
    int (*prepare_thread)(void); /* the first thing that the disk's thread does; NULL: nothing */
} VmmDiskOptions;

/* 0 or a negative errno with the reason in `error`. */
int vmm_disk_new(VmmDisk **disk, VmmLoop *loop, const VmmDiskOptions *options, VmmError *error);
/* Drains, writes what is not in the files yet. NULL is fine. */
void vmm_disk_free(VmmDisk *disk);

uint64_t vmm_disk_size(const VmmDisk *disk); /* bytes */
bool vmm_disk_is_read_only(const VmmDisk *disk);

/* Never calls `done` by itself. Starts with the next vmm_disk_kick() at the latest. */
void vmm_disk_submit(VmmDisk *disk, VmmDiskRequest *request);
void vmm_disk_kick(VmmDisk *disk);

/* Waits for the ends of all requests and tells them. */
void vmm_disk_drain(VmmDisk *disk);

/* Drains and flushes: afterwards the files hold all that was written. 0 or a negative errno. */
int vmm_disk_settle(VmmDisk *disk);
