/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that lie, one lie a test, told to each queue of each device. A device does what still
 * makes sense, or says that it needs a reset: of a lie that breaks the rules of a ring or a chain
 * each device must say so, whichever queue it is told to. It may not crash, hang, or touch what is
 * not the guest's, which the sanitizers and the guards around guest memory see. After each lie the
 * device is reset and has to start as if nothing had been.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "zoo.h"

#define QUEUE_NUM 64
#define OK_STATUS RIG_DRIVER_OK
#define STORM 50000
#define STORM_LIMIT (10 * G_USEC_PER_SEC)
#define TABLE (RIG_DATA + 0x1000) /* for indirect descriptors */
#define NEXT VIRTQ_DESC_NEXT
#define WRITE VIRTQ_DESC_WRITE
#define INDIRECT VIRTQ_DESC_INDIRECT

typedef void (*Lie)(Animal *animal, unsigned queue);

typedef struct {
    Lie lie;
    unsigned which;
    gboolean breaks; /* every device must need a reset */
} Case;

static void describe(Animal *animal, unsigned queue, uint16_t index, uint64_t gpa, uint32_t length,
                     uint16_t flags, uint16_t next)
{
    rig_describe(animal->rig, queue, index, gpa, length, flags, next);
}

static void describe_in(Animal *animal, uint64_t table, uint16_t index, uint64_t gpa,
                        uint32_t length, uint16_t flags, uint16_t next)
{
    VirtqDescriptor descriptor = {GUINT64_TO_LE(gpa), GUINT32_TO_LE(length), GUINT16_TO_LE(flags),
                                  GUINT16_TO_LE(next)};
    rig_put(animal->rig, table + 16ULL * index, &descriptor, sizeof descriptor);
}

static void offer(Animal *animal, unsigned queue, uint16_t head)
{
    rig_offer(animal->rig, queue, head);
    rig_kick(animal->rig, queue);
}

static void assert_starts_again(Animal *animal)
{
    rig_start(animal->rig, animal_features(animal));
    animal_run(animal);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 0);
    g_assert_cmphex(rig_status(animal->rig), ==, 0);
}

static void tell_lie(gconstpointer data)
{
    const Case *told = data;
    g_autoptr(Animal) animal = animal_new(told->which);
    for (unsigned queue = 0; queue < animal_queues(animal); queue++) {
        rig_start(animal->rig, animal_features(animal));
        animal_run(animal); /* a console takes its clients in */
        animal_provoke(animal);
        told->lie(animal, queue);
        rig_kick(animal->rig, queue);
        animal_run(animal);
        if (told->breaks)
            g_assert_true(rig_needs_reset(animal->rig));
        assert_starts_again(animal);
    }
}

/* --- Chains --- */

static void loop_of_two(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 16, NEXT, 1);
    describe(animal, queue, 1, RIG_DATA, 16, NEXT, 0);
    offer(animal, queue, 0);
}

static void loop_of_one(Animal *animal, unsigned queue)
{
    describe(animal, queue, 5, RIG_DATA, 16, NEXT | WRITE, 5);
    offer(animal, queue, 5);
}

static void loop_in_a_table(Animal *animal, unsigned queue)
{
    describe_in(animal, TABLE, 0, RIG_DATA, 16, NEXT, 1);
    describe_in(animal, TABLE, 1, RIG_DATA, 16, NEXT, 0);
    describe(animal, queue, 0, TABLE, 32, INDIRECT, 0);
    offer(animal, queue, 0);
}

/* Behind the table there is something that looks like a part of it. */
static void next_out_of_range(Animal *animal, unsigned queue)
{
    describe(animal, queue, QUEUE_NUM, RIG_DATA, 16, 0, 0);
    describe(animal, queue, 0, RIG_DATA, 16, NEXT, QUEUE_NUM);
    offer(animal, queue, 0);
}

static void next_far_out_of_range(Animal *animal, unsigned queue)
{
    describe(animal, queue, UINT16_MAX, RIG_DATA, 16, 0, 0);
    describe(animal, queue, 0, RIG_DATA, 16, NEXT, UINT16_MAX);
    offer(animal, queue, 0);
}

