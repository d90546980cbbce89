/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's life, and when it waits for the tap: for packets only while the guest takes them and
 * no limit holds them, for room only while a packet of the guest's waits for it.
 *
 * What the guest is to take off the tap's hands is offered where the tap does so, which is tried
 * once. A tap that refuses it later is as good as gone: its packets might be none that the guest
 * can read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/virtio/net_parts.h"

#define QUEUE_SIZE 256
#define CONTROL_SIZE 64

static VmmNet *of_device(VmmVirtio *device)
{
    return (VmmNet *)device;
}

bool vmm_net_is_running(const VmmNet *net)
{
    return net->device.is_live && !net->device.is_paused && net->source;
}

void vmm_net_watch(VmmNet *net)
{
    bool has_room = net->device.queues[VMM_NET_RX].is_ready && !net->is_starved;
    uint32_t events = 0;
    if (vmm_net_is_running(net) && has_room && !net->is_rx_late)
        events |= EPOLLIN;
    if (vmm_net_is_running(net) && net->is_clogged)
        events |= EPOLLOUT;
    if (net->source && events != net->watched && vmm_source_set_events(net->source, events) == 0)
        net->watched = events;
}

bool vmm_net_is_over_limit(VmmRate *rate, VmmSource *timer, uint64_t length, bool *is_late)
{
    uint64_t wait = *is_late ? 0 : vmm_rate_take(rate, length, vmm_rate_now());
    if (wait > 0) {
        vmm_source_arm(timer, wait);
        *is_late = true;
    }
    return *is_late;
}

/* --- Events --- */

static void notify(VmmVirtio *device, unsigned queue)
{
    VmmNet *net = of_device(device);
    if (queue == VMM_NET_RX)
        vmm_net_receive(net);
    else if (queue == VMM_NET_TX)
        vmm_net_send(net);
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
    vmm_net_watch(net); /* also when the device broke and nobody looked at the tap */
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

/* --- What the guest's driver takes off the tap's hands --- */

static const struct {
    uint8_t feature;
    unsigned flag;
} offloads[] = {
    {VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM},
    {VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
    {VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},
    {VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
};
#define N_OFFLOADS (sizeof offloads / sizeof *offloads)

static uint64_t offload_features(void)
{
    uint64_t all = 0;
    for (size_t i = 0; i < N_OFFLOADS; i++)
        all |= VIRTIO_BIT(offloads[i].feature);
    return all;
}

/* False: the tap does not take them. A socket has no such thing. */
static bool set_offloads(const VmmNet *net, uint64_t features)
{
    unsigned long flags = 0;
    for (size_t i = 0; i < N_OFFLOADS; i++)
        if (features & VIRTIO_BIT(offloads[i].feature))
            flags |= offloads[i].flag;
    if (!(flags & TUN_F_CSUM))
        flags = 0; /* the others rest on it */
    return ioctl(net->fd, TUNSETOFFLOAD, flags) == 0 || errno == ENOTTY;
}

/* For a driver that took these features. */
static bool settle_offloads(const VmmNet *net)
{
    bool has_them = net->device.offered & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
    return !has_them || set_offloads(net, net->device.features);
}

/* --- Life --- */

static void activate(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    if (!settle_offloads(net))
        lose_tap(net);
    vmm_net_watch(net);
}

static void reset(VmmVirtio *device)
{
    VmmNet *net = of_device(device);
    net->length = 0;
    net->is_starved = net->is_clogged = false;
    net->is_promiscuous = net->is_all_multicast = 0;
    vmm_net_watch(net);
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
    vmm_net_watch(net);
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
    if (device->is_live && !settle_offloads(net))
        vmm_state_refuse(reader, "the tap does not take the offloads that its driver does");
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

static const uint64_t always =
    VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
    VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
    VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |
    VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
    VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

/* Leaves the tap without offloads, until there is a driver. */
static uint64_t features(const VmmNet *net)
{
    bool can_offload = set_offloads(net, offload_features()) && set_offloads(net, 0);
    return always | (can_offload ? offload_features() : 0);
}

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
        .offered = features(net),
        .config = (const uint8_t *)&net->config,
        .config_size = offsetof(struct virtio_net_config, max_virtqueue_pairs),
    };
    return vmm_virtio_init(&net->device, device);
}
