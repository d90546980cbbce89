/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that the guest gives up, and what it says of the others. */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <string.h>

#include "rig.h"
#include "vmm/virtio/balloon.h"

#define INFLATE 0
#define DEFLATE 1
#define REPORT 2
#define N_QUEUES 5
#define PAGES 0x200000ULL /* the pages that are given up */
#define NUM_PAGES VIRTIO_MMIO_CONFIG
#define ACTUAL (VIRTIO_MMIO_CONFIG + 4)

typedef struct {
    Rig *rig;
    VmmVirtio *device;
    unsigned n_changed;
} Fixture;

static void count_change(void *owner)
{
    ((Fixture *)owner)->n_changed++;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    VmmBalloonOptions options = {.changed = count_change, .owner = fixture};
    fixture->rig = rig_new();
    g_assert_cmpint(
        vmm_balloon_new(&fixture->device, fixture->rig->memory, fixture->rig->loop, &options), ==,
        0);
    rig_attach(fixture->rig, fixture->device);
    rig_start(fixture->rig, VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING));
    memset(rig_at(fixture->rig, PAGES, 1 << 20), 'x', 1 << 20);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    rig_free(fixture->rig);
}

static void give_pages(Fixture *fixture, unsigned queue, const uint32_t *pages, uint32_t n)
{
    rig_put(fixture->rig, RIG_DATA, pages, n * 4);
    rig_add(fixture->rig, queue, &(RigBuffer){RIG_DATA, n * 4, FALSE}, 1);
    rig_kick(fixture->rig, queue);
    g_assert_true(rig_take_used(fixture->rig, queue, NULL, NULL));
}

static char byte_of(Fixture *fixture, uint64_t gpa)
{
    return *(char *)rig_at(fixture->rig, gpa, 1);
}

static void test_inflate(Fixture *fixture, gconstpointer data)
{
    const uint32_t pages[] = {0x200, 0x201, 0x202, 0x204, 0x203, 0x210};
    give_pages(fixture, INFLATE, pages, G_N_ELEMENTS(pages));
    for (unsigned i = 0; i < 5; i++)
        g_assert_cmpint(byte_of(fixture, PAGES + i * 4096 + 4095), ==, 0);
    g_assert_cmpint(byte_of(fixture, PAGES + 5 * 4096), ==, 'x');
    g_assert_cmpint(byte_of(fixture, PAGES + 16 * 4096), ==, 0);
    give_pages(fixture, DEFLATE, pages, G_N_ELEMENTS(pages));
    *(char *)rig_at(fixture->rig, PAGES, 1) = 'y';
    g_assert_cmpint(byte_of(fixture, PAGES), ==, 'y');
}

static void test_pages_that_there_are_not(Fixture *fixture, gconstpointer data)
{
    const uint32_t pages[] = {0xffffffff, 0, 0x400, 0x3ff, 0x400, 0x401, 0xfffff, 0x80000000};
    memset(rig_at(fixture->rig, 0x3ff000, 4096), 'z', 4096);
    give_pages(fixture, INFLATE, pages + 2, 6);
    /* A row that begins inside and ends outside is none of the guest's: it stays. */
    g_assert_cmpint(byte_of(fixture, 0x3ff000), ==, 'z');
    give_pages(fixture, INFLATE, pages, 4);
    g_assert_cmpint(byte_of(fixture, 0x3ff000), ==, 0);
    g_assert_false(rig_needs_reset(fixture->rig));
}

static void test_an_endless_list(Fixture *fixture, gconstpointer data)
{
    RigBuffer buffers[8];
    for (unsigned i = 0; i < 8; i++)
        buffers[i] = (RigBuffer){RIG_DATA, 1 << 20, FALSE};
    rig_add(fixture->rig, INFLATE, buffers, 8);
    rig_add(fixture->rig, INFLATE, &(RigBuffer){RIG_DATA, 3, FALSE}, 1);
    rig_add(fixture->rig, INFLATE, &(RigBuffer){RIG_DATA, 4096, TRUE}, 1);
    rig_kick(fixture->rig, INFLATE);
    for (unsigned i = 0; i < 3; i++)
        g_assert_true(rig_take_used(fixture->rig, INFLATE, NULL, NULL));
}

