/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between a port's queues and its client. Of a chain that goes out in pieces, how much is
 * through is remembered and the chain left in the ring, so that none is ever under way between two
 * turns.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/parts.h"
#include "vmm/virtio/console_parts.h"

#define N_QUEUES 6
#define QUEUE_SIZE 64
#define TURN_BYTES (1U << 20) /* that one turn of a port's carries at most */

static VmmConsole *of_device(VmmVirtio *device)
{
    return (VmmConsole *)device;
}

bool vmm_console_is_running(const VmmConsole *console)
{
    return console->device.is_live && !console->device.is_paused;
}

/* --- From the guest --- */

/* Returns how many bytes the client took. */
static uint32_t send_parts(const VmmPort *port, const struct iovec *parts, unsigned n)
{
    uint32_t sent = 0;
    for (unsigned i = 0; i < n; i++) {
        size_t taken = vmm_channel_write(port->channel, parts[i].iov_base, parts[i].iov_len);
        sent += (uint32_t)taken;
        if (taken < parts[i].iov_len)
            break;
    }
    return sent;
}

static void log_parts(const VmmConsole *console, const struct iovec *parts, unsigned n)
{
    for (unsigned i = 0; console->log && i < n; i++)
        console->log(console->owner, parts[i].iov_base, parts[i].iov_len);
}

typedef enum { SENT, CLOGGED, CUT_OFF } Outcome;

/* Sends on what is left of the chain, as far as the budget goes. */
static Outcome send_chain(VmmPort *port, const VmmChain *chain, uint32_t *budget)
{
    struct iovec rest[VMM_CHAIN_MAX];
    unsigned n = vmm_parts_slice(chain->parts, chain->n_readable, port->sent, *budget, rest);
    uint32_t length = (uint32_t)vmm_parts_length(rest, n), sent = length;
    if (port->is_cut)
        return SENT;
    if (port->id == VMM_CONSOLE)
        log_parts(port->console, rest, n);
    if (port->channel && vmm_channel_is_connected(port->channel))
        sent = send_parts(port, rest, n);
    if (port->id != VMM_CONSOLE && sent < length) {
        port->sent += sent;
        return CLOGGED;
    }
    port->sent += length;
    *budget -= length;
    return port->sent < chain->readable ? CUT_OFF : SENT;
}

static void send(VmmPort *port)
{
    VmmVirtio *device = &port->console->device;
    uint32_t budget = TURN_BYTES;
    VmmChain chain;
    for (unsigned i = 0; i < VMM_VIRTIO_BATCH && budget > 0; i++) {
        if (!vmm_virtio_pop(device, port->tx, &chain))
            return;
        Outcome outcome = send_chain(port, &chain, &budget);
        if (outcome != SENT)
            vmm_queue_unpop(&device->queues[port->tx]);
        if (outcome == CLOGGED)
            return;
        if (outcome == CUT_OFF)
            break;
        port->sent = 0;
        port->is_cut = false;
        vmm_virtio_push(device, port->tx, &chain, 0);
    }
    vmm_virtio_again(device, port->tx);
}

/* --- To the guest --- */

/* Nobody in the guest reads a named port that is not open. */
static bool may_receive(const VmmPort *port)
{
    return vmm_console_is_running(port->console) &&
           (port->id == VMM_CONSOLE || port->is_guest_open);
}

/* What the client sent, into as many chains as it takes or there are. */
static size_t on_input(void *owner, const uint8_t *bytes, size_t length)
{
    VmmPort *port = owner;
    VmmVirtio *device = &port->console->device;
    size_t taken = 0;
    VmmChain chain;
    for (unsigned i = 0; taken < length && i < VMM_VIRTIO_BATCH && may_receive(port); i++) {
        if (!vmm_virtio_pop(device, port->rx, &chain))
            break;
        uint32_t n = vmm_chain_write(&chain, 0, bytes + taken, (uint32_t)(length - taken));
        vmm_virtio_push(device, port->rx, &chain, n);
        taken += n;
    }
    return taken;
}

/* The guest has room again. */
void vmm_port_receive(VmmPort *port)
{
    if (port->channel)
        vmm_channel_resume(port->channel);
}

/* --- Events --- */

static void notify(VmmVirtio *device, unsigned queue)
{
    VmmConsole *console = of_device(device);
    if (queue == VMM_CONSOLE_CONTROL_TX)
        vmm_console_take_messages(console);
    else if (queue == VMM_CONSOLE_CONTROL_RX)
        vmm_console_tell(console);
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++)
        if (queue == console->ports[i].tx)
            send(&console->ports[i]);
        else if (queue == console->ports[i].rx)
            vmm_port_receive(&console->ports[i]);
}

