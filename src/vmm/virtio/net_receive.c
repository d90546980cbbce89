/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tap to the guest. A packet is read into a buffer of ours, where it waits until the guest
 * has room for all of it; with merged buffers it may take several chains, which become visible at
 * once.
 */
#include <string.h>
#include <unistd.h>

#include "vmm/virtio/net_parts.h"

#define NUM_BUFFERS_OFFSET offsetof(struct virtio_net_hdr_v1, num_buffers)

typedef enum { PLACED, NO_ROOM, NO_FIT } Outcome;

static void give_back(VmmNet *net, uint16_t n)
{
    while (n-- > 0)
        vmm_queue_unpop(&net->device.queues[VMM_NET_RX]);
}

/* Puts the packet into as many chains as it takes. */
static Outcome place_merged(VmmNet *net)
{
    VmmQueue *queue = &net->device.queues[VMM_NET_RX];
    VmmChain first, other;
    uint32_t done = 0;
    uint16_t n = 0;
    while (done < net->length) {
        VmmChain *chain = n == 0 ? &first : &other;
        if (n == queue->size || !vmm_virtio_pop(&net->device, VMM_NET_RX, chain)) {
            Outcome outcome = n == queue->size ? NO_FIT : NO_ROOM;
            give_back(net, n);
            return outcome;
        }
        uint32_t written = vmm_chain_write(chain, 0, net->packet + done, net->length - done);
        vmm_queue_fill(queue, n++, chain->head, written);
        done += written;
    }
    uint16_t count = htole16(n);
    vmm_chain_write(&first, NUM_BUFFERS_OFFSET, &count, sizeof count);
    vmm_queue_publish(queue, n);
    return PLACED;
}

static Outcome place_whole(VmmNet *net)
{
    VmmQueue *queue = &net->device.queues[VMM_NET_RX];
    uint16_t count = htole16(1);
    VmmChain chain;
    if (!vmm_virtio_pop(&net->device, VMM_NET_RX, &chain))
        return NO_ROOM;
    if (chain.writable < net->length) {
        vmm_queue_unpop(queue);
        return NO_FIT;
    }
    memcpy(net->packet + NUM_BUFFERS_OFFSET, &count, sizeof count);
    vmm_queue_push(queue, chain.head, vmm_chain_write(&chain, 0, net->packet, net->length));
    return PLACED;
}

/* Reads the next packet, unless one waits. False when there is none. */
static bool read_packet(VmmNet *net)
{
    if (net->length > 0)
        return true;
    ssize_t n = read(net->fd, net->packet, sizeof net->packet);
    if (n <= (ssize_t)VMM_NET_HEADER)
        return false;
    net->length = (uint32_t)n;
    net->is_counted = false;
    return true;
}

/* False when this direction cannot go on now. A packet that never fits is dropped. */
static bool receive_one(VmmNet *net)
{
    if (net->is_rx_late || !read_packet(net))
        return false;
    if (!net->is_counted &&
        vmm_net_is_over_limit(&net->rx_rate, net->rx_timer, net->length, &net->is_rx_late))
        return false;
    net->is_counted = true;
    bool is_merged = vmm_virtio_has(&net->device, VIRTIO_NET_F_MRG_RXBUF);
    Outcome outcome = is_merged ? place_merged(net) : place_whole(net);
    net->is_starved = outcome == NO_ROOM;
    if (outcome != NO_ROOM)
        net->length = 0;
    return outcome != NO_ROOM;
}

void vmm_net_receive(VmmNet *net)
{
    unsigned n = 0;
    if (!vmm_net_is_running(net))
        return;
    while (n < VMM_VIRTIO_BATCH && receive_one(net))
        n++;
    if (n > 0)
        vmm_virtio_signal(&net->device, VMM_NET_RX);
    vmm_net_watch(net);
}