/* Whatever number the driver gives the queue. */
static void test_reported_pages(Fixture *fixture, gconstpointer data)
{
    const RigBuffer buffers[] = {{PAGES, 8192, TRUE}, {PAGES + 0x10001, 8192, TRUE}};
    for (unsigned queue = REPORT; queue < N_QUEUES; queue++) {
        memset(rig_at(fixture->rig, PAGES, 1 << 20), 'x', 1 << 20);
        rig_add(fixture->rig, queue, buffers, 2);
        rig_kick(fixture->rig, queue);
        g_assert_true(rig_take_used(fixture->rig, queue, NULL, NULL));
        g_assert_cmpint(byte_of(fixture, PAGES), ==, 0);
        g_assert_cmpint(byte_of(fixture, PAGES + 8191), ==, 0);
        g_assert_cmpint(byte_of(fixture, PAGES + 8192), ==, 'x');
        g_assert_cmpint(byte_of(fixture, PAGES + 0x10fff), ==, 'x'); /* only whole pages */
        g_assert_cmpint(byte_of(fixture, PAGES + 0x11000), ==, 0);
        g_assert_cmpint(byte_of(fixture, PAGES + 0x12000), ==, 'x');
    }
    g_assert_cmpuint(vmm_balloon_reported(fixture->device), ==, (N_QUEUES - REPORT) * 16384);
}

static void test_target(Fixture *fixture, gconstpointer data)
{
    uint32_t generation = rig_read(fixture->rig, VIRTIO_MMIO_CONFIG_GENERATION);
    g_assert_cmpuint(vmm_balloon_get(fixture->device), ==, RIG_MEMORY);
    g_assert_cmpint(vmm_balloon_set(fixture->device, RIG_MEMORY + 1), ==, -EINVAL);
    g_assert_cmpint(vmm_balloon_set(fixture->device, RIG_MEMORY / 4), ==, 0);
    g_assert_cmpuint(rig_read(fixture->rig, NUM_PAGES), ==, RIG_MEMORY / 4 * 3 / 4096);
    g_assert_cmpuint(rig_read(fixture->rig, VIRTIO_MMIO_CONFIG_GENERATION), ==, generation + 1);
    g_assert_cmphex(rig_read(fixture->rig, VIRTIO_MMIO_INTERRUPT_STATUS), ==,
                    VIRTIO_MMIO_INT_CONFIG);
    rig_write(fixture->rig, ACTUAL, 100);
    g_assert_cmpuint(vmm_balloon_get(fixture->device), ==, RIG_MEMORY - 100 * 4096);
    g_assert_cmpuint(fixture->n_changed, ==, 1);
    rig_write(fixture->rig, ACTUAL, UINT32_MAX);
    g_assert_cmpuint(vmm_balloon_get(fixture->device), ==, 0);
}

static void test_config_writes_elsewhere(Fixture *fixture, gconstpointer data)
{
    rig_write(fixture->rig, NUM_PAGES, 77);
    rig_poke(fixture->rig, NUM_PAGES, UINT64_MAX, 8);
    rig_poke(fixture->rig, ACTUAL, 1, 1);
    rig_poke(fixture->rig, ACTUAL + 2, 1, 2);
    rig_poke(fixture->rig, NUM_PAGES + 2, UINT32_MAX, 4);
    rig_poke(fixture->rig, ACTUAL + 4, UINT32_MAX, 4);
    g_assert_cmpuint(rig_read(fixture->rig, NUM_PAGES), ==, 0);
    g_assert_cmpuint(rig_read(fixture->rig, ACTUAL), ==, 0);
    g_assert_cmpuint(fixture->n_changed, ==, 0);
}

static void test_save_and_load(Fixture *fixture, gconstpointer data)
{
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    vmm_balloon_set(fixture->device, RIG_MEMORY / 2);
    rig_write(fixture->rig, ACTUAL, 50);
    vmm_mmio_pause(fixture->rig->mmio);
    g_assert_cmpint(vmm_mmio_save(fixture->rig->mmio, &writer), ==, 0);
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture->rig->mmio, &reader), ==, 0);
    vmm_mmio_resume(fixture->rig->mmio);
    g_assert_cmpuint(rig_read(fixture->rig, NUM_PAGES), ==, RIG_MEMORY / 2 / 4096);
    g_assert_cmpuint(vmm_balloon_get(fixture->device), ==, RIG_MEMORY - 50 * 4096);
    vmm_state_writer_free(&writer);
}

#define ADD(name, function) g_test_add("/balloon/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("inflate", test_inflate);
    ADD("outside", test_pages_that_there_are_not);
    ADD("endless", test_an_endless_list);
    ADD("reported", test_reported_pages);
    ADD("target", test_target);
    ADD("config", test_config_writes_elsewhere);
    ADD("save-load", test_save_and_load);
    return g_test_run();
}
