/* SPDX-License-Identifier: Apache-2.0 */
#include "vm-driver.h"

#include <linux/virtio_mmio.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/virtio/spec.h"

/* As in guests.S. */
#define LIST 0x400000ULL
#define INTERRUPTS 0x3f5000ULL
#define VECTOR 0x40U

#define RINGS 0x500000ULL /* of queue 0 */
#define RING_ROOM 0x3000ULL
#define DRIVER_AREA 0x1000ULL /* in a queue's room */
#define DEVICE_AREA 0x2000ULL
#define SIZE 16 /* of each queue */

#define APIC_SPURIOUS 0xfee000f0ULL
#define APIC_ON 0x1ffU
#define IOAPIC 0xfec00000ULL
#define IOAPIC_DATA (IOAPIC + 0x10)
#define IOAPIC_LINE(gsi) (0x10U + 2 * (gsi))

enum { END, WRITE, WAIT, INTERRUPT };

typedef struct {
    uint32_t what, address, mask, value;
} Line;

void *driver_at(Driver *driver, uint64_t gpa, uint64_t length)
{
    void *at = vmm_memory_at(driver->vm->vm.memory, gpa, length);
    g_assert_nonnull(at);
    return at;
}

static void add_line(Driver *driver, uint32_t what, uint64_t address, uint32_t mask, uint32_t value)
{
    const Line line = {GUINT32_TO_LE(what), GUINT32_TO_LE((uint32_t)address), GUINT32_TO_LE(mask),
                       GUINT32_TO_LE(value)};
    uint64_t at = LIST + driver->n_lines++ * sizeof line;
    memcpy(driver_at(driver, at, sizeof line), &line, sizeof line);
}

void driver_write(Driver *driver, uint64_t address, uint32_t value)
{
    add_line(driver, WRITE, address, 0, value);
}

void driver_write_register(Driver *driver, uint32_t offset, uint32_t value)
{
    driver_write(driver, driver->base + offset, value);
}

void driver_wait(Driver *driver, uint64_t address, uint32_t mask, uint32_t value)
{
    add_line(driver, WAIT, address, mask, value);
}

