/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers are a table: what reads them, what writes them. The driver's status rules what it
 * may write: features between DRIVER and FEATURES_OK, queues between FEATURES_OK and DRIVER_OK,
 * and a queue only while it is not ready. So nothing that a device works on moves under it.
 */
#include "vmm/virtio/mmio_parts.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR 0x64616574 /* "tead" */
#define NO_SHARED_MEMORY 0xffffffffU
#define QUEUE_RESET 0x0c0 /* not offered */

/* --- Queues --- */

static VmmQueue *selected(VmmMmio *mmio)
{
    return mmio->queue_sel < mmio->device->ops->n_queues ? &mmio->device->queues[mmio->queue_sel]
                                                         : NULL;
}

bool vmm_mmio_is_in(const VmmMmio *mmio, uint32_t set, uint32_t clear)
{
    return (mmio->status & set) == set && (mmio->status & (clear | S_FAILED)) == 0;
}

/* The selected queue, if the driver may set it up now. */
static VmmQueue *open_queue(VmmMmio *mmio)
{
    VmmQueue *queue = selected(mmio);
    bool is_time = vmm_mmio_is_in(mmio, S_FEATURES_OK, S_DRIVER_OK | S_NEEDS_RESET);
    return queue && is_time && !queue->is_ready ? queue : NULL;
}

static bool set_half(uint64_t *number, uint32_t value, bool is_high)
{
    unsigned shift = is_high ? 32 : 0;
    *number = (*number & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
    return true;
}

/* Which number of the queue a register holds a half of. */
static uint64_t *queue_address(VmmQueue *queue, uint32_t offset)
{
    switch (offset & ~7U) {
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        return &queue->descriptors;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        return &queue->driver;
    default:
        return &queue->device;
    }
}

static bool write_queue_address(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    VmmQueue *queue = open_queue(mmio);
    return queue && set_half(queue_address(queue, offset), value, offset & 4);
}

static bool write_queue_size(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    VmmQueue *queue = open_queue(mmio);
    if (!queue || value > queue->max)
        return false;
    queue->size = (uint16_t)value;
    return true;
}

/* A queue that cannot be where it is said to be stays unready, which its driver can read. */
static bool write_queue_ready(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    VmmQueue *queue = selected(mmio);
    if (!queue || !vmm_mmio_is_in(mmio, S_FEATURES_OK, S_DRIVER_OK | S_NEEDS_RESET) || value > 1)
        return false;
    if (value == 0)
        queue->is_ready = false;
    else if (!queue->is_ready)
        return vmm_queue_start(queue, mmio->driver_features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX)) == 0;
    return true;
}

static bool write_queue_notify(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    vmm_virtio_notify(mmio->device, value);
    return value < mmio->device->ops->n_queues;
}

static uint32_t read_queue_max(VmmMmio *mmio, uint32_t offset)
{
    const VmmQueue *queue = selected(mmio);
    return queue ? queue->max : 0;
}

static uint32_t read_queue_ready(VmmMmio *mmio, uint32_t offset)
{
    const VmmQueue *queue = selected(mmio);
    return queue && queue->is_ready;
}

/* --- Status and features --- */

void vmm_mmio_reset(VmmMmio *mmio)
{
    VmmVirtio *device = mmio->device;
    device->is_live = false;
    if (device->ops->reset)
        device->ops->reset(device);
    device->features = 0;
    device->again = 0;
    for (unsigned i = 0; i < device->ops->n_queues; i++)
        vmm_queue_reset(&device->queues[i]);
    mmio->status = mmio->interrupt_status = 0;
    mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
    mmio->driver_features = 0;
}

bool vmm_mmio_are_features_fine(const VmmVirtio *device, uint64_t features)
{
    return (features & ~device->offered) == 0 && features & VIRTIO_BIT(VIRTIO_F_VERSION_1);
}

static void activate(VmmMmio *mmio)
{
    VmmVirtio *device = mmio->device;
    device->is_live = true;
    if (device->ops->activate)
        device->ops->activate(device);
}

/* Takes the bits that are new, in the order in which a driver must set them, up to the first whose
 * turn it is not. True when it took all. */
static bool advance(VmmMmio *mmio, uint32_t value)
{
    static const uint32_t order[] = {S_ACKNOWLEDGE, S_DRIVER, S_FEATURES_OK, S_DRIVER_OK};
    uint32_t before = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        uint32_t bit = order[i];
        bool is_new = value & bit & ~mmio->status;
        if (is_new && (mmio->status & before) != before)
            return false;
        if (is_new && bit == S_FEATURES_OK &&
            !vmm_mmio_are_features_fine(mmio->device, mmio->driver_features))
            return false;
        before |= bit;
        if (!is_new)
            continue;
        mmio->status |= bit;
        if (bit == S_FEATURES_OK)
            mmio->device->features = mmio->driver_features;
        else if (bit == S_DRIVER_OK)
            activate(mmio);
    }
    return true;
}

