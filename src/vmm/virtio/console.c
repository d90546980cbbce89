/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device has to tell its driver is a set of facts a port, not a list of messages: so
 * however often a client comes and goes, nothing piles up while the driver gives no room.
 */
#include "vmm/virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/channel.h"
#include "vmm/parts.h"

#define N_PORTS 2
#define N_QUEUES 6
#define QUEUE_SIZE 64
#define CONTROL_RX 2 /* from the driver's side, as in the specification */
#define CONTROL_TX 3
#define CONSOLE 0
#define TURN_BYTES (1U << 20) /* that one turn of a port's carries at most */

/* What the driver has yet to be told of a port, in the order in which it is. */
enum {
    TELL_ADD = 1,
    TELL_CONSOLE = 2,
    TELL_NAME = 4,
    TELL_OPEN = 8,
    TELL_ALL = 15,
};

typedef struct Console Console;

typedef struct {
    Console *console;
    unsigned id;
    unsigned rx, tx;     /* queues */
    VmmChannel *channel; /* NULL: nobody can connect */
    uint8_t to_tell;
    bool is_guest_open; /* a program in the guest has it open */
    uint32_t sent;      /* bytes of the next tx chain that are through already */
    bool is_cut;        /* and the rest of it is nobody's */
} Port;

struct Console {
    VmmVirtio device;
    struct virtio_console_config config;
    char name[VMM_CONSOLE_NAME_MAX];
    void (*log)(void *owner, const void *bytes, size_t length);
    void *owner;
    Port ports[N_PORTS];
};

static Console *of_device(VmmVirtio *device)
{
    return (Console *)device;
}

