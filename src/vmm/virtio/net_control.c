/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue: a class, a command, its data, and a byte for the answer. Filters are accepted
 * and not applied, as the specification allows: a tap brings what is meant for its guest, and
 * drivers check once more.
 */
#include <string.h>

#include "vmm/virtio/net_parts.h"

#define HEADER_SIZE ((uint32_t)sizeof(struct virtio_net_ctrl_hdr))

static bool set_flag(const VmmChain *chain, uint8_t *flag)
{
    uint8_t value;
    if (vmm_chain_read(chain, HEADER_SIZE, &value, sizeof value) != sizeof value)
        return false;
    *flag = value != 0;
    return true;
}

static bool set_promiscuous(VmmNet *net, const VmmChain *chain)
{
    return set_flag(chain, &net->is_promiscuous);
}

static bool set_all_multicast(VmmNet *net, const VmmChain *chain)
{
    return set_flag(chain, &net->is_all_multicast);
}

/* Two tables, each a count and so many addresses; whether they are there. */
static bool set_mac_table(VmmNet *net, const VmmChain *chain)
{
    uint64_t offset = HEADER_SIZE;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t n;
        if (offset > chain->readable ||
            vmm_chain_read(chain, (uint32_t)offset, &n, sizeof n) != sizeof n)
            return false;
        offset += sizeof n + (uint64_t)le32toh(n) * VMM_NET_MAC_SIZE;
    }
    return offset <= chain->readable;
}

static bool set_mac(VmmNet *net, const VmmChain *chain)
{
    uint8_t mac[VMM_NET_MAC_SIZE];
    if (vmm_chain_read(chain, HEADER_SIZE, mac, sizeof mac) != sizeof mac)
        return false;
    memcpy(net->config.mac, mac, sizeof mac);
    return true;
}

static const struct {
    uint8_t class, command;
    uint8_t feature;
    bool (*run)(VmmNet *net, const VmmChain *chain);
} commands[] = {
    {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, set_promiscuous},
    {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, set_all_multicast},
    {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX, set_mac_table},
    {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR, set_mac},
};

static virtio_net_ctrl_ack run(VmmNet *net, const VmmChain *chain)
{
    struct virtio_net_ctrl_hdr header;
    if (vmm_chain_read(chain, 0, &header, sizeof header) != sizeof header)
        return VIRTIO_NET_ERR;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].class == header.class && commands[i].command == header.cmd &&
            vmm_virtio_has(&net->device, commands[i].feature))
            return commands[i].run(net, chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
    return VIRTIO_NET_ERR;
}

void vmm_net_control(VmmNet *net)
{
    VmmChain chain;
    for (unsigned i = 0; i < VMM_VIRTIO_BATCH; i++) {
        if (!vmm_virtio_pop(&net->device, VMM_NET_CONTROL, &chain))
            return;
        virtio_net_ctrl_ack answer = run(net, &chain);
        vmm_virtio_push(&net->device, VMM_NET_CONTROL, &chain,
                        vmm_chain_write(&chain, 0, &answer, sizeof answer));
    }
    vmm_virtio_again(&net->device, VMM_NET_CONTROL);
}