static void head_out_of_range(Animal *animal, unsigned queue)
{
    describe(animal, queue, QUEUE_NUM, RIG_DATA, 16, 0, 0);
    offer(animal, queue, QUEUE_NUM);
}

static void head_far_out_of_range(Animal *animal, unsigned queue)
{
    describe(animal, queue, UINT16_MAX, RIG_DATA, 16, 0, 0);
    offer(animal, queue, UINT16_MAX);
}

static void nested_tables(Animal *animal, unsigned queue)
{
    describe_in(animal, TABLE, 0, TABLE, 32, INDIRECT, 0);
    describe(animal, queue, 0, TABLE, 32, INDIRECT, 0);
    offer(animal, queue, 0);
}

static void table_in_pieces(Animal *animal, unsigned queue)
{
    describe_in(animal, TABLE, 0, RIG_DATA, 16, 0, 0);
    describe(animal, queue, 0, TABLE, 31, INDIRECT, 0);
    offer(animal, queue, 0);
}

static void empty_table(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, TABLE, 0, INDIRECT, 0);
    offer(animal, queue, 0);
}

static void table_of_all_memory(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, 0, RIG_MEMORY, INDIRECT, 0);
    offer(animal, queue, 0);
}

static void table_outside(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_MEMORY - 16, 32, INDIRECT, 0);
    offer(animal, queue, 0);
}

static void table_and_next(Animal *animal, unsigned queue)
{
    describe_in(animal, TABLE, 0, RIG_DATA, 16, 0, 0);
    describe(animal, queue, 0, TABLE, 16, INDIRECT | NEXT, 1);
    describe(animal, queue, 1, RIG_DATA, 16, WRITE, 0);
    offer(animal, queue, 0);
}

static void next_outside_of_table(Animal *animal, unsigned queue)
{
    describe_in(animal, TABLE, 2, RIG_DATA, 16, 0, 0);
    describe_in(animal, TABLE, 0, RIG_DATA, 16, NEXT, 2);
    describe(animal, queue, 0, TABLE, 32, INDIRECT, 0);
    offer(animal, queue, 0);
}

static void chain_too_long(Animal *animal, unsigned queue)
{
    for (uint16_t i = 0; i < 300; i++)
        describe_in(animal, TABLE, i, RIG_DATA, 1, i < 299 ? NEXT : 0, (uint16_t)(i + 1));
    describe(animal, queue, 0, TABLE, 300 * 16, INDIRECT, 0);
    offer(animal, queue, 0);
}

/* --- Buffers --- */

static void buffer_outside(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_MEMORY, 16, 0, 0);
    offer(animal, queue, 0);
}

static void buffer_over_the_end(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_MEMORY - 8, 16, WRITE, 0);
    offer(animal, queue, 0);
}

static void buffer_that_wraps(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, UINT64_MAX - 7, 16, WRITE, 0);
    offer(animal, queue, 0);
}

static void buffer_in_the_device_hole(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, 0xd0000000, 0x200, WRITE, 0);
    offer(animal, queue, 0);
}

static void buffer_of_no_bytes(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 0, WRITE, 0);
    offer(animal, queue, 0);
}

static void buffer_of_most_bytes(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, 0, UINT32_MAX, WRITE, 0);
    offer(animal, queue, 0);
}

static void writable_before_readable(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 16, NEXT | WRITE, 1);
    describe(animal, queue, 1, RIG_DATA, 16, 0, 0);
    offer(animal, queue, 0);
}

static void flags_that_there_are_not(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 16, 0xfff8, 0);
    offer(animal, queue, 0);
}

/* The device writes into its own rings and tables: the guest's loss alone. */
static void buffers_are_the_rings(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, rig_descriptors(queue), RIG_RING_ROOM, WRITE, 0);
    describe(animal, queue, 1, rig_descriptors(queue), RIG_RING_ROOM, 0, 0);
    describe(animal, queue, 2, 0, RIG_MEMORY, 0, 0);
    for (uint16_t head = 0; head < 3; head++)
        offer(animal, queue, head);
}

static void largest_buffers(Animal *animal, unsigned queue)
{
    for (uint16_t i = 0; i < 8; i++)
        describe(animal, queue, i, RIG_DATA, 3 << 20, NEXT | (i < 4 ? 0 : WRITE),
                 (uint16_t)(i + 1));
    describe(animal, queue, 8, RIG_DATA, 1, WRITE, 0);
    offer(animal, queue, 0);
}

