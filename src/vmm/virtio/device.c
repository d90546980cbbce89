/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that broke off its work on a queue, so that a driver that always has more cannot keep
 * the VM's lock for itself, is called again by a timer that is due at once.
 */
#include "vmm/virtio/device.h"

#include <linux/virtio_mmio.h>
#include <stdlib.h>

#define EVERY_DEVICE                                                                               \
    (VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) |                         \
     VIRTIO_BIT(VIRTIO_F_EVENT_IDX))
#define AT_ONCE 1 /* nanosecond */

void vmm_virtio_free(VmmVirtio *device)
{
    if (!device)
        return;
    vmm_source_remove(device->again_timer);
    if (device->ops->free)
        device->ops->free(device);
    else
        free(device);
}

bool vmm_virtio_has(const VmmVirtio *device, unsigned feature)
{
    return device->features & VIRTIO_BIT(feature);
}

void vmm_virtio_notify(VmmVirtio *device, unsigned queue)
{
    if (device->is_live && !device->is_paused && queue < device->ops->n_queues &&
        device->queues[queue].is_ready)
        device->ops->notify(device, queue);
}

static void look_again(void *data, uint32_t events)
{
    VmmVirtio *device = data;
    uint32_t again = device->again;
    device->again = 0;
    for (unsigned i = 0; i < device->ops->n_queues; i++)
        if (again & (1U << i))
            vmm_virtio_notify(device, i);
}

int vmm_virtio_init(VmmVirtio *made, VmmVirtio **device)
{
    int failed = vmm_loop_add_timer(made->loop, look_again, made, &made->again_timer);
    if (failed) {
        vmm_virtio_free(made);
        return failed;
    }
    made->offered |= EVERY_DEVICE;
    for (unsigned i = 0; i < made->ops->n_queues; i++)
        vmm_queue_init(&made->queues[i], made->memory, made->ops->queue_sizes[i]);
    *device = made;
    return 0;
}

void vmm_virtio_again(VmmVirtio *device, unsigned queue)
{
    device->again |= 1U << queue;
    vmm_source_arm(device->again_timer, AT_ONCE);
}

bool vmm_virtio_pop(VmmVirtio *device, unsigned queue, VmmChain *chain)
{
    int got = device->is_live ? vmm_queue_pop(&device->queues[queue], chain) : 0;
    if (got < 0)
        vmm_virtio_fail(device);
    return got > 0;
}

void vmm_virtio_push(VmmVirtio *device, unsigned queue, const VmmChain *chain, uint32_t written)
{
    vmm_queue_push(&device->queues[queue], chain->head, written);
    vmm_virtio_signal(device, queue);
}

void vmm_virtio_signal(VmmVirtio *device, unsigned queue)
{
    if (vmm_queue_wants_interrupt(&device->queues[queue]))
        device->transport.interrupt(device->transport.self, VIRTIO_MMIO_INT_VRING);
}

void vmm_virtio_config_changed(VmmVirtio *device)
{
    if (device->transport.interrupt)
        device->transport.interrupt(device->transport.self, VIRTIO_MMIO_INT_CONFIG);
}

void vmm_virtio_fail(VmmVirtio *device)
{
    device->is_live = false;
    device->transport.fail(device->transport.self);
}

void vmm_virtio_pause(VmmVirtio *device)
{
    if (device->is_paused)
        return;
    if (device->ops->pause)
        device->ops->pause(device);
    device->is_paused = true;
}

void vmm_virtio_resume(VmmVirtio *device)
{
    if (!device->is_paused)
        return;
    device->is_paused = false;
    if (device->ops->resume)
        device->ops->resume(device);
    for (unsigned i = 0; i < device->ops->n_queues; i++)
        vmm_virtio_notify(device, i);
}
