/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest without sense: the first byte chooses a device, the rest are its steps, each a byte for
 * what it does and those it needs. Rings, descriptors, registers and state may hold anything.
 */
#include <string.h>

#include "fuzz.h"
#include "zoo.h"

#define STEPS_MAX 512
#define STATE_MAX 512

typedef struct {
    const uint8_t *data;
    size_t left;
} Input;

/* The next bytes of the input as a number; zeros after its end. */
static uint64_t take(Input *input, size_t size)
{
    uint64_t value = 0;
    size_t n = MIN(size, input->left);
    memcpy(&value, input->data, n);
    input->data += n;
    input->left -= n;
    return GUINT64_FROM_LE(value);
}

static unsigned take_queue(Animal *animal, Input *input)
{
    return (unsigned)take(input, 1) % animal_queues(animal);
}

static void poke(Animal *animal, Input *input)
{
    uint32_t offset = (uint32_t)take(input, 2) % VMM_MMIO_SIZE;
    unsigned size = 1U << take(input, 1) % 4;
    rig_poke(animal->rig, offset, take(input, size), size);
}

static void peek(Animal *animal, Input *input)
{
    uint32_t offset = (uint32_t)take(input, 2) % VMM_MMIO_SIZE;
    rig_peek(animal->rig, offset, 1U << take(input, 1) % 4);
}

static void write_memory(Animal *animal, Input *input)
{
    uint64_t gpa = take(input, 3) % RIG_MEMORY;
    uint64_t n = take(input, 1);
    n = MIN(n, MIN(input->left, RIG_MEMORY - gpa));
    if (n > 0)
        rig_put(animal->rig, gpa, input->data, n);
    input->data += n;
    input->left -= n;
}

static void describe(Animal *animal, Input *input)
{
    unsigned queue = take_queue(animal, input);
    uint16_t index = (uint16_t)(take(input, 1) % 64);
    uint64_t gpa = take(input, 4);
    uint32_t length = (uint32_t)take(input, 3);
    uint16_t flags = (uint16_t)take(input, 1);
    rig_describe(animal->rig, queue, index, gpa, length, flags, (uint16_t)take(input, 1));
}

static void offer(Animal *animal, Input *input)
{
    unsigned queue = take_queue(animal, input);
    if (animal->rig->queues[queue].size == 0)
        return;
    rig_offer(animal->rig, queue, (uint16_t)take(input, 1));
    rig_kick(animal->rig, queue);
}

static void kick(Animal *animal, Input *input)
{
    rig_kick(animal->rig, (uint32_t)take(input, 1));
}

static void run(Animal *animal, Input *input)
{
    animal_run(animal);
}

/* A device that is set up as its driver would, but for what stands in memory. */
static void start(Animal *animal, Input *input)
{
    rig_start(animal->rig, animal_features(animal) & take(input, 8));
}

static void load(Animal *animal, const uint8_t *bytes, size_t length)
{
    VmmStateReader reader;
    vmm_state_reader_init(&reader, bytes, length);
    vmm_mmio_load(animal->rig->mmio, &reader);
}

static void change_state(Animal *animal, Input *input)
{
    VmmStateWriter writer = {0};
    vmm_mmio_pause(animal->rig->mmio);
    g_assert_cmpint(vmm_mmio_save(animal->rig->mmio, &writer), ==, 0);
    for (unsigned n = (unsigned)take(input, 1) % 8; n > 0; n--)
        writer.bytes[take(input, 2) % writer.length] = (uint8_t)take(input, 1);
    load(animal, writer.bytes, writer.length);
    vmm_mmio_resume(animal->rig->mmio);
    vmm_state_writer_free(&writer);
}

static void load_state(Animal *animal, Input *input)
{
    size_t n = take(input, 2) % STATE_MAX;
    n = MIN(n, input->left);
    vmm_mmio_pause(animal->rig->mmio);
    load(animal, input->data, n);
    vmm_mmio_resume(animal->rig->mmio);
    input->data += n;
    input->left -= n;
}

static void (*const steps[])(Animal *animal, Input *input) = {
    start, poke, peek, write_memory, describe, offer, kick, run, change_state, load_state,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input input = {data, size};
    g_autoptr(Animal) animal = animal_new((unsigned)take(&input, 1) % ZOO_N);
    for (unsigned i = 0; i < STEPS_MAX && input.left > 0; i++)
        steps[take(&input, 1) % G_N_ELEMENTS(steps)](animal, &input);
    animal_run(animal);
    return 0;
}
