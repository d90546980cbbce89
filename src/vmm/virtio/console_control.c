/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queues. What the device has to tell its driver is a set of facts a port, not a list
 * of messages: so however often a client comes and goes, nothing piles up while the driver gives no
 * room.
 */
#include <string.h>

#include "vmm/virtio/console_parts.h"

static bool has_ports(const VmmConsole *console)
{
    return vmm_virtio_has(&console->device, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* To the guest a console is always connected. */
static bool is_host_open(const VmmPort *port)
{
    return port->id == VMM_CONSOLE || (port->channel && vmm_channel_is_connected(port->channel));
}

static uint32_t make_message(const VmmPort *port, uint8_t fact, uint8_t *message)
{
    static const uint16_t events[] = {
        [VMM_TELL_ADD] = VIRTIO_CONSOLE_PORT_ADD,
        [VMM_TELL_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
        [VMM_TELL_NAME] = VIRTIO_CONSOLE_PORT_NAME,
        [VMM_TELL_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
    };
    struct virtio_console_control control = {
        .id = htole32(port->id),
        .event = htole16(events[fact]),
        .value = htole16(fact == VMM_TELL_OPEN ? is_host_open(port) : 1),
    };
    uint32_t length = sizeof control;
    memcpy(message, &control, sizeof control);
    if (fact == VMM_TELL_NAME) {
        uint32_t name = (uint32_t)strlen(port->console->name);
        memcpy(message + length, port->console->name, name);
        length += name;
    }
    return length;
}

/* Tells one fact. False when the driver has no room. */
static bool tell_one(VmmPort *port)
{
    VmmVirtio *device = &port->console->device;
    uint8_t message[sizeof(struct virtio_console_control) + VMM_CONSOLE_NAME_MAX];
    uint8_t fact = port->to_tell & (uint8_t)-port->to_tell;
    VmmChain chain;
    if (!vmm_virtio_pop(device, VMM_CONSOLE_CONTROL_RX, &chain))
        return false;
    uint32_t length = make_message(port, fact, message);
    port->to_tell &= (uint8_t)~fact;
    vmm_virtio_push(device, VMM_CONSOLE_CONTROL_RX, &chain,
                    vmm_chain_write(&chain, 0, message, length));
    return true;
}

void vmm_console_tell(VmmConsole *console)
{
    if (!vmm_console_is_running(console) || !has_ports(console))
        return;
    for (unsigned i = 0; i < VMM_CONSOLE_PORTS; i++)
        while (console->ports[i].to_tell)
            if (!tell_one(&console->ports[i]))
                return;
}

/* The driver has set the port up. */
static void on_port_ready(VmmPort *port)
{
    port->to_tell |=
        port->id == VMM_CONSOLE ? VMM_TELL_CONSOLE | VMM_TELL_OPEN : VMM_TELL_NAME | VMM_TELL_OPEN;
}

static void on_message(VmmConsole *console, const struct virtio_console_control *message)
{
    uint32_t id = le32toh(message->id);
    bool is_set = message->value != 0;
    switch (le16toh(message->event)) {
    case VIRTIO_CONSOLE_DEVICE_READY:
        for (unsigned i = 0; is_set && i < VMM_CONSOLE_PORTS; i++)
            console->ports[i].to_tell = VMM_TELL_ADD;
        break;
    case VIRTIO_CONSOLE_PORT_READY:
        if (is_set && id < VMM_CONSOLE_PORTS)
            on_port_ready(&console->ports[id]);
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        if (id >= VMM_CONSOLE_PORTS)
            break;
        vmm_port_set_open(&console->ports[id], is_set);
        vmm_port_receive(&console->ports[id]);
        break;
    default:
        break; /* of no meaning from a driver */
    }
}

void vmm_console_take_messages(VmmConsole *console)
{
    struct virtio_console_control message;
    VmmChain chain;
    unsigned n = 0;
    for (; n < VMM_VIRTIO_BATCH && vmm_virtio_pop(&console->device, VMM_CONSOLE_CONTROL_TX, &chain);
         n++) {
        if (vmm_chain_read(&chain, 0, &message, sizeof message) == sizeof message)
            on_message(console, &message);
        vmm_virtio_push(&console->device, VMM_CONSOLE_CONTROL_TX, &chain, 0);
    }
    if (n == VMM_VIRTIO_BATCH)
        vmm_virtio_again(&console->device, VMM_CONSOLE_CONTROL_TX);
    vmm_console_tell(console);
}
