/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is a header, data, and a last writable byte for the outcome. It is read and bounded
 * once, turned into a request to the disk, and answered when that ends. At most IN_FLIGHT are under
 * way; the others wait in the ring, where a rate limit keeps them too.
 *
 * A driver that did not take the FLUSH feature believes that what was written is on the medium: for
 * it each write is followed by a flush before it is answered.
 */
#include "vmm/virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/rate.h"

#define QUEUE 0
#define QUEUE_SIZE 256
#define IN_FLIGHT 64
#define HEADER_SIZE 16
#define BLOCK_SIZE VMM_DISK_SECTOR
#define PHYSICAL_BLOCK_EXPONENT 3      /* 4096 bytes */
#define DISCARD_SECTORS_MAX (1U << 21) /* 1 GiB */
#define TRANSFER_MAX (16U << 20)       /* bytes of one request: what a reset may have to wait for */
#define ZEROES_SECTORS_MAX (1U << 17)  /* 64 MiB */
#define DISCARD_ALIGNMENT 128          /* sectors: a cluster of the copy-on-write format */

typedef struct VmmBlk VmmBlk;

typedef struct Request {
    VmmDiskRequest disk;
    VmmBlk *blk;
    struct Request *next_free;
    uint32_t written; /* bytes of data that are filled when it is answered */
    uint8_t *outcome; /* where the guest looks for it; NULL: nowhere */
    VmmChain chain;   /* its parts are cut to the data's once the request is understood */
} Request;

struct VmmBlk {
    VmmVirtio device;
    VmmDisk *disk;
    uint64_t sectors;
    VmmRate rate;
    VmmSource *rate_timer;
    bool is_draining;
    int settle_failed; /* when it was paused; then there is nothing to save */
    bool is_full;      /* the queue was left because of IN_FLIGHT */
    char serial[VMM_BLK_SERIAL_MAX];
    struct virtio_blk_config config;
    Request *free;
    Request *requests;
};

static VmmBlk *of_device(VmmVirtio *device)
{
    return (VmmBlk *)device;
}

static void process(VmmBlk *blk);

/* --- Ends --- */

/* Writes the outcome and gives the chain back. */
static void answer(Request *request, uint8_t outcome)
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

static void on_done(VmmDiskRequest *disk_request, int result)
{
    Request *request = (Request *)disk_request;
    VmmBlk *blk = request->blk;
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

/* A handler fills request->disk and returns SUBMIT, or the outcome that it knows already. */
#define SUBMIT (-1)

typedef int (*Handler)(Request *request, uint64_t sector);

static bool is_inside(const VmmBlk *blk, uint64_t sector, uint64_t sectors)
{
    return sector <= blk->sectors && sectors <= blk->sectors - sector;
}

static int transfer(Request *request, uint64_t sector, VmmDiskOp op, uint64_t length)
{
    if (length % VMM_DISK_SECTOR != 0 || !is_inside(request->blk, sector, length / VMM_DISK_SECTOR))
        return VIRTIO_BLK_S_IOERR;
    if (length == 0)
        return VIRTIO_BLK_S_OK;
    request->disk.op = op;
    request->disk.offset = sector * VMM_DISK_SECTOR;
    request->disk.length = length;
    return SUBMIT;
}

static int read_sectors(Request *request, uint64_t sector)
{
    uint32_t length = request->chain.writable - 1;
    int outcome = transfer(request, sector, VMM_DISK_READ, length);
    if (outcome == SUBMIT)
        request->written = length;
    return outcome;
}

static int write_sectors(Request *request, uint64_t sector)
{
    if (vmm_disk_is_read_only(request->blk->disk))
        return VIRTIO_BLK_S_IOERR;
    return transfer(request, sector, VMM_DISK_WRITE, request->chain.readable - HEADER_SIZE);
}

static int flush(Request *request, uint64_t sector)
{
    request->disk.op = VMM_DISK_FLUSH;
    return SUBMIT;
}

static int get_id(Request *request, uint64_t sector)
{
    uint32_t room = request->chain.writable - 1;
    uint32_t length = room < VMM_BLK_SERIAL_MAX ? room : VMM_BLK_SERIAL_MAX;
    request->written = vmm_chain_write(&request->chain, 0, request->blk->serial, length);
    return VIRTIO_BLK_S_OK;
}

/* Of a discard or a write of zeroes: the only segment that is allowed. */
static int read_segment(Request *request, uint32_t max, uint32_t known_flags, uint32_t *flags)
{
    struct virtio_blk_discard_write_zeroes segment;
    if (vmm_disk_is_read_only(request->blk->disk))
        return VIRTIO_BLK_S_IOERR;
    if (request->chain.readable != HEADER_SIZE + sizeof segment)
        return VIRTIO_BLK_S_UNSUPP;
    vmm_chain_read(&request->chain, HEADER_SIZE, &segment, sizeof segment);
    uint64_t sector = le64toh(segment.sector);
    uint32_t sectors = le32toh(segment.num_sectors);
    *flags = le32toh(segment.flags);
    if (*flags & ~known_flags)
        return VIRTIO_BLK_S_UNSUPP;
    if (sectors > max || !is_inside(request->blk, sector, sectors))
        return VIRTIO_BLK_S_IOERR;
    if (sectors == 0)
        return VIRTIO_BLK_S_OK;
    request->disk.offset = sector * VMM_DISK_SECTOR;
    request->disk.length = (uint64_t)sectors * VMM_DISK_SECTOR;
    return SUBMIT;
}

static int discard(Request *request, uint64_t sector)
{
    uint32_t flags;
    request->disk.op = VMM_DISK_DISCARD;
    return read_segment(request, DISCARD_SECTORS_MAX, 0, &flags);
}

static int write_zeroes(Request *request, uint64_t sector)
{
    uint32_t flags = 0;
    request->disk.op = VMM_DISK_ZERO;
    int outcome =
        read_segment(request, ZEROES_SECTORS_MAX, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, &flags);
    request->disk.unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    return outcome;
}

static const struct {
    uint32_t type;
    Handler handle;
} handlers[] = {
    {VIRTIO_BLK_T_IN, read_sectors}, {VIRTIO_BLK_T_OUT, write_sectors},
    {VIRTIO_BLK_T_FLUSH, flush},     {VIRTIO_BLK_T_GET_ID, get_id},
    {VIRTIO_BLK_T_DISCARD, discard}, {VIRTIO_BLK_T_WRITE_ZEROES, write_zeroes},
};

static int handle(Request *request)
{
    struct virtio_blk_outhdr header;
    if (request->chain.writable == 0 ||
        vmm_chain_read(&request->chain, 0, &header, sizeof header) < sizeof header)
        return VIRTIO_BLK_S_IOERR;
    uint32_t type = le32toh(header.type);
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].type == type)
            return handlers[i].handle(request, le64toh(header.sector));
    return VIRTIO_BLK_S_UNSUPP;
}

