/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net on a socket that stands for a tap, or on what else a test puts there. */
#pragma once

#include <linux/virtio_net.h>

#include "rig.h"
#include "vmm/virtio/net.h"

#define NET_RX 0
#define NET_TX 1
#define NET_CONTROL 2
#define NET_HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define NET_MERGED VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF)
#define NET_OFFLOADS (VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4))

typedef struct {
    Rig *rig;
    int ends[2]; /* the device's, and the test's; -1: none */
} NetFixture;

/* Makes the socket. */
void net_set_up_ends(NetFixture *fixture);
/* Puts a device on ends[0]; a limit of 0 is none. */
void net_attach(NetFixture *fixture, uint64_t bytes_per_second, uint64_t packets_per_second);
/* Both, without limits, and a driver that takes these features. */
void net_set_up(NetFixture *fixture, uint64_t features);
void net_tear_down(NetFixture *fixture);

/* From outside: a packet of that many bytes behind its header, each with its place's number. */
void net_arrive(NetFixture *fixture, uint32_t length);
/* The n-th buffer of the receive queue, 4 KiB behind the one before. */
void net_give_room(NetFixture *fixture, unsigned n, uint32_t length);
/* Puts a packet to be sent at RIG_DATA. */
void net_put_packet(NetFixture *fixture, struct virtio_net_hdr_v1 header, uint32_t length);