/* A chain that was half sent belonged to the client before. */
static void on_connected(void *owner, bool is_connected)
{
    VmmPort *port = owner;
    if (port->id != VMM_CONSOLE)
        port->to_tell |= VMM_TELL_OPEN;
    port->is_cut = port->sent > 0;
    vmm_console_tell(port->console);
    vmm_virtio_notify(&port->console->device, port->tx);
}

static void on_writable(void *owner)
{
    VmmPort *port = owner;
    vmm_virtio_notify(&port->console->device, port->tx);
}

static const VmmChannelOps channel_ops = {
    .input = on_input,
    .connected = on_connected,
    .writable = on_writable,
};

/* --- Life --- */

void vmm_port_set_open(VmmPort *port, bool is_open)
{
    VmmConsole *console = port->console;
    bool is_news = port->is_guest_open != is_open && port->id != VMM_CONSOLE;
    port->is_guest_open = is_open;
    if (is_news && console->opened)
        console->opened(console->owner, is_open);
}

static void reset(VmmVirtio *device)
{
    VmmConsole *console = of_device(device);
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++) {
        VmmPort *port = &console->ports[i];
        port->to_tell = 0;
        vmm_port_set_open(port, false);
        port->sent = 0;
        port->is_cut = false;
    }
}

static void resume(VmmVirtio *device)
{
    VmmConsole *console = of_device(device);
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++)
        vmm_port_receive(&console->ports[i]);
    vmm_console_tell(console);
}

static void save(VmmVirtio *device, VmmStateWriter *writer)
{
    VmmConsole *console = of_device(device);
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++) {
        vmm_state_put_u8(writer, console->ports[i].to_tell);
        vmm_state_put_u8(writer, console->ports[i].is_guest_open);
        vmm_state_put_u32(writer, console->ports[i].sent);
    }
}

/* Whoever was connected then is not now: the driver is told how it is. */
static void load(VmmVirtio *device, VmmStateReader *reader)
{
    VmmConsole *console = of_device(device);
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++) {
        VmmPort *port = &console->ports[i];
        uint8_t to_tell = vmm_state_get_u8(reader);
        uint8_t is_guest_open = vmm_state_get_u8(reader);
        port->sent = vmm_state_get_u32(reader);
        if (to_tell & ~VMM_TELL_ALL || is_guest_open > 1)
            vmm_state_refuse(reader, "a port is in a state that there is not");
        port->to_tell = to_tell & VMM_TELL_ALL;
        port->is_cut = port->sent > 0;
        port->is_guest_open = is_guest_open;
        if (port->id != VMM_CONSOLE && is_guest_open)
            port->to_tell |= VMM_TELL_OPEN;
    }
}

static void free_device(VmmVirtio *device)
{
    VmmConsole *console = of_device(device);
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++)
        vmm_channel_free(console->ports[i].channel);
    free(console);
}

static const VmmVirtioOps ops = {
    .name = "console",
    .id = VIRTIO_ID_CONSOLE,
    .n_queues = N_QUEUES,
    .queue_sizes = {QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE},
    .notify = notify,
    .reset = reset,
    .resume = resume,
    .save = save,
    .load = load,
    .free = free_device,
};

static int add_port(VmmConsole *console, unsigned id, int listener)
{
    VmmPort *port = &console->ports[id];
    *port = (VmmPort){.console = console,
                      .id = id,
                      .rx = id == VMM_CONSOLE ? 0 : 4,
                      .tx = id == VMM_CONSOLE ? 1 : 5};
    if (listener < 0)
        return 0;
    return vmm_channel_new(&port->channel, console->device.loop, listener, &channel_ops, port);
}

int vmm_console_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop,
                    const VmmConsoleOptions *options)
{
    size_t length = options->name ? strlen(options->name) : 0;
    if (length >= VMM_CONSOLE_NAME_MAX)
        return -EINVAL;
    VmmConsole *console = calloc(1, sizeof *console);
    if (!console)
        return -ENOMEM;
    if (options->name)
        memcpy(console->name, options->name, length);
    console->log = options->log;
    console->opened = options->opened;
    console->owner = options->owner;
    console->config.max_nr_ports = htole32(VMM_CONSOLE_PORTS);
    console->device = (VmmVirtio){
        .ops = &ops,
        .memory = memory,
        .loop = loop,
        .offered = VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT),
        .config = (const uint8_t *)&console->config,
        .config_size = sizeof console->config,
    };
    int failed = add_port(console, VMM_CONSOLE, options->console);
    if (!failed)
        failed = add_port(console, 1, options->named);
    if (!failed)
        return vmm_virtio_init(&console->device, device);
    free_device(&console->device);
    return failed;
}