static bool write_status(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    const uint32_t drivers = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK | S_FAILED;
    uint32_t kept = mmio->status & drivers;
    if (value == 0) {
        vmm_mmio_reset(mmio);
        return true;
    }
    if ((value & kept) != kept || value & ~(drivers | S_NEEDS_RESET))
        return false;
    if (value & S_FAILED) {
        mmio->status |= S_FAILED;
        mmio->device->is_live = false;
        return true;
    }
    return !(mmio->status & S_NEEDS_RESET) && advance(mmio, value);
}

static bool write_driver_features(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    if (!vmm_mmio_is_in(mmio, S_DRIVER, S_FEATURES_OK) || mmio->driver_features_sel > 1)
        return false;
    return set_half(&mmio->driver_features, value, mmio->driver_features_sel == 1);
}

static uint32_t read_device_features(VmmMmio *mmio, uint32_t offset)
{
    if (mmio->device_features_sel > 1)
        return 0;
    return (uint32_t)(mmio->device->offered >> 32 * mmio->device_features_sel);
}

/* --- The other registers --- */

static uint32_t read_constant(VmmMmio *mmio, uint32_t offset)
{
    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return mmio->device->ops->id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case QUEUE_RESET:
        return 0;
    default:
        return NO_SHARED_MEMORY;
    }
}

static uint32_t read_number(VmmMmio *mmio, uint32_t offset)
{
    switch (offset) {
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return mmio->interrupt_status;
    case VIRTIO_MMIO_STATUS:
        return mmio->status;
    default:
        return mmio->generation;
    }
}

static bool write_selector(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    if (offset == VIRTIO_MMIO_DEVICE_FEATURES_SEL)
        mmio->device_features_sel = value;
    else if (offset == VIRTIO_MMIO_DRIVER_FEATURES_SEL)
        mmio->driver_features_sel = value;
    else if (offset == VIRTIO_MMIO_QUEUE_SEL)
        mmio->queue_sel = value;
    return true;
}

static bool write_interrupt_ack(VmmMmio *mmio, uint32_t offset, uint32_t value)
{
    mmio->interrupt_status &= ~value;
    return true;
}

typedef struct {
    uint32_t offset;
    uint32_t (*read)(VmmMmio *mmio, uint32_t offset);
    bool (*write)(VmmMmio *mmio, uint32_t offset, uint32_t value); /* whether it had an effect */
} Register;

static const Register registers[] = {
    {VIRTIO_MMIO_MAGIC_VALUE, read_constant, NULL},
    {VIRTIO_MMIO_VERSION, read_constant, NULL},
    {VIRTIO_MMIO_DEVICE_ID, read_constant, NULL},
    {VIRTIO_MMIO_VENDOR_ID, read_constant, NULL},
    {VIRTIO_MMIO_DEVICE_FEATURES, read_device_features, NULL},
    {VIRTIO_MMIO_DEVICE_FEATURES_SEL, NULL, write_selector},
    {VIRTIO_MMIO_DRIVER_FEATURES, NULL, write_driver_features},
    {VIRTIO_MMIO_DRIVER_FEATURES_SEL, NULL, write_selector},
    {VIRTIO_MMIO_QUEUE_SEL, NULL, write_selector},
    {VIRTIO_MMIO_QUEUE_NUM_MAX, read_queue_max, NULL},
    {VIRTIO_MMIO_QUEUE_NUM, NULL, write_queue_size},
    {VIRTIO_MMIO_QUEUE_READY, read_queue_ready, write_queue_ready},
    {VIRTIO_MMIO_QUEUE_NOTIFY, NULL, write_queue_notify},
    {VIRTIO_MMIO_INTERRUPT_STATUS, read_number, NULL},
    {VIRTIO_MMIO_INTERRUPT_ACK, NULL, write_interrupt_ack},
    {VIRTIO_MMIO_STATUS, read_number, write_status},
    {VIRTIO_MMIO_QUEUE_DESC_LOW, NULL, write_queue_address},
    {VIRTIO_MMIO_QUEUE_DESC_HIGH, NULL, write_queue_address},
    {VIRTIO_MMIO_QUEUE_AVAIL_LOW, NULL, write_queue_address},
    {VIRTIO_MMIO_QUEUE_AVAIL_HIGH, NULL, write_queue_address},
    {VIRTIO_MMIO_QUEUE_USED_LOW, NULL, write_queue_address},
    {VIRTIO_MMIO_QUEUE_USED_HIGH, NULL, write_queue_address},
    {VIRTIO_MMIO_SHM_SEL, NULL, write_selector},
    {VIRTIO_MMIO_SHM_LEN_LOW, read_constant, NULL},
    {VIRTIO_MMIO_SHM_LEN_HIGH, read_constant, NULL},
    {VIRTIO_MMIO_SHM_BASE_LOW, read_constant, NULL},
    {VIRTIO_MMIO_SHM_BASE_HIGH, read_constant, NULL},
    {QUEUE_RESET, read_constant, NULL},
    {VIRTIO_MMIO_CONFIG_GENERATION, read_number, NULL},
};

