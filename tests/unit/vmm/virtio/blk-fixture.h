/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk on a disk of the test's, and one request after the other to it. */
#pragma once

#include <linux/virtio_blk.h>

#include "rig.h"
#include "tool.h"
#include "vmm/virtio/blk.h"

#define BLK_DISK_SIZE (4U << 20)
#define BLK_DISK_SECTORS (BLK_DISK_SIZE / 512)
#define BLK_HEADER RIG_DATA
#define BLK_OUTCOME (RIG_DATA + 64)
#define BLK_DATA (RIG_DATA + 4096)
#define BLK_NOT_YET 0xaa
#define BLK_MOST_FEATURES                                                                          \
    (VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) |                           \
     VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES))

typedef enum {
    BLK_ANY_WAY, /* by a ring where the kernel has one */
    BLK_RING,    /* the test is skipped where it has none */
    BLK_THREAD,
} BlkWay;

typedef struct {
    VmmDiskFormat format;
    BlkWay way; /* in which the disk is reached */
    gboolean is_read_only;
    uint64_t size; /* of a raw disk; 0: BLK_DISK_SIZE */
    uint64_t bytes_per_second;
    uint64_t operations_per_second;
} BlkKind;

typedef struct {
    Rig *rig;
    int fd;
    Folder *folder;
} BlkFixture;

/* The driver has started. FALSE when the test was skipped. */
gboolean blk_set_up(BlkFixture *fixture, const BlkKind *kind);
void blk_tear_down(BlkFixture *fixture);

void blk_put_header(Rig *rig, uint64_t at, uint32_t type, uint64_t sector);
/* The only segment of a discard or a write of zeroes, at BLK_DATA. */
void blk_put_segment(Rig *rig, uint64_t sector, uint32_t sectors, uint32_t flags);

/* Adds a request with data of that length at `gpa`; its header and outcome are `slot`'s. */
void blk_add_slot(Rig *rig, unsigned slot, uint32_t type, uint64_t sector, uint64_t gpa,
                  uint32_t length);
uint8_t blk_outcome_of(Rig *rig, unsigned slot);

/* One request with data at BLK_DATA from beginning to end; its outcome. `written` may be NULL. */
uint8_t blk_ask(Rig *rig, uint32_t type, uint64_t sector, uint32_t length, uint32_t *written);
