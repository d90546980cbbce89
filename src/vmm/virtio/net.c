/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet from the tap is read into a buffer of ours, where it waits until the guest has room for
 * all of it; with merged buffers it may take several chains, which become visible at once.
 *
 * A packet of the guest's goes out as it lies in its memory, but for its header: that is copied,
 * held against what the driver negotiated, and the copy is sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/parts.h"
#include "vmm/virtio/net_parts.h"

#define QUEUE_SIZE 256
#define CONTROL_SIZE 64
#define ETHERNET_HEADER 14U
#define NUM_BUFFERS_OFFSET offsetof(struct virtio_net_hdr_v1, num_buffers)

static VmmNet *of_device(VmmVirtio *device)
{
    return (VmmNet *)device;
}

static bool is_running(const VmmNet *net)
{
    return net->device.is_live && !net->device.is_paused;
}

/* Waits for the tap in the directions that can go on. */
static void watch(VmmNet *net)
{
    uint32_t events = 0;
    if (is_running(net) && !net->is_starved && !net->is_rx_late)
        events |= EPOLLIN;
    if (is_running(net) && net->is_clogged)
        events |= EPOLLOUT;
    if (net->source && events != net->watched && vmm_source_set_events(net->source, events) == 0)
        net->watched = events;
}

static bool is_over_limit(VmmRate *rate, VmmSource *timer, uint64_t length, bool *is_late)
{
    uint64_t wait = *is_late ? 0 : vmm_rate_take(rate, length, vmm_rate_now());
    if (wait > 0) {
        vmm_source_arm(timer, wait);
        *is_late = true;
    }
    return *is_late;
}

/* --- To the guest --- */

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
    return true;
}

/* False when this direction cannot go on now. A packet that never fits is dropped. */
static bool receive_one(VmmNet *net)
{
    bool had_packet = net->length > 0;
    if (net->is_rx_late || !read_packet(net))
        return false;
    if (!had_packet && is_over_limit(&net->rx_rate, net->rx_timer, net->length, &net->is_rx_late))
        return false;
    bool is_merged = vmm_virtio_has(&net->device, VIRTIO_NET_F_MRG_RXBUF);
    Outcome outcome = is_merged ? place_merged(net) : place_whole(net);
    net->is_starved = outcome == NO_ROOM;
    if (outcome != NO_ROOM)
        net->length = 0;
    return outcome != NO_ROOM;
}

static void receive(VmmNet *net)
{
    unsigned n = 0;
    if (!is_running(net))
        return;
    while (n < VMM_VIRTIO_BATCH && receive_one(net))
        n++;
    if (n > 0)
        vmm_virtio_signal(&net->device, VMM_NET_RX);
    watch(net);
}

/* --- From the guest --- */

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
    if (!take_header(net, chain, &header))
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
    bool is_late = !net->is_clogged &&
                   is_over_limit(&net->tx_rate, net->tx_timer, chain.readable, &net->is_tx_late);
    net->is_clogged = !is_late && !send_chain(net, &chain);
    if (is_late || net->is_clogged) {
        vmm_queue_unpop(&net->device.queues[VMM_NET_TX]);
        return false;
    }
    vmm_queue_push(&net->device.queues[VMM_NET_TX], chain.head, 0);
    return true;
}

static void send(VmmNet *net)
{
    unsigned n = 0;
    while (n < VMM_VIRTIO_BATCH && send_one(net))
        n++;
    if (n > 0)
        vmm_virtio_signal(&net->device, VMM_NET_TX);
    if (n == VMM_VIRTIO_BATCH)
        vmm_virtio_again(&net->device, VMM_NET_TX);
    watch(net);
}

/* --- Events --- */

static void notify(VmmVirtio *device, unsigned queue)
{
    VmmNet *net = of_device(device);
    if (queue == VMM_NET_RX)
        receive(net);
    else if (queue == VMM_NET_TX)
        send(net);
    else
        vmm_net_control(net);
}

/* The interface was taken away: the cable is out. */
static void lose_tap(VmmNet *net)
{
    vmm_source_remove(net->source);
    net->source = NULL;
    net->config.status = 0;
    vmm_virtio_config_changed(&net->device);
}

static void on_tap(void *data, uint32_t events)
{
    VmmNet *net = data;
    if (events & EPOLLOUT)
        vmm_virtio_notify(&net->device, VMM_NET_TX);
    if (events & EPOLLIN)
        vmm_virtio_notify(&net->device, VMM_NET_RX);
    if (events & (EPOLLERR | EPOLLHUP))
        lose_tap(net);
}

static void on_rx_timer(void *data, uint32_t events)
{
    VmmNet *net = data;
    net->is_rx_late = false;
    vmm_virtio_notify(&net->device, VMM_NET_RX);
}