/* Registers are 4 bytes wide and take no other access. */
static const Register *find_register(uint64_t offset, unsigned size)
{
    if (size != sizeof(uint32_t))
        return NULL;
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++)
        if (registers[i].offset == offset)
            return &registers[i];
    return NULL;
}

/* Whether an access lies inside the device's configuration space. */
static bool is_config(const VmmMmio *mmio, uint64_t offset, unsigned size)
{
    uint64_t length = mmio->device->config_size;
    return offset >= VIRTIO_MMIO_CONFIG && size <= length &&
           offset - VIRTIO_MMIO_CONFIG <= length - size;
}

static void read(void *self, uint64_t offset, void *data, unsigned size)
{
    VmmMmio *mmio = self;
    const Register *found = find_register(offset, size);
    memset(data, 0, size);
    if (is_config(mmio, offset, size)) {
        memcpy(data, mmio->device->config + (offset - VIRTIO_MMIO_CONFIG), size);
    } else if (found && found->read) {
        uint32_t value = htole32(found->read(mmio, found->offset));
        memcpy(data, &value, sizeof value);
    } else {
        mmio->refused++;
    }
}

static bool write_config(VmmMmio *mmio, uint32_t offset, const void *data, unsigned size)
{
    if (!mmio->device->ops->write_config)
        return false;
    mmio->device->ops->write_config(mmio->device, offset, data, size);
    return true;
}

static void write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmMmio *mmio = self;
    const Register *found = find_register(offset, size);
    bool took = false;
    if (is_config(mmio, offset, size)) {
        took = write_config(mmio, (uint32_t)(offset - VIRTIO_MMIO_CONFIG), data, size);
    } else if (found && found->write) {
        uint32_t value;
        memcpy(&value, data, sizeof value);
        took = found->write(mmio, found->offset, le32toh(value));
    }
    if (!took)
        mmio->refused++;
}

const VmmBusOps vmm_mmio_ops = {.read = read, .write = write};

/* --- The device's side --- */

static void interrupt(void *self, uint32_t reason)
{
    VmmMmio *mmio = self;
    if (reason & VIRTIO_MMIO_INT_CONFIG)
        mmio->generation++;
    if (!(mmio->status & S_DRIVER_OK))
        return;
    mmio->interrupt_status |= reason;
    vmm_irq_raise(&mmio->irq);
}

static void fail(void *self)
{
    VmmMmio *mmio = self;
    mmio->status |= S_NEEDS_RESET;
    interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
}

int vmm_mmio_new(VmmMmio **mmio, VmmVirtio *device, VmmIrq irq)
{
    VmmMmio *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->device = device;
    made->irq = irq;
    device->transport = (VmmVirtioTransport){.interrupt = interrupt, .fail = fail, .self = made};
    *mmio = made;
    return 0;
}

void vmm_mmio_free(VmmMmio *mmio)
{
    if (mmio)
        vmm_virtio_free(mmio->device);
    free(mmio);
}

VmmVirtio *vmm_mmio_device(const VmmMmio *mmio)
{
    return mmio->device;
}

void vmm_mmio_notify(VmmMmio *mmio, unsigned queue)
{
    vmm_virtio_notify(mmio->device, queue);
}

uint64_t vmm_mmio_refused(const VmmMmio *mmio)
{
    return mmio->refused;
}

void vmm_mmio_pause(VmmMmio *mmio)
{
    vmm_virtio_pause(mmio->device);
}

void vmm_mmio_resume(VmmMmio *mmio)
{
    vmm_virtio_resume(mmio->device);
    if (mmio->interrupt_status)
        vmm_irq_raise(&mmio->irq);
}
