/* SPDX-License-Identifier: Apache-2.0 */
/* What console.c and console_control.c share. */
#pragma once

#include <linux/virtio_console.h>

#include "vmm/channel.h"
#include "vmm/virtio/console.h"

#define VMM_CONSOLE_PORTS 2
#define VMM_CONSOLE_CONTROL_RX 2 /* from the driver's side, as in the specification */
#define VMM_CONSOLE_CONTROL_TX 3
#define VMM_CONSOLE 0

/* What the driver has yet to be told of a port, in the order in which it is. */
enum {
    VMM_TELL_ADD = 1,
    VMM_TELL_CONSOLE = 2,
    VMM_TELL_NAME = 4,
    VMM_TELL_OPEN = 8,
    VMM_TELL_ALL = 15,
};

typedef struct VmmConsole VmmConsole;

typedef struct {
    VmmConsole *console;
    unsigned id;
    unsigned rx, tx;     /* queues */
    VmmChannel *channel; /* NULL: nobody can connect */
    uint8_t to_tell;
    bool is_guest_open; /* a program in the guest has it open */
    uint32_t sent;      /* bytes of the next tx chain that are through already */
    bool is_cut;        /* and the rest of it is nobody's */
} VmmPort;

struct VmmConsole {
    VmmVirtio device;
    struct virtio_console_config config;
    char name[VMM_CONSOLE_NAME_MAX];
    void (*log)(void *owner, const void *bytes, size_t length);
    void (*opened)(void *owner, bool is_open);
    void *owner;
    VmmPort ports[VMM_CONSOLE_PORTS];
};

bool vmm_console_is_running(const VmmConsole *console);

/* The guest opened the port, or closed it. */
void vmm_port_set_open(VmmPort *port, bool is_open);

/* The guest has room again, or opened the port. */
void vmm_port_receive(VmmPort *port);

/* Tells the driver what it has yet to be told, as far as it gives room. */
void vmm_console_tell(VmmConsole *console);

/* Does what the driver's messages ask for. */
void vmm_console_take_messages(VmmConsole *console);