void driver_notify(Driver *driver, unsigned queue)
{
    driver->n_notifications++;
    driver_write_register(driver, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

void driver_wait_interrupts(Driver *driver, uint32_t n)
{
    add_line(driver, INTERRUPT, 0, 0, n);
}

static uint64_t rings(unsigned queue)
{
    return RINGS + RING_ROOM * queue;
}

void driver_wait_used(Driver *driver, unsigned queue)
{
    driver_wait(driver, rings(queue) + DEVICE_AREA, 0xffff0000,
                (uint32_t)driver->queues[queue].available << 16);
}

static void set_up_queue(Driver *driver, unsigned queue)
{
    const struct {
        uint32_t offset;
        uint64_t address;
    } areas[] = {
        {VIRTIO_MMIO_QUEUE_DESC_LOW, rings(queue)},
        {VIRTIO_MMIO_QUEUE_AVAIL_LOW, rings(queue) + DRIVER_AREA},
        {VIRTIO_MMIO_QUEUE_USED_LOW, rings(queue) + DEVICE_AREA},
    };
    driver_write_register(driver, VIRTIO_MMIO_QUEUE_SEL, queue);
    driver_write_register(driver, VIRTIO_MMIO_QUEUE_NUM, SIZE);
    for (size_t i = 0; i < G_N_ELEMENTS(areas); i++)
        driver_write_register(driver, areas[i].offset, (uint32_t)areas[i].address);
    driver_write_register(driver, VIRTIO_MMIO_QUEUE_READY, 1);
    driver_wait(driver, driver->base + VIRTIO_MMIO_QUEUE_READY, UINT32_MAX, 1);
}

static void set_status(Driver *driver, uint32_t status)
{
    driver_write_register(driver, VIRTIO_MMIO_STATUS, status);
    driver_wait(driver, driver->base + VIRTIO_MMIO_STATUS, UINT32_MAX, status);
}

static void handshake(Driver *driver, uint64_t features, unsigned queues)
{
    driver_wait(driver, driver->base + VIRTIO_MMIO_MAGIC_VALUE, UINT32_MAX, 0x74726976);
    set_status(driver, 0);
    set_status(driver, 1);
    set_status(driver, 3);
    for (unsigned half = 0; half < 2; half++) {
        driver_write_register(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
        driver_write_register(driver, VIRTIO_MMIO_DRIVER_FEATURES,
                              (uint32_t)(features >> 32 * half));
    }
    set_status(driver, 0xb);
    for (unsigned i = 0; i < VMM_VIRTIO_QUEUES_MAX; i++)
        if (queues & 1U << i)
            set_up_queue(driver, i);
    set_status(driver, 0xf);
}

void driver_init(Driver *driver, Vm *vm, unsigned slot, uint64_t features, unsigned queues)
{
    uint32_t gsi;
    *driver = (Driver){.vm = vm};
    g_assert_cmpint(vmm_arch_virtio_place(slot, &driver->base, &gsi), ==, 0);
    driver_write(driver, APIC_SPURIOUS, APIC_ON);
    driver_write(driver, IOAPIC, IOAPIC_LINE(gsi) + 1);
    driver_write(driver, IOAPIC_DATA, 0); /* to the first CPU */
    driver_write(driver, IOAPIC, IOAPIC_LINE(gsi));
    driver_write(driver, IOAPIC_DATA, VECTOR); /* at each edge */
    handshake(driver, features | VIRTIO_BIT(VIRTIO_F_VERSION_1), queues);
}

static void describe(Driver *driver, unsigned queue, uint16_t index, const DriverBuffer *buffer,
                     gboolean has_next)
{
    VirtqDescriptor descriptor = {
        .address = GUINT64_TO_LE(buffer->gpa),
        .length = GUINT32_TO_LE(buffer->length),
        .flags = GUINT16_TO_LE((uint16_t)((has_next ? VIRTQ_DESC_NEXT : 0) |
                                          (buffer->is_writable ? VIRTQ_DESC_WRITE : 0))),
        .next = GUINT16_TO_LE((uint16_t)(index + 1)),
    };
    memcpy(driver_at(driver, rings(queue) + index * sizeof descriptor, sizeof descriptor),
           &descriptor, sizeof descriptor);
}

void driver_add(Driver *driver, unsigned queue, const DriverBuffer *buffers, unsigned n)
{
    uint8_t *area = driver_at(driver, rings(queue) + DRIVER_AREA, VIRTQ_RING + 2 * SIZE);
    uint16_t head = driver->queues[queue].next_descriptor;
    g_assert_cmpuint(head + n, <=, SIZE);
    for (unsigned i = 0; i < n; i++)
        describe(driver, queue, (uint16_t)(head + i), &buffers[i], i + 1 < n);
    driver->queues[queue].next_descriptor = (uint16_t)(head + n);
    vmm_store_le16(area + VIRTQ_RING + 2 * driver->queues[queue].available++, head);
    vmm_store_le16(area + VIRTQ_INDEX, driver->queues[queue].available);
}

void driver_run(Driver *driver)
{
    add_line(driver, END, 0, 0, 0);
    vm_run(driver->vm);
    g_assert_cmpstr(driver->vm->vm.machine.why.text, ==, "");
    g_assert_cmpint(driver->vm->vm.state, ==, VMM_VM_SHUTDOWN);
}

uint32_t driver_written(Driver *driver, unsigned queue, unsigned n)
{
    const uint8_t *used = driver_at(driver, rings(queue) + DEVICE_AREA, 4096);
    return vmm_load_le32(used + VIRTQ_RING + VIRTQ_USED_ELEMENT * (size_t)n + sizeof(uint32_t));
}

uint32_t driver_interrupts(Driver *driver)
{
    return vmm_load_le32(driver_at(driver, INTERRUPTS, sizeof(uint32_t)));
}