/* --- Rings --- */

static void set_available_index(Animal *animal, unsigned queue, uint16_t index)
{
    uint8_t *area = rig_at(animal->rig, rig_driver_area(queue), 4);
    vmm_release_le16(area + VIRTQ_INDEX, index);
}

/* From what was offered before. */
static void move_available_index(Animal *animal, unsigned queue, int by)
{
    set_available_index(animal, queue, (uint16_t)(animal->rig->queues[queue].available + by));
}

static void index_leaps(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 16, 0, 0);
    move_available_index(animal, queue, animal->rig->queues[queue].size + 1);
}

static void index_goes_back(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 16, 0, 0);
    move_available_index(animal, queue, -1);
}

/* The rings of a queue that began with nothing in them: one more than was ever offered. */
static void same_head_again_and_again(Animal *animal, unsigned queue)
{
    describe(animal, queue, 0, RIG_DATA, 64, 0, 0);
    for (unsigned i = 0; i < 1000; i++)
        offer(animal, queue, 0);
}

/* One chain, and no end of notifications. They end in time, and the guest is interrupted for what
 * it offered alone. */
static void storm_of_notifications(Animal *animal, unsigned queue)
{
    /* Without event indices no interrupt is held back. */
    rig_start(animal->rig, animal_features(animal) & ~VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
    animal_provoke(animal);
    gint64 start = g_get_monotonic_time();
    unsigned before = animal->rig->n_interrupts;
    describe(animal, queue, 0, RIG_DATA, 256, WRITE, 0);
    rig_offer(animal->rig, queue, 0);
    for (unsigned i = 0; i < STORM; i++)
        rig_kick(animal->rig, queue);
    animal_run(animal);
    g_assert_cmpint(g_get_monotonic_time() - start, <, STORM_LIMIT);
    g_assert_cmpuint(animal->rig->n_interrupts - before, <=, 1);
    g_assert_false(rig_needs_reset(animal->rig));
}

static void queues_that_there_are_not(Animal *animal, unsigned queue)
{
    const uint32_t numbers[] = {animal_queues(animal), 8, 255, 65536, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        rig_kick(animal->rig, numbers[i]);
        rig_write(animal->rig, VIRTIO_MMIO_QUEUE_SEL, numbers[i]);
        g_assert_cmpuint(rig_read(animal->rig, VIRTIO_MMIO_QUEUE_NUM_MAX), ==, 0);
        g_assert_cmpuint(rig_read(animal->rig, VIRTIO_MMIO_QUEUE_READY), ==, 0);
        rig_write(animal->rig, VIRTIO_MMIO_QUEUE_NUM, 16);
        rig_write(animal->rig, VIRTIO_MMIO_QUEUE_READY, 1);
    }
}

/* Everything that rules a queue, while it is in use: none of it moves. */
static void moved_while_running(Animal *animal, unsigned queue)
{
    static const uint32_t offsets[] = {
        VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_DESC_HIGH,
        VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW,
        VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_QUEUE_READY,      VIRTIO_MMIO_DRIVER_FEATURES,
    };
    VmmQueue before = vmm_mmio_device(animal->rig->mmio)->queues[queue];
    uint64_t features = vmm_mmio_device(animal->rig->mmio)->features;
    rig_write(animal->rig, VIRTIO_MMIO_QUEUE_SEL, queue);
    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        rig_write(animal->rig, offsets[i], 8);
        rig_write(animal->rig, offsets[i], UINT32_MAX);
        rig_write(animal->rig, offsets[i], 0);
    }
    const VmmQueue *after = &vmm_mmio_device(animal->rig->mmio)->queues[queue];
    g_assert_cmpuint(after->size, ==, before.size);
    g_assert_cmphex(after->descriptors, ==, before.descriptors);
    g_assert_true(after->used == before.used && after->is_ready);
    g_assert_cmphex(vmm_mmio_device(animal->rig->mmio)->features, ==, features);
}

/* --- Setting up --- */

