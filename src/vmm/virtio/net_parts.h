/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the network device share. */
#pragma once

#include <linux/virtio_net.h>

#include "vmm/rate.h"
#include "vmm/virtio/net.h"

#define VMM_NET_RX 0
#define VMM_NET_TX 1
#define VMM_NET_CONTROL 2

#define VMM_NET_HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
/* The longest IP packet behind an Ethernet header with a VLAN tag. */
#define VMM_NET_PACKET_MAX (VMM_NET_HEADER + 65535U + 18U)

typedef struct {
    VmmVirtio device;
    struct virtio_net_config config;
    int fd;
    VmmSource *source; /* NULL: the tap is lost */
    uint32_t watched;  /* events that the source waits for */
    bool is_starved;   /* the guest has no room for the packet */
    bool is_clogged;   /* the tap has none */
    VmmRate rx_rate, tx_rate;
    VmmSource *rx_timer, *tx_timer;
    bool is_rx_late, is_tx_late;              /* a limit holds this direction until its timer */
    uint8_t is_promiscuous, is_all_multicast; /* as the driver asked; nothing is filtered here */
    uint32_t length; /* of the packet that was read and has no place yet; 0: none */
    bool is_counted; /* the limit let that packet through */
    uint8_t packet[VMM_NET_PACKET_MAX];
} VmmNet;

/* Answers what waits in the control queue. */
void vmm_net_control(VmmNet *net);

/* Carry what can go on in that direction. */
void vmm_net_receive(VmmNet *net);
void vmm_net_send(VmmNet *net);

bool vmm_net_is_running(const VmmNet *net);

/* Waits for the tap in the directions that can go on. */
void vmm_net_watch(VmmNet *net);

/* Whether a packet has to wait; then *is_late is set until the timer. */
bool vmm_net_is_over_limit(VmmRate *rate, VmmSource *timer, uint64_t length, bool *is_late);
