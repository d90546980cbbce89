/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon: the guest gives pages back when it is asked to have less memory, and, with free
 * page reporting, those it does not use without being asked. It deflates by itself before it runs
 * out of memory. It also tells how its memory is used, when asked.
 *
 * All numbers from the guest are its word; they are bounded, no more.
 */
#pragma once

#include "vmm/virtio/device.h"

#define VMM_BALLOON_STATS_MAX 16 /* kinds of statistics, by VIRTIO_BALLOON_S_... */

typedef struct {
    /* The guest changed how much memory it has, or sent statistics; may be NULL. */
    void (*changed)(void *owner);
    void (*has_stats)(void *owner);
    void *owner;
} VmmBalloonOptions;

typedef struct {
    uint64_t values[VMM_BALLOON_STATS_MAX];
    uint32_t known; /* one bit for each value that is there */
} VmmBalloonStats;

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

/* Asks for new statistics. false: the driver gives none, or has not answered the last time. */
bool vmm_balloon_ask(VmmVirtio *device);
const VmmBalloonStats *vmm_balloon_stats(const VmmVirtio *device);
