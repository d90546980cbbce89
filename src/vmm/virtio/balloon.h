/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon: the guest gives pages back when it is asked to have less memory, and, with free
 * page reporting, those it does not use without being asked. It deflates by itself before it runs
 * out of memory.
 *
 * All numbers from the guest are its word; they are bounded, no more.
 */
#pragma once

#include "vmm/virtio/device.h"

typedef struct {
    /* The guest changed how much memory it has; may be NULL. */
    void (*changed)(void *owner);
    void *owner;
} VmmBalloonOptions;

/* 0 or a negative errno. */
int vmm_balloon_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop,
                    const VmmBalloonOptions *options);

/* Asks the guest to have that many bytes of memory, in whole pages. -EINVAL: more than the machine
 * has. It takes its time, or does not do it at all. */
int vmm_balloon_set(VmmVirtio *device, uint64_t bytes);

/* What the guest says it has, in bytes. */
uint64_t vmm_balloon_get(const VmmVirtio *device);

/* Bytes that the guest reported as free since the start; pages count each time. */
uint64_t vmm_balloon_reported(const VmmVirtio *device);