/* Sets one queue up with these numbers; whether it became ready. */
static gboolean try_queue(Animal *animal, unsigned queue, uint32_t size, uint64_t descriptors,
                          uint64_t driver, uint64_t device)
{
    const uint64_t areas[] = {descriptors, driver, device};
    const uint32_t offsets[] = {VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                                VIRTIO_MMIO_QUEUE_USED_LOW};
    rig_negotiate(animal->rig, animal_features(animal));
    rig_write(animal->rig, VIRTIO_MMIO_QUEUE_SEL, queue);
    rig_write(animal->rig, VIRTIO_MMIO_QUEUE_NUM, size);
    for (size_t i = 0; i < 3; i++) {
        rig_write(animal->rig, offsets[i], (uint32_t)areas[i]);
        rig_write(animal->rig, offsets[i] + 4, (uint32_t)(areas[i] >> 32));
    }
    rig_write(animal->rig, VIRTIO_MMIO_QUEUE_READY, 1);
    gboolean is_ready = rig_read(animal->rig, VIRTIO_MMIO_QUEUE_READY) != 0;
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, RIG_DRIVER_OK);
    rig_kick(animal->rig, queue);
    animal_run(animal);
    return is_ready;
}

static void sizes_that_are_not_allowed(Animal *animal, unsigned queue)
{
    const uint32_t sizes[] = {0, 3, 63, 65, 257, 512, 32768, 65535, 65536, 65536 + 64, UINT32_MAX};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        g_assert_false(
            try_queue(animal, queue, sizes[i], RIG_DATA, RIG_DATA + 0x8000, RIG_DATA + 0x10000));
    g_assert_true(try_queue(animal, queue, 1, RIG_DATA, RIG_DATA + 0x8000, RIG_DATA + 0x10000));
}

static void rings_where_they_cannot_be(Animal *animal, unsigned queue)
{
    const uint64_t good = RIG_DATA, end = RIG_MEMORY;
    const uint64_t bad[] = {good + 1,       end,        end - 16,   end - 2,
                            UINT64_MAX,     ~15ULL,     0xbffffff0, 0xc0000000,
                            0xfffffffffff0, 1ULL << 63, 0xd0000000, end + 4096};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(try_queue(animal, queue, 16, bad[i], good, good));
        g_assert_false(try_queue(animal, queue, 16, good, bad[i], good));
        g_assert_false(try_queue(animal, queue, 16, good, good, bad[i]));
    }
    g_assert_false(try_queue(animal, queue, 16, good + 8, good, good));
    g_assert_false(try_queue(animal, queue, 16, good, good, good + 2));
}

static void rings_upon_each_other(Animal *animal, unsigned queue)
{
    memset(rig_at(animal->rig, RIG_DATA, 4096), 1, 4096);
    g_assert_true(try_queue(animal, queue, 16, RIG_DATA, RIG_DATA, RIG_DATA));
}

static void rings_at_the_very_end(Animal *animal, unsigned queue)
{
    uint64_t end = RIG_MEMORY;
    memset(rig_at(animal->rig, end - 4096, 4096), 0, 4096);
    g_assert_true(try_queue(animal, queue, 1, end - 16, end - 8, end - 16));
}

static void status_out_of_order(Animal *animal, unsigned queue)
{
    static const uint32_t values[] = {4, 8,    0xc,  2,    6,          0xa, 5,
                                      9, 0x10, 0x20, 0x40, 0xffffff00, 0xd};
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        rig_write(animal->rig, VIRTIO_MMIO_STATUS, 0);
        rig_write(animal->rig, VIRTIO_MMIO_STATUS, values[i]);
        g_assert_cmphex(rig_status(animal->rig) & 0xfe, ==, 0);
        rig_kick(animal->rig, queue);
    }
    rig_negotiate(animal->rig, 0);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 3); /* bits cannot be taken back */
    g_assert_cmphex(rig_status(animal->rig), ==, 0xb);
}

static void features_that_are_not_offered(Animal *animal, unsigned queue)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        gboolean is_offered = (animal_features(animal) >> bit) & 1;
        rig_negotiate(animal->rig, 1ULL << bit);
        g_assert_cmphex(rig_status(animal->rig), ==, is_offered ? 0xb : 3);
    }
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 0);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 1);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 3);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 0xb); /* without VERSION_1 */
    g_assert_cmphex(rig_status(animal->rig), ==, 3);
}

