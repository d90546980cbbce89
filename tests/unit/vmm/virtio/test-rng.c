/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes, and with them the whole way from a notification to an interrupt. */
#include <string.h>

#include "rig.h"
#include "vmm/virtio/rng.h"

static Rig *new_rig(uint64_t features)
{
    Rig *rig = rig_new();
    VmmVirtio *device = NULL;
    g_assert_cmpint(vmm_rng_new(&device, rig->memory, rig->loop), ==, 0);
    rig_attach(rig, device);
    rig_start(rig, features);
    return rig;
}

static void ask(Rig *rig, uint32_t length)
{
    rig_add(rig, 0, &(RigBuffer){RIG_DATA, length, TRUE}, 1);
    rig_kick(rig, 0);
}

static void test_fills_a_buffer(void)
{
    g_autoptr(Rig) rig = new_rig(0);
    const char zeros[64] = "";
    ask(rig, 64);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 64);
    g_assert_cmpint(memcmp(rig_at(rig, RIG_DATA, 64), zeros, 64), !=, 0);
    g_assert_cmpint(memcmp(rig_at(rig, RIG_DATA + 64, 64), zeros, 64), ==, 0);
    g_assert_cmpuint(rig->n_interrupts, ==, 1);
    g_assert_cmphex(rig_read(rig, VIRTIO_MMIO_INTERRUPT_STATUS), ==, VIRTIO_MMIO_INT_VRING);
    rig_write(rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    g_assert_cmphex(rig_read(rig, VIRTIO_MMIO_INTERRUPT_STATUS), ==, 0);
}

static void test_a_huge_request_gets_a_start(void)
{
    g_autoptr(Rig) rig = new_rig(0);
    ask(rig, 2 << 20);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 4096);
}

static void test_a_readable_buffer_gets_nothing(void)
{
    g_autoptr(Rig) rig = new_rig(0);
    rig_add(rig, 0, &(RigBuffer){RIG_DATA, 64, FALSE}, 1);
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 0);
    g_assert_false(rig_needs_reset(rig));
}

static void test_an_interrupt_that_nobody_wants(void)
{
    g_autoptr(Rig) rig = new_rig(0);
    vmm_store_le16(rig_at(rig, rig_driver_area(0), 2), VIRTQ_AVAIL_NO_INTERRUPT);
    ask(rig, 8);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 8);
    g_assert_cmpuint(rig->n_interrupts, ==, 0);
}

/* used_event stands after the available ring, avail_event after the used one. */
static void test_event_indices(void)
{
    g_autoptr(Rig) rig = new_rig(VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
    uint8_t *used_event = rig_at(rig, rig_driver_area(0) + VIRTQ_RING + 2 * 64, 2);
    uint8_t *avail_event = rig_at(rig, rig_device_area(0) + VIRTQ_RING + 8 * 64, 2);
    vmm_store_le16(used_event, 0);
    ask(rig, 8);
    g_assert_cmpuint(rig->n_interrupts, ==, 1);
    g_assert_cmpuint(vmm_load_le16(avail_event), ==, 1);
    vmm_store_le16(used_event, 2); /* only when the third is used */
    ask(rig, 8);
    g_assert_cmpuint(rig->n_interrupts, ==, 1);
    ask(rig, 8);
    g_assert_cmpuint(rig->n_interrupts, ==, 2);
    g_assert_cmpuint(vmm_load_le16(avail_event), ==, 3);
}

static void test_the_ring_wraps(void)
{
    g_autoptr(Rig) rig = new_rig(0);
    for (unsigned i = 0; i < 70000; i++) {
        ask(rig, 8);
        g_assert_cmpuint(rig_wait_used(rig, 0), ==, 8);
    }
    g_assert_false(rig_needs_reset(rig));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rng/fills", test_fills_a_buffer);
    g_test_add_func("/rng/huge", test_a_huge_request_gets_a_start);
    g_test_add_func("/rng/readable", test_a_readable_buffer_gets_nothing);
    g_test_add_func("/rng/no-interrupt", test_an_interrupt_that_nobody_wants);
    g_test_add_func("/rng/event-indices", test_event_indices);
    g_test_add_func("/rng/wraps", test_the_ring_wraps);
    return g_test_run();
}
