/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The available ring's index is trusted only as a distance from our own: at most as many chains as
 * the queue has entries can wait, and at most as many can be in flight. That bounds all work a
 * driver can ask for at once.
 *
 * With event indices the driver is asked to notify about every chain beyond those taken; the index
 * is read once more after that request was made visible, so no chain is overlooked.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>

#include "vmm/virtio/spec.h"

void vmm_queue_init(VmmQueue *queue, const VmmMemory *memory, uint16_t max)
{
    *queue = (VmmQueue){.memory = memory, .max = max};
}

void vmm_queue_reset(VmmQueue *queue)
{
    vmm_queue_init(queue, queue->memory, queue->max);
}

/* An area of the queue in host memory; NULL where it cannot be. */
static uint8_t *area(const VmmQueue *queue, uint64_t address, uint64_t length, unsigned alignment)
{
    return address % alignment == 0 ? vmm_memory_at(queue->memory, address, length) : NULL;
}

static bool is_power_of_two(uint16_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

int vmm_queue_start(VmmQueue *queue, bool has_event_index)
{
    uint64_t size = queue->size;
    if (!is_power_of_two(queue->size) || queue->size > queue->max)
        return -EINVAL;
    /* Both rings end with an event index, which is there whether it is used or not. */
    uint64_t event = sizeof(uint16_t);
    uint8_t *table = area(queue, queue->descriptors, size * sizeof(VirtqDescriptor), 16);
    uint8_t *available =
        area(queue, queue->driver, VIRTQ_RING + size * sizeof(uint16_t) + event, 2);
    uint8_t *used = area(queue, queue->device, VIRTQ_RING + size * VIRTQ_USED_ELEMENT + event, 4);
    if (!table || !available || !used)
        return -EINVAL;
    queue->descriptor_table = table;
    queue->available = available;
    queue->used = used;
    queue->has_event_index = has_event_index;
    queue->is_ready = true;
    return 0;
}

static uint16_t wrap(const VmmQueue *queue, uint16_t index)
{
    return index & (uint16_t)(queue->size - 1);
}

/* How many chains wait. */
static uint16_t waiting(const VmmQueue *queue)
{
    uint16_t index = vmm_acquire_le16(queue->available + VIRTQ_INDEX);
    return (uint16_t)(index - queue->next_available);
}

static void ask_for_notification(VmmQueue *queue)
{
    uint8_t *event = queue->used + VIRTQ_RING + (size_t)queue->size * VIRTQ_USED_ELEMENT;
    if (!queue->has_event_index)
        return;
    vmm_store_le16(event, queue->next_available);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int vmm_queue_pop(VmmQueue *queue, VmmChain *chain)
{
    if (!queue->is_ready)
        return 0;
    uint16_t n = waiting(queue);
    if (n == 0) {
        ask_for_notification(queue);
        n = waiting(queue);
    }
    if (n == 0)
        return 0;
    if (n > queue->size || queue->in_flight >= queue->size)
        return -EPROTO;
    uint16_t entry = wrap(queue, queue->next_available);
    uint16_t head = vmm_load_le16(queue->available + VIRTQ_RING + entry * sizeof(uint16_t));
    int failed = vmm_chain_follow(chain, queue->memory, queue->descriptor_table, queue->size, head);
    if (failed)
        return failed;
    queue->next_available++;
    queue->in_flight++;
    return 1;
}

void vmm_queue_unpop(VmmQueue *queue)
{
    queue->next_available--;
    queue->in_flight--;
}

void vmm_queue_fill(VmmQueue *queue, uint16_t entry, uint16_t head, uint32_t written)
{
    uint16_t index = wrap(queue, (uint16_t)(queue->next_used + entry));
    uint8_t *element = queue->used + VIRTQ_RING + (size_t)index * VIRTQ_USED_ELEMENT;
    vmm_store_le32(element, head);
    vmm_store_le32(element + sizeof(uint32_t), written);
}

void vmm_queue_publish(VmmQueue *queue, uint16_t n)
{
    queue->next_used = (uint16_t)(queue->next_used + n);
    queue->in_flight = (uint16_t)(queue->in_flight - n);
    vmm_release_le16(queue->used + VIRTQ_INDEX, queue->next_used);
}

void vmm_queue_push(VmmQueue *queue, uint16_t head, uint32_t written)
{
    vmm_queue_fill(queue, 0, head, written);
    vmm_queue_publish(queue, 1);
}

/* 2.7.10: the index that the driver waits for was passed since it was interrupted last. */
static bool passed_event(VmmQueue *queue)
{
    uint16_t event = vmm_load_le16(queue->available + VIRTQ_RING + queue->size * sizeof(uint16_t));
    uint16_t since = (uint16_t)(queue->next_used - queue->signalled);
    bool passed = (uint16_t)(queue->next_used - event - 1) < since;
    bool first = !queue->has_signalled;
    queue->signalled = queue->next_used;
    queue->has_signalled = true;
    return passed || first;
}

bool vmm_queue_wants_interrupt(VmmQueue *queue)
{
    if (!queue->is_ready)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (queue->has_event_index)
        return passed_event(queue);
    return !(vmm_load_le16(queue->available + VIRTQ_FLAGS) & VIRTQ_AVAIL_NO_INTERRUPT);
}

void vmm_queue_save(const VmmQueue *queue, VmmStateWriter *writer)
{
    vmm_state_put_u16(writer, queue->size);
    vmm_state_put_u64(writer, queue->descriptors);
    vmm_state_put_u64(writer, queue->driver);
    vmm_state_put_u64(writer, queue->device);
    vmm_state_put_u8(writer, queue->is_ready);
    vmm_state_put_u16(writer, queue->next_available);
    vmm_state_put_u16(writer, queue->next_used);
}

void vmm_queue_load(VmmQueue *queue, VmmStateReader *reader, bool has_event_index)
{
    vmm_queue_reset(queue);
    queue->size = vmm_state_get_u16(reader);
    queue->descriptors = vmm_state_get_u64(reader);
    queue->driver = vmm_state_get_u64(reader);
    queue->device = vmm_state_get_u64(reader);
    uint8_t is_ready = vmm_state_get_u8(reader);
    uint16_t next_available = vmm_state_get_u16(reader);
    uint16_t next_used = vmm_state_get_u16(reader);
    if (reader->failed || !is_ready)
        return;
    if (vmm_queue_start(queue, has_event_index) < 0) {
        vmm_state_refuse(reader, "a queue cannot be where it is said to be");
        return;
    }
    queue->next_available = next_available;
    queue->next_used = next_used;
}
