/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of free pages is the fifth in the specification, but older drivers count only those
 * queues that they use, and it is their third: all behind the first two are served alike, for
 * neither statistics nor hints are offered.
 *
 * A page that was discarded from memory mapped privately reads as the template's again. Drivers
 * that count on zeros (page poisoning, init_on_free) do not report without a feature that is not
 * offered.
 */
#include "vmm/virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#define INFLATE 0
#define DEFLATE 1
#define QUEUE_SIZE 128
#define PAGE VMM_MEMORY_PAGE
#define PAGES_MAX 16384U /* of one inflation that are looked at */
#define PAGES_READ 256U  /* at once */
#define CONFIG_SIZE 8

typedef struct {
    VmmVirtio device;
    struct virtio_balloon_config config;
    VmmBalloonOptions options;
    uint64_t reported;
} Balloon;

static Balloon *of_device(VmmVirtio *device)
{
    return (Balloon *)device;
}

/* --- Pages --- */

/* Discards pages that lie next to each other at once. Numbers beyond the memory are ignored. */
static void discard_pages(Balloon *balloon, const uint32_t *pages, uint32_t n)
{
    uint32_t i = 0;
    while (i < n) {
        uint64_t first = le32toh(pages[i]), last = first;
        for (i++; i < n && le32toh(pages[i]) == last + 1; i++)
            last++;
        vmm_memory_discard(balloon->device.memory, first * PAGE, (last - first + 1) * PAGE);
    }
}

static void inflate(Balloon *balloon, const VmmChain *chain)
{
    uint32_t pages[PAGES_READ];
    uint32_t total = chain->readable / sizeof *pages;
    if (total > PAGES_MAX)
        total = PAGES_MAX;
    for (uint32_t done = 0; done < total; done += PAGES_READ) {
        uint32_t n = total - done < PAGES_READ ? total - done : PAGES_READ;
        vmm_chain_read(chain, done * (uint32_t)sizeof *pages, pages, n * (uint32_t)sizeof *pages);
        discard_pages(balloon, pages, n);
    }
}

/* Pages come back when the guest touches them. */
static void deflate(Balloon *balloon, const VmmChain *chain)
{
}

/* Here the buffers are the pages themselves. */
static void report(Balloon *balloon, const VmmChain *chain)
{
    for (unsigned i = 0; i < chain->n_writable; i++) {
        const struct iovec *part = &chain->parts[chain->n_readable + i];
        if (vmm_memory_discard_host(balloon->device.memory, part->iov_base, part->iov_len) == 0)
            balloon->reported += part->iov_len;
    }
}

static void serve(Balloon *balloon, unsigned queue,
                  void (*handle)(Balloon *balloon, const VmmChain *chain))
{
    VmmChain chain;
    for (unsigned i = 0; i < VMM_VIRTIO_BATCH; i++) {
        if (!vmm_virtio_pop(&balloon->device, queue, &chain))
            return;
        handle(balloon, &chain);
        vmm_virtio_push(&balloon->device, queue, &chain, 0);
    }
    vmm_virtio_again(&balloon->device, queue);
}

/* --- The rest --- */

static void notify(VmmVirtio *device, unsigned queue)
{
    Balloon *balloon = of_device(device);
    if (queue == INFLATE)
        serve(balloon, queue, inflate);
    else if (queue == DEFLATE)
        serve(balloon, queue, deflate);
    else
        serve(balloon, queue, report);
}

/* Only how much it gave up is the driver's to write. */
static void write_config(VmmVirtio *device, uint32_t offset, const void *data, unsigned size)
{
    Balloon *balloon = of_device(device);
    if (offset != offsetof(struct virtio_balloon_config, actual) ||
        size != sizeof balloon->config.actual)
        return;
    memcpy(&balloon->config.actual, data, size);
    if (balloon->options.changed)
        balloon->options.changed(balloon->options.owner);
}

int vmm_balloon_set(VmmVirtio *device, uint64_t bytes)
{
    Balloon *balloon = of_device(device);
    uint64_t size = vmm_memory_size(device->memory);
    if (bytes > size)
        return -EINVAL;
    balloon->config.num_pages = htole32((uint32_t)((size - bytes) / PAGE));
    vmm_virtio_config_changed(device);
    return 0;
}

uint64_t vmm_balloon_get(const VmmVirtio *device)
{
    uint64_t size = vmm_memory_size(device->memory);
    uint64_t given = le32toh(((const Balloon *)device)->config.actual) * PAGE;
    return given < size ? size - given : 0;
}

uint64_t vmm_balloon_reported(const VmmVirtio *device)
{
    return ((const Balloon *)device)->reported;
}

/* What was asked for stays asked for; the driver that comes next begins with nothing given. */
static void reset(VmmVirtio *device)
{
    Balloon *balloon = of_device(device);
    balloon->config.actual = 0;
}

static void save(VmmVirtio *device, VmmStateWriter *writer)
{
    Balloon *balloon = of_device(device);
    vmm_state_put_u32(writer, le32toh(balloon->config.num_pages));
    vmm_state_put_u32(writer, le32toh(balloon->config.actual));
}

static void load(VmmVirtio *device, VmmStateReader *reader)
{
    Balloon *balloon = of_device(device);
    uint32_t asked = vmm_state_get_u32(reader), given = vmm_state_get_u32(reader);
    if (asked > vmm_memory_size(device->memory) / PAGE)
        vmm_state_refuse(reader, "the guest was asked for more than it had");
    balloon->config.num_pages = htole32(asked);
    balloon->config.actual = htole32(given);
}

static const VmmVirtioOps ops = {
    .name = "balloon",
    .id = VIRTIO_ID_BALLOON,
    .n_queues = 5,
    .queue_sizes = {QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE},
    .notify = notify,
    .write_config = write_config,
    .reset = reset,
    .save = save,
    .load = load,
};

int vmm_balloon_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop,
                    const VmmBalloonOptions *options)
{
    Balloon *balloon = calloc(1, sizeof *balloon);
    if (!balloon)
        return -ENOMEM;
    balloon->options = *options;
    balloon->device = (VmmVirtio){
        .ops = &ops,
        .memory = memory,
        .loop = loop,
        .offered =
            VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING),
        .config = (const uint8_t *)&balloon->config,
        .config_size = CONFIG_SIZE,
    };
    return vmm_virtio_init(&balloon->device, device);
}
