/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

#define BASE 0xd0000000ULL
#define QUEUE_SIZE 64
#define PATIENCE_US (20 * G_USEC_PER_SEC)
#define STEP_MS 100

static void count_interrupt(void *self)
{
    Rig *rig = self;
    rig->n_interrupts++;
}

Rig *rig_new(void)
{
    Rig *rig = g_new0(Rig, 1);
    g_assert_cmpint(vmm_memory_new(&rig->memory, RIG_MEMORY, -1, false), ==, 0);
    g_assert_cmpint(vmm_loop_new(&rig->loop, NULL), ==, 0);
    return rig;
}

void rig_attach(Rig *rig, VmmVirtio *device)
{
    VmmIrq irq = {.raise = count_interrupt, .self = rig};
    g_assert_cmpint(vmm_mmio_new(&rig->mmio, device, irq), ==, 0);
    g_assert_cmpint(vmm_bus_add(&rig->bus, BASE, VMM_MMIO_SIZE, &vmm_mmio_ops, rig->mmio), ==, 0);
}

void rig_free(Rig *rig)
{
    vmm_mmio_free(rig->mmio);
    vmm_loop_free(rig->loop);
    vmm_memory_free(rig->memory);
    g_free(rig);
}

uint64_t rig_peek(Rig *rig, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    vmm_bus_read(&rig->bus, BASE + offset, &value, size);
    return GUINT64_FROM_LE(value);
}

void rig_poke(Rig *rig, uint32_t offset, uint64_t value, unsigned size)
{
    value = GUINT64_TO_LE(value);
    vmm_bus_write(&rig->bus, BASE + offset, &value, size);
}

uint32_t rig_read(Rig *rig, uint32_t offset)
{
    return (uint32_t)rig_peek(rig, offset, 4);
}

void rig_write(Rig *rig, uint32_t offset, uint32_t value)
{
    rig_poke(rig, offset, value, 4);
}

