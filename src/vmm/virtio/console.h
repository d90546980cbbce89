/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console with two ports, each on a listening socket (channel.h): port 0 is the guest's
 * console, port 1 has a name and carries bytes between a program in the guest and one outside.
 *
 * The console never waits for its client, for a kernel would wait with it: what the client has no
 * room for is lost to it, and is in the log. The named port loses nothing while a client is there,
 * and holds the guest's program back instead; the guest is told when a client comes and goes. What
 * is under way when a client goes is gone.
 */
#pragma once

#include "vmm/virtio/device.h"

#define VMM_CONSOLE_NAME_MAX 64

typedef struct {
    int console; /* listening sockets, which stay the caller's; -1: none */
    int named;
    const char *name; /* of the second port, below VMM_CONSOLE_NAME_MAX bytes */
    /* All that the console prints; may be NULL. */
    void (*log)(void *owner, const void *bytes, size_t length);
    /* A program in the guest opened or closed the named port; may be NULL. */
    void (*opened)(void *owner, bool is_open);
    void *owner;
} VmmConsoleOptions;

/* 0 or a negative errno. */
int vmm_console_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop,
                    const VmmConsoleOptions *options);
