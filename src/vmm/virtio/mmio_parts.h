/* SPDX-License-Identifier: Apache-2.0 */
/* What mmio.c and mmio_state.c share: the transport's registers. */
#pragma once

#include "vmm/virtio/mmio.h"

#define S_ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define S_DRIVER VIRTIO_CONFIG_S_DRIVER
#define S_DRIVER_OK VIRTIO_CONFIG_S_DRIVER_OK
#define S_FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define S_NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define S_FAILED VIRTIO_CONFIG_S_FAILED

struct VmmMmio {
    VmmVirtio *device;
    VmmIrq irq;
    uint32_t status;
    uint32_t interrupt_status;
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    uint32_t generation;
    uint64_t driver_features;
    uint64_t refused;
};

/* Whether all bits of `set` are in the status and none of `clear`, and the driver did not give up.
 */
bool vmm_mmio_is_in(const VmmMmio *mmio, uint32_t set, uint32_t clear);

/* Whether a driver may take exactly these features. */
bool vmm_mmio_are_features_fine(const VmmVirtio *device, uint64_t features);
