/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of bytes to whoever connects to a listening Unix socket. One client at a time: the next
 * one waits in the socket's queue. Clients come and go, and may read slowly or not at all; nothing
 * here waits for them.
 *
 * With the VM's lock held; callbacks come from the loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/loop.h"

typedef struct VmmChannel VmmChannel;

/* Any may be NULL. */
typedef struct {
    /* Bytes of the client. Returns how many were taken; after fewer than `length` the rest is kept
     * and nothing is read until vmm_channel_resume(). */
    size_t (*input)(void *owner, const uint8_t *bytes, size_t length);
    /* A descriptor came along with the next bytes. It is the owner's. Without this one, descriptors
     * are closed. */
    void (*descriptor)(void *owner, int fd);
    /* A client came, or went. */
    void (*connected)(void *owner, bool is_connected);
    /* There is room again after a write that was not taken whole. */
    void (*writable)(void *owner);
} VmmChannelOps;

/* Listens on the descriptor, which stays the caller's. 0 or a negative errno. */
int vmm_channel_new(VmmChannel **channel, VmmLoop *loop, int listener, const VmmChannelOps *ops,
                    void *owner);
/* Closes the connection. NULL is fine. */
void vmm_channel_free(VmmChannel *channel);

bool vmm_channel_is_connected(const VmmChannel *channel);

/* How many bytes the client's socket took; 0 without a client. */
size_t vmm_channel_write(VmmChannel *channel, const void *bytes, size_t length);

/* The owner takes input again. */
void vmm_channel_resume(VmmChannel *channel);

/* Ends the connection; `connected` is not called. */
void vmm_channel_hang_up(VmmChannel *channel);
