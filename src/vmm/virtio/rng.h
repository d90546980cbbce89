/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng: random bytes from the host's kernel. */
#pragma once

#include "vmm/virtio/device.h"

/* 0 or a negative errno; the device goes to vmm_mmio_new(). */
int vmm_rng_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop);
