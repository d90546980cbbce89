/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was saved may have been made by anybody. A status that no driver reaches, features that are
 * not offered and queues that cannot be where they are said to be are refused; what is left is a
 * state that a guest could have brought about by itself, and no worse than that guest.
 */
#include <stdio.h>

#include "vmm/virtio/mmio_parts.h"

#define SECTION_VERSION 1

static void section_name(const VmmMmio *mmio, char *name)
{
    snprintf(name, VMM_STATE_NAME_MAX, "vio-%s", mmio->device->ops->name);
}

int vmm_mmio_save(VmmMmio *mmio, VmmStateWriter *writer)
{
    VmmVirtio *device = mmio->device;
    char name[VMM_STATE_NAME_MAX];
    section_name(mmio, name);
    vmm_state_begin(writer, name, SECTION_VERSION);
    vmm_state_put_u32(writer, mmio->status);
    vmm_state_put_u32(writer, mmio->interrupt_status);
    vmm_state_put_u32(writer, mmio->device_features_sel);
    vmm_state_put_u32(writer, mmio->driver_features_sel);
    vmm_state_put_u32(writer, mmio->queue_sel);
    vmm_state_put_u32(writer, mmio->generation);
    vmm_state_put_u64(writer, device->offered);
    vmm_state_put_u64(writer, mmio->driver_features);
    for (unsigned i = 0; i < device->ops->n_queues; i++)
        vmm_queue_save(&device->queues[i], writer);
    vmm_state_end(writer);
    vmm_state_begin(writer, device->ops->name, SECTION_VERSION);
    if (device->ops->save)
        device->ops->save(device, writer);
    vmm_state_end(writer);
    return writer->failed;
}

/* The status of a device that its driver could have brought about. */
static bool is_status_sane(const VmmMmio *mmio)
{
    static const uint32_t order[] = {S_DRIVER_OK, S_FEATURES_OK, S_DRIVER, S_ACKNOWLEDGE};
    uint32_t rest = mmio->status & ~(uint32_t)(S_FAILED | S_NEEDS_RESET);
    uint32_t all = S_DRIVER_OK | S_FEATURES_OK | S_DRIVER | S_ACKNOWLEDGE;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (rest == all)
            return true;
        all &= ~order[i];
    }
    return rest == 0;
}

static void load_registers(VmmMmio *mmio, VmmStateReader *reader)
{
    mmio->status = vmm_state_get_u32(reader);
    mmio->interrupt_status = vmm_state_get_u32(reader);
    mmio->device_features_sel = vmm_state_get_u32(reader);
    mmio->driver_features_sel = vmm_state_get_u32(reader);
    mmio->queue_sel = vmm_state_get_u32(reader);
    mmio->generation = vmm_state_get_u32(reader);
    uint64_t offered = vmm_state_get_u64(reader);
    mmio->driver_features = vmm_state_get_u64(reader);
    if (offered != mmio->device->offered)
        vmm_state_refuse(reader, "the device offered other features");
    else if (!is_status_sane(mmio))
        vmm_state_refuse(reader, "no driver reaches that status");
    else if (mmio->status & S_FEATURES_OK &&
             !vmm_mmio_are_features_fine(mmio->device, mmio->driver_features))
        vmm_state_refuse(reader, "the driver took features that are not offered");
}

static void load_transport(VmmMmio *mmio, VmmStateReader *reader)
{
    VmmVirtio *device = mmio->device;
    load_registers(mmio, reader);
    bool event_index = mmio->driver_features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
    for (unsigned i = 0; i < device->ops->n_queues; i++) {
        vmm_queue_load(&device->queues[i], reader, event_index);
        if (device->queues[i].is_ready && !(mmio->status & S_FEATURES_OK))
            vmm_state_refuse(reader, "a queue is ready before its driver is");
    }
    device->features = mmio->status & S_FEATURES_OK ? mmio->driver_features : 0;
    device->is_live = vmm_mmio_is_in(mmio, S_DRIVER_OK, S_NEEDS_RESET);
}

int vmm_mmio_load(VmmMmio *mmio, VmmStateReader *reader)
{
    char name[VMM_STATE_NAME_MAX];
    section_name(mmio, name);
    vmm_mmio_reset(mmio);
    mmio->device->is_paused = true;
    vmm_state_enter(reader, name, SECTION_VERSION);
    load_transport(mmio, reader);
    vmm_state_leave(reader);
    vmm_state_enter(reader, mmio->device->ops->name, SECTION_VERSION);
    if (mmio->device->ops->load)
        mmio->device->ops->load(mmio->device, reader);
    vmm_state_leave(reader);
    if (reader->failed)
        vmm_mmio_reset(mmio);
    return reader->failed;
}