static void notified_before_it_is_ready(Animal *animal, unsigned queue)
{
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, 0);
    rig_kick(animal->rig, queue);
    rig_negotiate(animal->rig, animal_features(animal));
    rig_kick(animal->rig, queue);
    rig_setup_queue(animal->rig, queue, 16);
    describe(animal, queue, 0, RIG_DATA, 64, WRITE, 0);
    offer(animal, queue, 0);
    g_assert_false(rig_take_used(animal->rig, queue, NULL, NULL));
    g_assert_cmpuint(rig_read(animal->rig, VIRTIO_MMIO_INTERRUPT_STATUS), ==, 0);
}

/* Only one of its queues: the device must not wait for, or use, the others. */
static void the_other_queues_are_not_ready(Animal *animal, unsigned queue)
{
    rig_negotiate(animal->rig, animal_features(animal));
    rig_setup_queue(animal->rig, queue, 16);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, RIG_DRIVER_OK);
    for (uint16_t i = 0; i < 16; i++) {
        describe(animal, queue, i, RIG_DATA + 0x100 * i, 0x100, i & 1 ? WRITE : 0, 0);
        offer(animal, queue, i);
        animal_run(animal);
    }
    for (unsigned i = 0; i < animal_queues(animal); i++)
        rig_kick(animal->rig, i);
}

/* --- Registers --- */

static void every_register_in_every_width(Animal *animal, unsigned queue)
{
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint32_t offset = 0; offset <= VMM_MMIO_SIZE; offset++) {
            rig_peek(animal->rig, offset, size);
            rig_poke(animal->rig, offset, 0x0102030405060708ULL * offset, size);
            rig_poke(animal->rig, offset, UINT64_MAX, size);
            rig_peek(animal->rig, offset, size);
        }
}

static void shared_memory_that_there_is_not(Animal *animal, unsigned queue)
{
    for (uint32_t region = 0; region < 3; region++) {
        rig_write(animal->rig, VIRTIO_MMIO_SHM_SEL, region);
        for (uint32_t offset = VIRTIO_MMIO_SHM_LEN_LOW; offset <= VIRTIO_MMIO_SHM_BASE_HIGH;
             offset += 4)
            g_assert_cmphex(rig_read(animal->rig, offset), ==, UINT32_MAX);
    }
}

static void numbers_at_random(Animal *animal, unsigned queue)
{
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t offset = (uint32_t)g_test_rand_int_range(0, VMM_MMIO_SIZE / 4) * 4;
        uint32_t value = (uint32_t)g_test_rand_int() >> g_test_rand_int_range(0, 32);
        rig_write(animal->rig, offset, value);
        rig_read(animal->rig, offset);
    }
}

/* --- Everything at once --- */

static void scribble(Animal *animal, uint64_t gpa, uint64_t length)
{
    uint8_t *bytes = rig_at(animal->rig, gpa, length);
    for (uint64_t i = 0; i < length; i += 4) {
        uint32_t value = (uint32_t)g_test_rand_int() >> g_test_rand_int_range(0, 32);
        memcpy(bytes + i, &value, 4);
    }
}

static void rings_at_random(Animal *animal, unsigned queue)
{
    for (unsigned i = 0; i < 60; i++) {
        rig_start(animal->rig, animal_features(animal));
        scribble(animal, rig_descriptors(queue), QUEUE_NUM * 16);
        scribble(animal, rig_driver_area(queue), 4 + 2 * QUEUE_NUM);
        for (uint16_t k = 0; k < QUEUE_NUM; k += 2) /* some that make sense */
            describe(animal, queue, k, (uint64_t)g_test_rand_int_range(0, RIG_MEMORY),
                     (uint32_t)g_test_rand_int_range(0, 70000),
                     (uint16_t)g_test_rand_int_range(0, 4),
                     (uint16_t)g_test_rand_int_range(0, QUEUE_NUM));
        set_available_index(animal, queue, (uint16_t)g_test_rand_int_range(0, QUEUE_NUM + 2));
        rig_kick(animal->rig, queue);
        animal_run(animal);
    }
}

static volatile gint is_racing;

