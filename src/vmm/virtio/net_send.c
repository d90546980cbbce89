/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the guest to the tap. A packet goes out as it lies in the guest's memory, but for its
 * header: that is copied, held against what the driver negotiated, and the copy is sent.
 */
#include <errno.h>
#include <sys/uio.h>

#include "vmm/parts.h"
#include "vmm/virtio/net_parts.h"

#define ETHERNET_HEADER 14U

static bool is_segmentation_taken(const VmmNet *net, uint8_t type)
{
    bool has_ecn = type & VIRTIO_NET_HDR_GSO_ECN;
    if (has_ecn && !vmm_virtio_has(&net->device, VIRTIO_NET_F_HOST_ECN))
        return false;
    switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return !has_ecn;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return vmm_virtio_has(&net->device, VIRTIO_NET_F_HOST_TSO4);
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return vmm_virtio_has(&net->device, VIRTIO_NET_F_HOST_TSO6);
    default:
        return false;
    }
}

/* Copies the packet's header. False for a packet that no driver may send. */
static bool take_header(const VmmNet *net, const VmmChain *chain, struct virtio_net_hdr_v1 *header)
{
    if (chain->readable < VMM_NET_HEADER + ETHERNET_HEADER || chain->readable > VMM_NET_PACKET_MAX)
        return false;
    vmm_chain_read(chain, 0, header, sizeof *header);
    if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
        !vmm_virtio_has(&net->device, VIRTIO_NET_F_CSUM))
        return false;
    header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->num_buffers = 0;
    return is_segmentation_taken(net, header->gso_type);
}

/* False when the tap is full. What it refuses otherwise is dropped, as on a wire. */
static bool send_chain(VmmNet *net, const VmmChain *chain)
{
    struct virtio_net_hdr_v1 header;
    struct iovec parts[VMM_CHAIN_MAX + 1] = {{&header, sizeof header}};
    if (!net->source || !take_header(net, chain, &header))
        return true;
    unsigned n = vmm_parts_slice(chain->parts, chain->n_readable, VMM_NET_HEADER, chain->readable,
                                 parts + 1);
    return writev(net->fd, parts, (int)n + 1) >= 0 || errno != EAGAIN;
}

/* False when this direction cannot go on now. */
static bool send_one(VmmNet *net)
{
    VmmChain chain;
    if (net->is_tx_late || !vmm_virtio_pop(&net->device, VMM_NET_TX, &chain))
        return false;
    bool is_late = !net->is_clogged && vmm_net_is_over_limit(&net->tx_rate, net->tx_timer,
                                                             chain.readable, &net->is_tx_late);
    net->is_clogged = !is_late && !send_chain(net, &chain);
    if (is_late || net->is_clogged) {
        vmm_queue_unpop(&net->device.queues[VMM_NET_TX]);
        return false;
    }
    vmm_queue_push(&net->device.queues[VMM_NET_TX], chain.head, 0);
    return true;
}

void vmm_net_send(VmmNet *net)
{
    unsigned n = 0;
    while (n < VMM_VIRTIO_BATCH && send_one(net))
        n++;
    if (n > 0)
        vmm_virtio_signal(&net->device, VMM_NET_TX);
    if (n == VMM_VIRTIO_BATCH)
        vmm_virtio_again(&net->device, VMM_NET_TX);
    vmm_net_watch(net);
}