static bool has_ports(const Console *console)
{
    return vmm_virtio_has(&console->device, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* To the guest a console is always connected. */
static bool is_host_open(const Port *port)
{
    return port->id == CONSOLE || (port->channel && vmm_channel_is_connected(port->channel));
}

static bool is_running(const Console *console)
{
    return console->device.is_live && !console->device.is_paused;
}

/* --- From the guest --- */

/* Returns how many bytes the client took. */
static uint32_t send_parts(const Port *port, const struct iovec *parts, unsigned n)
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

static void log_parts(const Console *console, const struct iovec *parts, unsigned n)
{
    for (unsigned i = 0; console->log && i < n; i++)
        console->log(console->owner, parts[i].iov_base, parts[i].iov_len);
}

typedef enum { SENT, CLOGGED, CUT_OFF } Outcome;

/* Sends on what is left of the chain, as far as the budget goes. */
static Outcome send_chain(Port *port, const VmmChain *chain, uint32_t *budget)
{
    struct iovec rest[VMM_CHAIN_MAX];
    unsigned n = vmm_parts_slice(chain->parts, chain->n_readable, port->sent, *budget, rest);
    uint32_t length = (uint32_t)vmm_parts_length(rest, n), sent = length;
    if (port->is_cut)
        return SENT;
    if (port->id == CONSOLE)
        log_parts(port->console, rest, n);
    if (port->channel && vmm_channel_is_connected(port->channel))
        sent = send_parts(port, rest, n);
    if (port->id != CONSOLE && sent < length) {
        port->sent += sent;
        return CLOGGED;
    }
    port->sent += length;
    *budget -= length;
    return port->sent < chain->readable ? CUT_OFF : SENT;
}

static void send(Port *port)
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
static bool may_receive(const Port *port)
{
    return is_running(port->console) && (port->id == CONSOLE || port->is_guest_open);
}

/* What the client sent, into as many chains as it takes or there are. */
static size_t on_input(void *owner, const uint8_t *bytes, size_t length)
{
    Port *port = owner;
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
static void receive(Port *port)
{
    if (port->channel)
        vmm_channel_resume(port->channel);
}

/* --- Control messages --- */

static uint32_t make_message(const Port *port, uint8_t fact, uint8_t *message)
{
    static const uint16_t events[] = {
        [TELL_ADD] = VIRTIO_CONSOLE_PORT_ADD,
        [TELL_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
        [TELL_NAME] = VIRTIO_CONSOLE_PORT_NAME,
        [TELL_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
    };
    struct virtio_console_control control = {
        .id = htole32(port->id),
        .event = htole16(events[fact]),
        .value = htole16(fact == TELL_OPEN ? is_host_open(port) : 1),
    };
    uint32_t length = sizeof control;
    memcpy(message, &control, sizeof control);
    if (fact == TELL_NAME) {
        uint32_t name = (uint32_t)strlen(port->console->name);
        memcpy(message + length, port->console->name, name);
        length += name;
    }
    return length;
}

/* Tells one fact. False when the driver has no room. */
static bool tell_one(Port *port)
{
    VmmVirtio *device = &port->console->device;
    uint8_t message[sizeof(struct virtio_console_control) + VMM_CONSOLE_NAME_MAX];
    uint8_t fact = port->to_tell & (uint8_t)-port->to_tell;
    VmmChain chain;
    if (!vmm_virtio_pop(device, CONTROL_RX, &chain))
        return false;
    uint32_t length = make_message(port, fact, message);
    port->to_tell &= (uint8_t)~fact;
    vmm_virtio_push(device, CONTROL_RX, &chain, vmm_chain_write(&chain, 0, message, length));
    return true;
}

static void tell(Console *console)
{
    if (!is_running(console) || !has_ports(console))
        return;
    for (unsigned i = 0; i < N_PORTS; i++)
        while (console->ports[i].to_tell)
            if (!tell_one(&console->ports[i]))
                return;
}

/* The driver has set the port up. */
static void on_port_ready(Port *port)
{
    port->to_tell |= port->id == CONSOLE ? TELL_CONSOLE | TELL_OPEN : TELL_NAME | TELL_OPEN;
}

static void on_message(Console *console, const struct virtio_console_control *message)
{
    uint32_t id = le32toh(message->id);
    bool is_set = message->value != 0;
    switch (le16toh(message->event)) {
    case VIRTIO_CONSOLE_DEVICE_READY:
        for (unsigned i = 0; is_set && i < N_PORTS; i++)
            console->ports[i].to_tell = TELL_ADD;
        break;
    case VIRTIO_CONSOLE_PORT_READY:
        if (is_set && id < N_PORTS)
            on_port_ready(&console->ports[id]);
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        if (id >= N_PORTS)
            break;
        console->ports[id].is_guest_open = is_set;
        receive(&console->ports[id]);
        break;
    default:
        break; /* of no meaning from a driver */
    }
}

static void take_messages(Console *console)
{
    struct virtio_console_control message;
    VmmChain chain;
    unsigned n = 0;
    for (; n < VMM_VIRTIO_BATCH && vmm_virtio_pop(&console->device, CONTROL_TX, &chain); n++) {
        if (vmm_chain_read(&chain, 0, &message, sizeof message) == sizeof message)
            on_message(console, &message);
        vmm_virtio_push(&console->device, CONTROL_TX, &chain, 0);
    }
    if (n == VMM_VIRTIO_BATCH)
        vmm_virtio_again(&console->device, CONTROL_TX);
    tell(console);
}

/* --- Events --- */

static void notify(VmmVirtio *device, unsigned queue)
{
    Console *console = of_device(device);
    if (queue == CONTROL_TX)
        take_messages(console);
    else if (queue == CONTROL_RX)
        tell(console);
    for (unsigned i = 0; i < N_PORTS; i++)
        if (queue == console->ports[i].tx)
            send(&console->ports[i]);
        else if (queue == console->ports[i].rx)
            receive(&console->ports[i]);
}

/* A chain that was half sent belonged to the client before. */
static void on_connected(void *owner, bool is_connected)
{
    Port *port = owner;
    if (port->id != CONSOLE)
        port->to_tell |= TELL_OPEN;
    port->is_cut = port->sent > 0;
    tell(port->console);
    vmm_virtio_notify(&port->console->device, port->tx);
}

static void on_writable(void *owner)
{
    Port *port = owner;
    vmm_virtio_notify(&port->console->device, port->tx);
}

static const VmmChannelOps channel_ops = {
    .input = on_input,
    .connected = on_connected,
    .writable = on_writable,
};

/* --- Life --- */

static void reset(VmmVirtio *device)
{
    Console *console = of_device(device);
    for (unsigned i = 0; i < N_PORTS; i++) {
        Port *port = &console->ports[i];
        port->to_tell = 0;
        port->is_guest_open = false;
        port->sent = 0;
        port->is_cut = false;
    }
}

static void resume(VmmVirtio *device)
{
    Console *console = of_device(device);
    for (unsigned i = 0; i < N_PORTS; i++)
        receive(&console->ports[i]);
    tell(console);
}

static void save(VmmVirtio *device, VmmStateWriter *writer)
{
    Console *console = of_device(device);
    for (unsigned i = 0; i < N_PORTS; i++) {
        vmm_state_put_u8(writer, console->ports[i].to_tell);
        vmm_state_put_u8(writer, console->ports[i].is_guest_open);
        vmm_state_put_u32(writer, console->ports[i].sent);
    }
}

/* Whoever was connected then is not now: the driver is told how it is. */
static void load(VmmVirtio *device, VmmStateReader *reader)
{
    Console *console = of_device(device);
    for (unsigned i = 0; i < N_PORTS; i++) {
        Port *port = &console->ports[i];
        uint8_t to_tell = vmm_state_get_u8(reader);
        uint8_t is_guest_open = vmm_state_get_u8(reader);
        port->sent = vmm_state_get_u32(reader);
        if (to_tell & ~TELL_ALL || is_guest_open > 1)
            vmm_state_refuse(reader, "a port is in a state that there is not");
        port->to_tell = to_tell & TELL_ALL;
        port->is_cut = port->sent > 0;
        port->is_guest_open = is_guest_open;
        if (port->id != CONSOLE && is_guest_open)
            port->to_tell |= TELL_OPEN;
    }
}

static void free_device(VmmVirtio *device)
{
    Console *console = of_device(device);
    for (unsigned i = 0; i < N_PORTS; i++)
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

static int add_port(Console *console, unsigned id, int listener)
{
    Port *port = &console->ports[id];
    *port = (Port){
        .console = console, .id = id, .rx = id == CONSOLE ? 0 : 4, .tx = id == CONSOLE ? 1 : 5};
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
    Console *console = calloc(1, sizeof *console);
    if (!console)
        return -ENOMEM;
    if (options->name)
        memcpy(console->name, options->name, length);
    console->log = options->log;
    console->owner = options->owner;
    console->config.max_nr_ports = htole32(N_PORTS);
    console->device = (VmmVirtio){
        .ops = &ops,
        .memory = memory,
        .loop = loop,
        .offered = VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT),
        .config = (const uint8_t *)&console->config,
        .config_size = sizeof console->config,
    };
    vmm_virtio_init(&console->device);
    int failed = add_port(console, CONSOLE, options->console);
    if (!failed)
        failed = add_port(console, 1, options->named);
    if (failed)
        free_device(&console->device);
    else
        *device = &console->device;
    return failed;
}