/* Another vCPU of the guest's. */
static void *change_under_it(void *data)
{
    uint32_t *words = data, value = 1;
    while (g_atomic_int_get(&is_racing)) {
        value = value * 1664525 + 1013904223;
        __atomic_store_n(&words[value >> 8 & 0xff], value >> (value & 31), __ATOMIC_RELAXED);
    }
    return NULL;
}

static void descriptors_change_meanwhile(Animal *animal, unsigned queue)
{
    pthread_t thread;
    for (uint16_t i = 0; i < QUEUE_NUM; i++)
        describe(animal, queue, i, RIG_DATA, 64, 0, 0);
    g_atomic_int_set(&is_racing, 1);
    pthread_create(&thread, NULL, change_under_it,
                   rig_at(animal->rig, rig_descriptors(queue), 1024));
    for (unsigned i = 0; i < 300; i++) {
        offer(animal, queue, (uint16_t)(i % QUEUE_NUM));
        animal_run(animal);
        if (rig_needs_reset(animal->rig))
            rig_start(animal->rig, animal_features(animal));
    }
    g_atomic_int_set(&is_racing, 0);
    pthread_join(thread, NULL);
}

/* Nothing is done for a broken device until it is reset. */
static void goes_on_after_it_broke(Animal *animal, unsigned queue)
{
    offer(animal, queue, QUEUE_NUM);
    g_assert_true(rig_needs_reset(animal->rig));
    g_assert_cmphex(rig_read(animal->rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG,
                    ==, VIRTIO_MMIO_INT_CONFIG);
    unsigned interrupts = animal->rig->n_interrupts;
    for (unsigned i = 0; i < 100; i++)
        offer(animal, queue, (uint16_t)i);
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, OK_STATUS);
    g_assert_true(rig_needs_reset(animal->rig));
    g_assert_cmpuint(animal->rig->n_interrupts, ==, interrupts);
}

static void gives_up_itself(Animal *animal, unsigned queue)
{
    rig_write(animal->rig, VIRTIO_MMIO_STATUS, OK_STATUS | VIRTIO_CONFIG_S_FAILED);
    describe(animal, queue, 0, RIG_DATA, 64, WRITE, 0);
    offer(animal, queue, 0);
    animal_run(animal);
    g_assert_false(rig_take_used(animal->rig, queue, NULL, NULL));
}

/* --- State --- */

static void save(Animal *animal, VmmStateWriter *writer)
{
    vmm_mmio_pause(animal->rig->mmio);
    g_assert_cmpint(vmm_mmio_save(animal->rig->mmio, writer), ==, 0);
    vmm_mmio_resume(animal->rig->mmio);
}

/* Loads what may be anything, and lets the guest go on with it. */
static int load(Animal *animal, const uint8_t *bytes, size_t length)
{
    VmmStateReader reader;
    g_autofree uint8_t *copy = g_memdup2(bytes, length); /* the sanitizer sees its end */
    vmm_mmio_pause(animal->rig->mmio);
    vmm_state_reader_init(&reader, copy, length);
    int failed = vmm_mmio_load(animal->rig->mmio, &reader);
    g_assert_true(!failed || reader.why.text[0]);
    vmm_mmio_resume(animal->rig->mmio);
    for (unsigned i = 0; i < animal_queues(animal); i++)
        rig_kick(animal->rig, i);
    animal_run(animal);
    return failed;
}

static void state_that_is_cut_short(Animal *animal, unsigned queue)
{
    VmmStateWriter writer = {0};
    save(animal, &writer);
    for (size_t length = 0; length < writer.length; length++) {
        g_assert_cmpint(load(animal, writer.bytes, length), !=, 0);
        g_assert_cmphex(rig_status(animal->rig), ==, 0);
    }
    g_assert_cmpint(load(animal, writer.bytes, writer.length), ==, 0);
    g_assert_cmphex(rig_status(animal->rig), ==, OK_STATUS);
    vmm_state_writer_free(&writer);
}

