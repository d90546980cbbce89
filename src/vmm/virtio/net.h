/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net on a tap. While the guest gives no room, or a limit is reached, packets stay in the
 * tap's queue, which drops what it cannot hold.
 *
 * The guest's checksum and segmentation offloads are the tap's: they are offered where it has them,
 * and what the driver takes of them is set on the tap when it is ready. It can set its own MAC
 * address.
 */
#pragma once

#include "vmm/virtio/device.h"

#define VMM_NET_MAC_SIZE 6

typedef struct {
    /* A tap with IFF_VNET_HDR, or a datagram socket whose packets begin with the header that such a
     * tap has, virtio_net_hdr_v1. It stays the caller's and is made non-blocking. */
    int fd;
    uint8_t mac[VMM_NET_MAC_SIZE];
    /* For each direction by itself; 0: no limit. */
    uint64_t bytes_per_second;
    uint64_t packets_per_second;
} VmmNetOptions;

/* 0 or a negative errno. */
int vmm_net_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop, const VmmNetOptions *options);