/* The last writable byte of the chain. */
static uint8_t *find_outcome(const VmmChain *chain)
{
    if (chain->n_writable == 0)
        return NULL;
    const struct iovec *last = &chain->parts[chain->n_readable + chain->n_writable - 1];
    return (uint8_t *)last->iov_base + last->iov_len - 1;
}

/* Leaves of the chain's parts those that the disk reads into or writes from. */
static void cut_parts(Request *request)
{
    VmmChain *chain = &request->chain;
    VmmDiskRequest *disk = &request->disk;
    struct iovec *parts = chain->parts;
    unsigned n = chain->n_readable;
    uint64_t skip = HEADER_SIZE;
    if (disk->op != VMM_DISK_READ && disk->op != VMM_DISK_WRITE)
        return;
    if (disk->op == VMM_DISK_READ) {
        parts += chain->n_readable;
        n = chain->n_writable;
        skip = 0;
    }
    disk->n_parts = vmm_parts_slice(parts, n, skip, disk->length, parts);
    disk->parts = parts;
}

static void start(VmmBlk *blk, Request *request)
{
    request->written = 0;
    request->outcome = find_outcome(&request->chain);
    request->disk = (VmmDiskRequest){.done = on_done};
    int outcome = handle(request);
    if (outcome != SUBMIT) {
        answer(request, (uint8_t)outcome);
        return;
    }
    cut_parts(request);
    vmm_disk_submit(blk->disk, &request->disk);
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

static Request *take_request(VmmBlk *blk)
{
    Request *request = blk->free;
    if (request)
        blk->free = request->next_free;
    else
        blk->is_full = true;
    return request;
}

/* False when the queue is to be left. */
static bool process_one(VmmBlk *blk)
{
    Request *request = take_request(blk);
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

static void load(VmmVirtio *device, VmmStateReader *reader)
{
    uint64_t sectors = vmm_state_get_u64(reader);
    if (!reader->failed && sectors != of_device(device)->sectors)
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
    .queue_sizes = {QUEUE_SIZE},
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
        .seg_max = htole32(QUEUE_SIZE - 2),
        .blk_size = htole32(BLOCK_SIZE),
        .physical_block_exp = PHYSICAL_BLOCK_EXPONENT,
        .min_io_size = htole16(1 << PHYSICAL_BLOCK_EXPONENT),
        .max_discard_sectors = htole32(DISCARD_SECTORS_MAX),
        .max_discard_seg = htole32(1),
        .discard_sector_alignment = htole32(DISCARD_ALIGNMENT),
        .max_write_zeroes_sectors = htole32(ZEROES_SECTORS_MAX),
        .max_write_zeroes_seg = htole32(1),
        .write_zeroes_may_unmap = 1,
    };
    blk->device.config = (const uint8_t *)&blk->config;
    blk->device.config_size = sizeof blk->config;
}

static uint64_t features(const VmmBlk *blk)
{
    uint64_t always = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
                      VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);
    if (vmm_disk_is_read_only(blk->disk))
        return always | VIRTIO_BIT(VIRTIO_BLK_F_RO);
    return always | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

static int add_requests(VmmBlk *blk)
{
    blk->requests = calloc(IN_FLIGHT, sizeof *blk->requests);
    if (!blk->requests)
        return -ENOMEM;
    for (size_t i = IN_FLIGHT; i-- > 0;) {
        blk->requests[i].blk = blk;
        blk->requests[i].next_free = blk->free;
        blk->free = &blk->requests[i];
    }
    return 0;
}

int vmm_blk_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop, const VmmBlkOptions *options)
{
    VmmBlk *blk = calloc(1, sizeof *blk);
    if (!blk)
        return -ENOMEM;
    int failed = add_requests(blk);
    if (!failed)
        failed = vmm_loop_add_timer(loop, on_rate_timer, blk, &blk->rate_timer);
    if (failed) {
        free_device(&blk->device);
        return failed;
    }
    blk->disk = options->disk;
    blk->sectors = vmm_disk_size(blk->disk) / VMM_DISK_SECTOR;
    if (options->serial)
        memcpy(blk->serial, options->serial, strnlen(options->serial, sizeof blk->serial));
    vmm_rate_init(&blk->rate, options->bytes_per_second, options->operations_per_second,
                  vmm_rate_now());
    set_config(blk);
    blk->device.ops = &ops;
    blk->device.memory = memory;
    blk->device.loop = loop;
    blk->device.offered = features(blk);
    vmm_virtio_init(&blk->device);
    *device = &blk->device;
    return 0;
}