static void state_with_flipped_bits(Animal *animal, unsigned queue)
{
    VmmStateWriter writer = {0};
    if (queue > 0)
        return;
    save(animal, &writer);
    for (size_t bit = 0; bit < writer.length * 8; bit++) {
        writer.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        load(animal, writer.bytes, writer.length);
        writer.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    vmm_state_writer_free(&writer);
}

/* Where the numbers stand in the transport's section, behind its head. */
#define SECTION_HEAD 22
#define OFFERED_AT (SECTION_HEAD + 24)
#define TAKEN_AT (OFFERED_AT + 8)
#define QUEUE_SIZE_AT (TAKEN_AT + 8)
#define DESCRIPTORS_AT (QUEUE_SIZE_AT + 2)

/* Whether a state with one byte changed is taken. */
static gboolean is_taken_with(Animal *animal, size_t at, uint8_t change)
{
    VmmStateWriter writer = {0};
    rig_start(animal->rig, animal_features(animal));
    save(animal, &writer);
    writer.bytes[at] ^= change;
    int failed = load(animal, writer.bytes, writer.length);
    vmm_state_writer_free(&writer);
    return failed == 0;
}

static void state_of_what_cannot_be(Animal *animal, unsigned queue)
{
    g_assert_true(is_taken_with(animal, OFFERED_AT, 0));
    g_assert_false(is_taken_with(animal, OFFERED_AT + 6, 1));       /* features offered */
    g_assert_false(is_taken_with(animal, TAKEN_AT + 6, 1));         /* features taken */
    g_assert_false(is_taken_with(animal, QUEUE_SIZE_AT + 1, 0x80)); /* no power of two */
    g_assert_false(is_taken_with(animal, QUEUE_SIZE_AT, 0x40));     /* no size */
    g_assert_false(is_taken_with(animal, DESCRIPTORS_AT, 1));       /* misaligned */
    g_assert_false(is_taken_with(animal, DESCRIPTORS_AT + 4, 1));   /* outside of memory */
    g_assert_false(is_taken_with(animal, SECTION_HEAD, 2));         /* a status out of order */
}

static void state_of_another_device(Animal *animal, unsigned queue)
{
    for (unsigned i = 0; i < ZOO_N; i++) {
        VmmStateWriter writer = {0};
        g_autoptr(Animal) other = animal_new(i);
        rig_start(other->rig, animal_features(other));
        save(other, &writer);
        const char *name = vmm_mmio_device(animal->rig->mmio)->ops->name;
        gboolean is_same = strcmp(name, vmm_mmio_device(other->rig->mmio)->ops->name) == 0;
        g_assert_cmpint(load(animal, writer.bytes, writer.length) == 0, ==, is_same);
        vmm_state_writer_free(&writer);
    }
}

/* --- More bytes than a number holds; for which memory must be large --- */

static void test_lengths_that_overflow(void)
{
    VmmMemory *memory = NULL;
    VmmChain chain;
    VirtqDescriptor table[2] = {{0, 3U << 30, NEXT, 1}, {0, 3U << 30, 0, 0}};
    g_assert_cmpint(vmm_memory_new(&memory, 3ULL << 30, -1, false), ==, 0);
    g_assert_cmpint(vmm_chain_follow(&chain, memory, table, 2, 0), ==, -EPROTO);
    table[1].length = 1U << 30;
    g_assert_cmpint(vmm_chain_follow(&chain, memory, table, 2, 0), ==, -EPROTO);
    table[1].length = (1U << 30) - 1;
    g_assert_cmpint(vmm_chain_follow(&chain, memory, table, 2, 0), ==, 0);
    g_assert_cmpuint(chain.readable, ==, UINT32_MAX);
    vmm_memory_free(memory);
}

/* A power of two that is more than the device takes, which only a saved state can bring. */
static void test_state_of_a_queue_too_large(void)
{
    VmmMemory *memory = NULL;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    VmmQueue queue;
    g_assert_cmpint(vmm_memory_new(&memory, RIG_MEMORY, -1, false), ==, 0);
    for (uint16_t max = 128; max >= 64; max /= 2) {
        vmm_queue_init(&queue, memory, 128);
        queue.size = 128;
        queue.driver = queue.device = 0x10000;
        g_assert_cmpint(vmm_queue_start(&queue, false), ==, 0);
        vmm_state_begin(&writer, "queue", 1);
        vmm_queue_save(&queue, &writer);
        vmm_state_end(&writer);
        vmm_queue_init(&queue, memory, max);
        vmm_state_reader_init(&reader, writer.bytes, writer.length);
        vmm_state_enter(&reader, "queue", 1);
        vmm_queue_load(&queue, &reader, false);
        g_assert_cmpint(reader.failed, ==, max == 128 ? 0 : -EINVAL);
        vmm_state_writer_free(&writer);
    }
    vmm_memory_free(memory);
}

#define BREAKS TRUE
#define PASSES FALSE

static const struct {
    const char *name;
    Lie lie;
    gboolean breaks;
} lies[] = {
    {"loop-of-two", loop_of_two, BREAKS},
    {"loop-of-one", loop_of_one, BREAKS},
    {"loop-in-a-table", loop_in_a_table, BREAKS},
    {"next-out-of-range", next_out_of_range, BREAKS},
    {"next-far-out-of-range", next_far_out_of_range, BREAKS},
    {"head-out-of-range", head_out_of_range, BREAKS},
    {"head-far-out-of-range", head_far_out_of_range, BREAKS},
    {"nested-tables", nested_tables, BREAKS},
    {"table-in-pieces", table_in_pieces, BREAKS},
    {"empty-table", empty_table, BREAKS},
    {"table-of-all-memory", table_of_all_memory, BREAKS},
    {"table-outside", table_outside, BREAKS},
    {"table-and-next", table_and_next, BREAKS},
    {"next-outside-of-table", next_outside_of_table, BREAKS},
    {"chain-too-long", chain_too_long, BREAKS},
    {"buffer-outside", buffer_outside, BREAKS},
    {"buffer-over-the-end", buffer_over_the_end, BREAKS},
    {"buffer-that-wraps", buffer_that_wraps, BREAKS},
    {"buffer-in-the-hole", buffer_in_the_device_hole, BREAKS},
    {"buffer-of-no-bytes", buffer_of_no_bytes, BREAKS},
    {"buffer-of-most-bytes", buffer_of_most_bytes, BREAKS},
    {"writable-before-readable", writable_before_readable, BREAKS},
    {"unknown-flags", flags_that_there_are_not, PASSES},
    {"buffers-are-rings", buffers_are_the_rings, PASSES},
    {"largest-buffers", largest_buffers, PASSES},
    {"index-leaps", index_leaps, BREAKS},
    {"index-goes-back", index_goes_back, BREAKS},
    {"same-head", same_head_again_and_again, PASSES},
    {"storm", storm_of_notifications, PASSES},
    {"absent-queues", queues_that_there_are_not, PASSES},
    {"moved-while-running", moved_while_running, PASSES},
    {"sizes", sizes_that_are_not_allowed, PASSES},
    {"ring-places", rings_where_they_cannot_be, PASSES},
    {"rings-overlap", rings_upon_each_other, PASSES},
    {"rings-at-the-end", rings_at_the_very_end, PASSES},
    {"status-order", status_out_of_order, PASSES},
    {"features", features_that_are_not_offered, PASSES},
    {"early-notification", notified_before_it_is_ready, PASSES},
    {"one-queue-only", the_other_queues_are_not_ready, PASSES},
    {"widths", every_register_in_every_width, PASSES},
    {"shared-memory", shared_memory_that_there_is_not, PASSES},
    {"random-registers", numbers_at_random, PASSES},
    {"random-rings", rings_at_random, PASSES},
    {"race", descriptors_change_meanwhile, PASSES},
    {"goes-on", goes_on_after_it_broke, BREAKS},
    {"gives-up", gives_up_itself, PASSES},
    {"state-cut", state_that_is_cut_short, PASSES},
    {"state-flipped", state_with_flipped_bits, PASSES},
    {"state-impossible", state_of_what_cannot_be, PASSES},
    {"state-of-another", state_of_another_device, PASSES},
};

int main(int argc, char **argv)
{
    static Case cases[G_N_ELEMENTS(lies)][ZOO_N];
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++)
        for (unsigned which = 0; which < ZOO_N; which++) {
            g_autofree char *path =
                g_strdup_printf("/hostile/%s/%s", lies[i].name, zoo_names[which]);
            cases[i][which] = (Case){lies[i].lie, which, lies[i].breaks};
            g_test_add_data_func(path, &cases[i][which], tell_lie);
        }
    g_test_add_func("/hostile/overflow", test_lengths_that_overflow);
    g_test_add_func("/hostile/queue-too-large", test_state_of_a_queue_too_large);
    return g_test_run();
}
