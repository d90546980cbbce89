/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous reads, writes and syncs through io_uring, and nothing else through it. Where the
 * kernel refuses it (before Linux 5.10, locked down, or in a container), vmm_uring_new() fails and
 * disks use their worker alone.
 */
#pragma once

#include <sys/uio.h>

#include "vmm/loop.h"

typedef struct VmmUring VmmUring;
typedef struct VmmUringOp VmmUringOp;

/* Embedded in what the caller works on; its own until `done` is called, from the loop or from
 * vmm_uring_drain(). `result`: bytes, 0 for a sync, or a negative errno. */
struct VmmUringOp {
    void (*done)(VmmUringOp *op, int result);
};

#define VMM_URING_ENTRIES 64

int vmm_uring_new(VmmUring **ring, VmmLoop *loop);
/* Drains. NULL is fine. */
void vmm_uring_free(VmmUring *ring);

/* The parts stay valid until the end. 0, or -EBUSY: the ring is full. Starts with the next
 * vmm_uring_kick(). */
int vmm_uring_read(VmmUring *ring, VmmUringOp *op, int fd, const struct iovec *parts, unsigned n,
                   uint64_t offset);
int vmm_uring_write(VmmUring *ring, VmmUringOp *op, int fd, const struct iovec *parts, unsigned n,
                    uint64_t offset);
/* fdatasync() */
int vmm_uring_sync(VmmUring *ring, VmmUringOp *op, int fd);

/* Starts what was added since the last call. */
void vmm_uring_kick(VmmUring *ring);

/* Waits until nothing is under way, telling the ends. */
void vmm_uring_drain(VmmUring *ring);
bool vmm_uring_is_idle(const VmmUring *ring);