static void on_tx_timer(void *data, uint32_t events)
{
    VmmNet *net = data;
    net->is_tx_late = false;
    vmm_virtio_notify(&net->device, VMM_NET_TX);
}

/* --- Life --- */

/* What the guest's driver takes off the tap's hands. A socket has no such thing. */
static void set_offloads(const VmmNet *net, uint64_t features)
{
    static const struct {
        uint8_t feature;
        unsigned flag;
    } offloads[] = {
        {VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM},
        {VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
        {VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},
        {VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
    };
    unsigned flags = 0;
    for (size_t i = 0; i < sizeof offloads / sizeof *offloads; i++)
        if (features & VIRTIO_BIT(offloads[i].feature))
            flags |= offloads[i].flag;
    if (!(flags & TUN_F_CSUM))
        flags = 0; /* the others rest on it */
    if (ioctl(net->fd, TUNSETOFFLOAD, flags) < 0)
        return; /* packets then come without offloads, which every driver takes */
}

static void activate(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    set_offloads(net, device->features);
    watch(net);
}

static void reset(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    net->length = 0;
    net->is_starved = net->is_clogged = false;
    net->is_promiscuous = net->is_all_multicast = 0;
    watch(net);
}

/* A packet that waits is lost, as on a wire. */
static void pause_device(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    net->length = 0;
    if (net->source && vmm_source_set_events(net->source, 0) == 0)
        net->watched = 0;
}

static void resume(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    net->is_starved = net->is_clogged = false;
    watch(net);
}

static void save(VmmVirtio *device, VmmStateWriter *writer)
{
    VmmNet *net = of_device(device);
    vmm_state_put_bytes(writer, net->config.mac, sizeof net->config.mac);
    vmm_state_put_u8(writer, net->is_promiscuous);
    vmm_state_put_u8(writer, net->is_all_multicast);
}

static void load(VmmVirtio *device, VmmStateReader *reader)
{
    VmmNet *net = of_device(device);
    uint8_t mac[VMM_NET_MAC_SIZE];
    vmm_state_get_bytes(reader, mac, sizeof mac);
    net->is_promiscuous = vmm_state_get_u8(reader) != 0;
    net->is_all_multicast = vmm_state_get_u8(reader) != 0;
    if (reader->failed)
        return;
    memcpy(net->config.mac, mac, sizeof mac);
    if (device->is_live)
        set_offloads(net, device->features);
}

static void free_device(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    vmm_source_remove(net->source);
    vmm_source_remove(net->rx_timer);
    vmm_source_remove(net->tx_timer);
    free(net);
}

static const VmmVirtioOps ops = {
    .name = "net",
    .id = VIRTIO_ID_NET,
    .n_queues = 3,
    .queue_sizes = {QUEUE_SIZE, QUEUE_SIZE, CONTROL_SIZE},
    .activate = activate,
    .notify = notify,
    .reset = reset,
    .pause = pause_device,
    .resume = resume,
    .save = save,
    .load = load,
    .free = free_device,
};

static const uint64_t features =
    VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
    VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
    VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |
    VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
    VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
    VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
    VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

/* The length of the header is the tap's to know; a socket's packets have it anyway. */
static int set_up_tap(int fd)
{
    int length = (int)VMM_NET_HEADER, flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return ioctl(fd, TUNSETVNETHDRSZ, &length) < 0 && errno != ENOTTY ? -errno : 0;
}

static int add_sources(VmmNet *net, VmmLoop *loop)
{
    int failed = set_up_tap(net->fd);
    if (!failed)
        failed = vmm_loop_add(loop, net->fd, 0, on_tap, net, &net->source);
    if (!failed)
        failed = vmm_loop_add_timer(loop, on_rx_timer, net, &net->rx_timer);
    if (!failed)
        failed = vmm_loop_add_timer(loop, on_tx_timer, net, &net->tx_timer);
    return failed;
}

int vmm_net_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop, const VmmNetOptions *options)
{
    VmmNet *net = calloc(1, sizeof *net);
    if (!net)
        return -ENOMEM;
    net->fd = options->fd;
    int failed = add_sources(net, loop);
    if (failed) {
        free_device(&net->device);
        return failed;
    }
    memcpy(net->config.mac, options->mac, sizeof options->mac);
    net->config.status = htole16(VIRTIO_NET_S_LINK_UP);
    uint64_t now = vmm_rate_now();
    vmm_rate_init(&net->rx_rate, options->bytes_per_second, options->packets_per_second, now);
    vmm_rate_init(&net->tx_rate, options->bytes_per_second, options->packets_per_second, now);
    net->device = (VmmVirtio){
        .ops = &ops,
        .memory = memory,
        .loop = loop,
        .offered = features,
        .config = (const uint8_t *)&net->config,
        .config_size = offsetof(struct virtio_net_config, max_virtqueue_pairs),
    };
    vmm_virtio_init(&net->device);
    *device = &net->device;
    return 0;
}