void rig_negotiate(Rig *rig, uint64_t features)
{
    features |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
    rig_write(rig, VIRTIO_MMIO_STATUS, 0);
    rig_write(rig, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    rig_write(rig, VIRTIO_MMIO_STATUS, 3);
    for (unsigned half = 0; half < 2; half++) {
        rig_write(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
        rig_write(rig, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * half));
    }
    rig_write(rig, VIRTIO_MMIO_STATUS, 0xb);
}

uint64_t rig_descriptors(unsigned queue)
{
    return RIG_RINGS + RIG_RING_ROOM * queue;
}

uint64_t rig_driver_area(unsigned queue)
{
    return rig_descriptors(queue) + RIG_DRIVER_AREA;
}

uint64_t rig_device_area(unsigned queue)
{
    return rig_descriptors(queue) + RIG_DEVICE_AREA;
}

void rig_setup_queue(Rig *rig, unsigned queue, uint16_t size)
{
    const struct {
        uint32_t offset;
        uint64_t address;
    } areas[] = {
        {VIRTIO_MMIO_QUEUE_DESC_LOW, rig_descriptors(queue)},
        {VIRTIO_MMIO_QUEUE_AVAIL_LOW, rig_driver_area(queue)},
        {VIRTIO_MMIO_QUEUE_USED_LOW, rig_device_area(queue)},
    };
    rig_write(rig, VIRTIO_MMIO_QUEUE_SEL, queue);
    rig_write(rig, VIRTIO_MMIO_QUEUE_NUM, size);
    for (size_t i = 0; i < G_N_ELEMENTS(areas); i++) {
        rig_write(rig, areas[i].offset, (uint32_t)areas[i].address);
        rig_write(rig, areas[i].offset + 4, (uint32_t)(areas[i].address >> 32));
    }
    memset(rig_at(rig, rig_descriptors(queue), RIG_RING_ROOM), 0, RIG_RING_ROOM);
    rig_write(rig, VIRTIO_MMIO_QUEUE_READY, 1);
    rig->queues[queue] = (RigQueue){.size = size};
}

void rig_start(Rig *rig, uint64_t features)
{
    rig_negotiate(rig, features);
    for (unsigned i = 0; i < vmm_mmio_device(rig->mmio)->ops->n_queues; i++) {
        uint16_t max = vmm_mmio_device(rig->mmio)->ops->queue_sizes[i];
        rig_setup_queue(rig, i, MIN(max, QUEUE_SIZE));
    }
    rig_write(rig, VIRTIO_MMIO_STATUS, RIG_DRIVER_OK);
    g_assert_cmphex(rig_status(rig), ==, RIG_DRIVER_OK);
}

void rig_describe(Rig *rig, unsigned queue, uint16_t index, uint64_t gpa, uint32_t length,
                  uint16_t flags, uint16_t next)
{
    VirtqDescriptor descriptor = {
        .address = GUINT64_TO_LE(gpa),
        .length = GUINT32_TO_LE(length),
        .flags = GUINT16_TO_LE(flags),
        .next = GUINT16_TO_LE(next),
    };
    rig_put(rig, rig_descriptors(queue) + 16ULL * index, &descriptor, sizeof descriptor);
}

void rig_offer(Rig *rig, unsigned queue, uint16_t head)
{
    RigQueue *q = &rig->queues[queue];
    uint8_t *area = rig_at(rig, rig_driver_area(queue), VIRTQ_RING + 2 * q->size);
    vmm_store_le16(area + VIRTQ_RING + 2 * (q->available % q->size), head);
    vmm_release_le16(area + VIRTQ_INDEX, ++q->available);
}

uint16_t rig_add(Rig *rig, unsigned queue, const RigBuffer *buffers, unsigned n)
{
    RigQueue *q = &rig->queues[queue];
    uint16_t head = q->next_descriptor;
    for (unsigned i = 0; i < n; i++) {
        uint16_t next = (uint16_t)((q->next_descriptor + 1) % q->size);
        uint16_t flags = (uint16_t)((i + 1 < n ? VIRTQ_DESC_NEXT : 0) |
                                    (buffers[i].is_writable ? VIRTQ_DESC_WRITE : 0));
        rig_describe(rig, queue, q->next_descriptor, buffers[i].gpa, buffers[i].length, flags,
                     next);
        q->next_descriptor = next;
    }
    rig_offer(rig, queue, head);
    return head;
}

void rig_kick(Rig *rig, unsigned queue)
{
    rig_write(rig, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

gboolean rig_take_used(Rig *rig, unsigned queue, uint32_t *head, uint32_t *written)
{
    RigQueue *q = &rig->queues[queue];
    uint8_t *area =
        rig_at(rig, rig_device_area(queue), VIRTQ_RING + VIRTQ_USED_ELEMENT * (uint64_t)q->size);
    if (vmm_acquire_le16(area + VIRTQ_INDEX) == q->used)
        return FALSE;
    uint8_t *element = area + VIRTQ_RING + VIRTQ_USED_ELEMENT * (size_t)(q->used % q->size);
    q->used++;
    if (head)
        *head = vmm_load_le32(element);
    if (written)
        *written = vmm_load_le32(element + 4);
    return TRUE;
}

void rig_wait(Rig *rig, gboolean (*is_so)(void *data), void *data)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
    while (!is_so(data)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        vmm_loop_iterate(rig->loop, STEP_MS);
    }
}

uint32_t rig_wait_used(Rig *rig, unsigned queue)
{
    uint32_t head, written;
    gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
    while (!rig_take_used(rig, queue, &head, &written)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        vmm_loop_iterate(rig->loop, STEP_MS);
    }
    return written;
}

void *rig_at(Rig *rig, uint64_t gpa, uint64_t length)
{
    void *at = vmm_memory_at(rig->memory, gpa, length);
    g_assert_nonnull(at);
    return at;
}

void rig_put(Rig *rig, uint64_t gpa, const void *bytes, uint64_t length)
{
    memcpy(rig_at(rig, gpa, length), bytes, length);
}

uint32_t rig_status(Rig *rig)
{
    return rig_read(rig, VIRTIO_MMIO_STATUS);
}

gboolean rig_needs_reset(Rig *rig)
{
    return (rig_status(rig) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}
