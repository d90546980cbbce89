/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is turned into one to the disk and answered when that ends. At most IN_FLIGHT are under
 * way; the others wait in the ring, where a rate limit keeps them too.
 *
 * A driver that did not take the FLUSH feature believes that what was written is on the medium: for
 * it each write is followed by a flush before it is answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/virtio/blk_parts.h"

#define QUEUE 0
#define IN_FLIGHT 64
#define BLOCK_SIZE VMM_DISK_SECTOR
#define PHYSICAL_BLOCK_EXPONENT 3 /* 4096 bytes */
#define DISCARD_ALIGNMENT 128     /* sectors: a cluster of the copy-on-write format */

static VmmBlk *of_device(VmmVirtio *device)
{
    return (VmmBlk *)device;
}

static void process(VmmBlk *blk);

/* --- Ends --- */

/* Writes the outcome and gives the chain back. */
static void answer(VmmBlkRequest *request, uint8_t outcome)
{
    VmmBlk *blk = request->blk;
    uint32_t written = 0;
    if (request->outcome) {
        *request->outcome = outcome;
        written = request->written + (uint32_t)sizeof outcome;
    }
    vmm_virtio_push(&blk->device, QUEUE, &request->chain, written);
    request->next_free = blk->free;
    blk->free = request;
}

static void go_on(VmmBlk *blk)
{
    if (!blk->is_full || blk->is_draining)
        return;
    blk->is_full = false;
    process(blk);
}

static void count(VmmBlk *blk, const VmmDiskRequest *request)
{
    if (request->op == VMM_DISK_READ)
        blk->n_read += request->length;
    if (request->op == VMM_DISK_WRITE)
        blk->n_written += request->length;
}

void vmm_blk_count(const VmmVirtio *device, uint64_t *n_read, uint64_t *n_written)
{
    const VmmBlk *blk = (const VmmBlk *)device;
    *n_read = blk->n_read;
    *n_written = blk->n_written;
}

