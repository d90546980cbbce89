/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk on a disk (disk/disk.h), with a rate limit if wanted. */
#pragma once

#include "vmm/disk/disk.h"
#include "vmm/virtio/device.h"

#define VMM_BLK_SERIAL_MAX 20

typedef struct {
    VmmDisk *disk;
    const char *serial; /* what the guest reads as the disk's ID, cut to 20 bytes; NULL: none */
    uint64_t bytes_per_second; /* 0: no limit */
    uint64_t operations_per_second;
} VmmBlkOptions;

/* The disk is the device's upon success. 0 or a negative errno. */
int vmm_blk_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop, const VmmBlkOptions *options);

/* How many bytes the guest has read and written. */
void vmm_blk_count(const VmmVirtio *device, uint64_t *n_read, uint64_t *n_written);
