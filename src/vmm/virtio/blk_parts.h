/* SPDX-License-Identifier: Apache-2.0 */
/* What blk.c and blk_request.c share. */
#pragma once

#include <linux/virtio_blk.h>

#include "vmm/rate.h"
#include "vmm/virtio/blk.h"

/* The bytes that one request may read or write: all that are under way are what a reset waits for,
 * with the VM's lock held. A driver that keeps to the number and the size of segments stays below.
 */
#define VMM_BLK_TRANSFER_MAX (16U << 20)
#define VMM_BLK_QUEUE_SIZE 256
#define VMM_BLK_SEGMENTS_MAX (VMM_BLK_QUEUE_SIZE - 2) /* beside the header and the outcome */
#define VMM_BLK_SEGMENT_MAX (1U << 16)                /* bytes */
_Static_assert(VMM_BLK_SEGMENTS_MAX *VMM_BLK_SEGMENT_MAX <= VMM_BLK_TRANSFER_MAX,
               "a driver is told of more than is taken");

/* What one request may ask for, in sectors; the driver is told. */
#define VMM_BLK_DISCARD_SECTORS_MAX (1U << 21) /* 1 GiB */
#define VMM_BLK_ZEROES_SECTORS_MAX (1U << 17)  /* 64 MiB */

typedef struct VmmBlk VmmBlk;

typedef struct VmmBlkRequest {
    VmmDiskRequest disk;
    VmmBlk *blk;
    struct VmmBlkRequest *next_free;
    uint32_t written; /* bytes of data that are filled when it is answered */
    uint8_t *outcome; /* where the guest looks for it; NULL: nowhere */
    VmmChain chain;   /* its parts are cut to the data's once the request is understood */
} VmmBlkRequest;

struct VmmBlk {
    VmmVirtio device;
    VmmDisk *disk;
    uint64_t sectors;
    uint64_t n_read, n_written; /* bytes, since the start */
    VmmRate rate;
    VmmSource *rate_timer;
    bool is_draining;
    int settle_failed; /* when it was paused; then there is nothing to save */
    bool is_full;      /* the queue was left because of IN_FLIGHT */
    char serial[VMM_BLK_SERIAL_MAX];
    struct virtio_blk_config config;
    VmmBlkRequest *free;
    VmmBlkRequest *requests;
    unsigned n_used; /* of them, ever */
};

/* Of a request whose chain was taken: reads it, bounds it, and fills request->disk. Returns
 * VMM_BLK_SUBMIT, or the outcome (VIRTIO_BLK_S_...) of one that the disk has no part in. */
#define VMM_BLK_SUBMIT (-1)
int vmm_blk_understand(VmmBlkRequest *request);