static void on_done(VmmDiskRequest *disk_request, int result)
{
    VmmBlkRequest *request = (VmmBlkRequest *)disk_request;
    VmmBlk *blk = request->blk;
    if (result == 0)
        count(blk, disk_request);
    if (result == 0 && disk_request->op == VMM_DISK_WRITE &&
        !vmm_virtio_has(&blk->device, VIRTIO_BLK_F_FLUSH)) {
        disk_request->op = VMM_DISK_FLUSH;
        vmm_disk_submit(blk->disk, disk_request);
        vmm_disk_kick(blk->disk);
        return;
    }
    answer(request, result == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
    go_on(blk);
}

/* --- Requests --- */

static void start(VmmBlk *blk, VmmBlkRequest *request)
{
    request->disk = (VmmDiskRequest){.done = on_done};
    int outcome = vmm_blk_understand(request);
    if (outcome == VMM_BLK_SUBMIT)
        vmm_disk_submit(blk->disk, &request->disk);
    else
        answer(request, (uint8_t)outcome);
}

/* What a request costs; the header and the outcome are not worth counting out. */
static bool is_over_limit(VmmBlk *blk, const VmmChain *chain)
{
    uint64_t bytes = (uint64_t)chain->readable + chain->writable;
    uint64_t wait = vmm_rate_take(&blk->rate, bytes, vmm_rate_now());
    if (wait > 0)
        vmm_source_arm(blk->rate_timer, wait);
    return wait > 0;
}

/* Those that were never used come last, so that the memory of most is never touched. */
static VmmBlkRequest *take_request(VmmBlk *blk)
{
    VmmBlkRequest *request = blk->free;
    if (request) {
        blk->free = request->next_free;
    } else if (blk->n_used < IN_FLIGHT) {
        request = &blk->requests[blk->n_used++];
        request->blk = blk;
    } else {
        blk->is_full = true;
    }
    return request;
}

/* False when the queue is to be left. */
static bool process_one(VmmBlk *blk)
{
    VmmBlkRequest *request = take_request(blk);
    if (!request)
        return false;
    bool has_chain = vmm_virtio_pop(&blk->device, QUEUE, &request->chain);
    bool is_late = has_chain && is_over_limit(blk, &request->chain);
    if (is_late)
        vmm_queue_unpop(&blk->device.queues[QUEUE]);
    if (has_chain && !is_late) {
        start(blk, request);
        return true;
    }
    request->next_free = blk->free;
    blk->free = request;
    return false;
}

static void process(VmmBlk *blk)
{
    unsigned n = 0;
    while (n < VMM_VIRTIO_BATCH && process_one(blk))
        n++;
    if (n == VMM_VIRTIO_BATCH)
        vmm_virtio_again(&blk->device, QUEUE);
    vmm_disk_kick(blk->disk);
}

static void notify(VmmVirtio *device, unsigned queue)
{
    process(of_device(device));
}

static void on_rate_timer(void *data, uint32_t events)
{
    VmmBlk *blk = data;
    vmm_virtio_notify(&blk->device, QUEUE);
}

/* --- Life --- */

static void drain(VmmBlk *blk)
{
    blk->is_draining = true;
    vmm_disk_drain(blk->disk);
    blk->is_draining = false;
    blk->is_full = false;
}

static void reset(VmmVirtio *device)
{
    drain(of_device(device));
}

/* What is saved beside the memory, the disk's file, holds all that the guest wrote. */
static void pause_device(VmmVirtio *device)
{
    VmmBlk *blk = of_device(device);
    drain(blk);
    blk->settle_failed = vmm_disk_settle(blk->disk);
}

static void save(VmmVirtio *device, VmmStateWriter *writer)
{
    VmmBlk *blk = of_device(device);
    vmm_state_put_u64(writer, blk->sectors);
    if (!writer->failed)
        writer->failed = blk->settle_failed;
}

/* What a clone only reads may be its own, and of another size, which its driver is told. */
static void load(VmmVirtio *device, VmmStateReader *reader)
{
    const VmmBlk *blk = of_device(device);
    uint64_t sectors = vmm_state_get_u64(reader);
    if (reader->failed || sectors == blk->sectors)
        return;
    if (vmm_disk_is_read_only(blk->disk))
        vmm_virtio_config_changed(device);
    else
        vmm_state_refuse(reader, "the disk had another size");
}

static void free_device(VmmVirtio *device)
{
    VmmBlk *blk = of_device(device);
    blk->is_draining = true;
    vmm_source_remove(blk->rate_timer);
    vmm_disk_free(blk->disk);
    free(blk->requests);
    free(blk);
}

static const VmmVirtioOps ops = {
    .name = "blk",
    .id = VIRTIO_ID_BLOCK,
    .n_queues = 1,
    .queue_sizes = {VMM_BLK_QUEUE_SIZE},
    .notify = notify,
    .reset = reset,
    .pause = pause_device,
    .save = save,
    .load = load,
    .free = free_device,
};

static void set_config(VmmBlk *blk)
{
    blk->config = (struct virtio_blk_config){
        .capacity = htole64(blk->sectors),
        .size_max = htole32(VMM_BLK_SEGMENT_MAX),
        .seg_max = htole32(VMM_BLK_SEGMENTS_MAX),
        .blk_size = htole32(BLOCK_SIZE),
        .physical_block_exp = PHYSICAL_BLOCK_EXPONENT,
        .min_io_size = htole16(1 << PHYSICAL_BLOCK_EXPONENT),
        .max_discard_sectors = htole32(VMM_BLK_DISCARD_SECTORS_MAX),
        .max_discard_seg = htole32(1),
        .discard_sector_alignment = htole32(DISCARD_ALIGNMENT),
        .max_write_zeroes_sectors = htole32(VMM_BLK_ZEROES_SECTORS_MAX),
        .max_write_zeroes_seg = htole32(1),
        .write_zeroes_may_unmap = 1,
    };
    blk->device.config = (const uint8_t *)&blk->config;
    blk->device.config_size = sizeof blk->config;
}

static uint64_t features(const VmmBlk *blk)
{
    uint64_t always = VIRTIO_BIT(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
                      VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) |
                      VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);
    if (vmm_disk_is_read_only(blk->disk))
        return always | VIRTIO_BIT(VIRTIO_BLK_F_RO);
    return always | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

/* The disk is taken last, so that it stays the caller's until nothing can fail. */
int vmm_blk_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop, const VmmBlkOptions *options)
{
    VmmBlk *blk = calloc(1, sizeof *blk);
    if (!blk)
        return -ENOMEM;
    blk->device = (VmmVirtio){.ops = &ops, .memory = memory, .loop = loop};
    blk->requests = calloc(IN_FLIGHT, sizeof *blk->requests);
    int failed = blk->requests ? 0 : -ENOMEM;
    if (!failed)
        failed = vmm_loop_add_timer(loop, on_rate_timer, blk, &blk->rate_timer);
    if (failed) {
        free_device(&blk->device);
        return failed;
    }
    failed = vmm_virtio_init(&blk->device, device);
    if (failed)
        return failed;
    blk->disk = options->disk;
    blk->sectors = vmm_disk_size(blk->disk) / VMM_DISK_SECTOR;
    if (options->serial)
        memcpy(blk->serial, options->serial, strnlen(options->serial, sizeof blk->serial));
    vmm_rate_init(&blk->rate, options->bytes_per_second, options->operations_per_second,
                  vmm_rate_now());
    set_config(blk);
    blk->device.offered |= features(blk);
    return 0;
}
