/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is a header, data, and a last writable byte for the outcome, in buffers that may be cut
 * anywhere. What it says is read once and bounded.
 */
#include "vmm/virtio/blk_parts.h"

#define HEADER_SIZE 16

/* Fills request->disk and returns VMM_BLK_SUBMIT, or the outcome that is known already. */
typedef int (*Handler)(VmmBlkRequest *request, uint64_t sector);

static bool is_inside(const VmmBlk *blk, uint64_t sector, uint64_t sectors)
{
    return sector <= blk->sectors && sectors <= blk->sectors - sector;
}

static int transfer(VmmBlkRequest *request, uint64_t sector, VmmDiskOp op, uint64_t length)
{
    if (length > VMM_BLK_TRANSFER_MAX || length % VMM_DISK_SECTOR != 0 ||
        !is_inside(request->blk, sector, length / VMM_DISK_SECTOR))
        return VIRTIO_BLK_S_IOERR;
    if (length == 0)
        return VIRTIO_BLK_S_OK;
    request->disk.op = op;
    request->disk.offset = sector * VMM_DISK_SECTOR;
    request->disk.length = length;
    return VMM_BLK_SUBMIT;
}

static int read_sectors(VmmBlkRequest *request, uint64_t sector)
{
    uint32_t length = request->chain.writable - 1;
    int outcome = transfer(request, sector, VMM_DISK_READ, length);
    if (outcome == VMM_BLK_SUBMIT)
        request->written = length;
    return outcome;
}

static int write_sectors(VmmBlkRequest *request, uint64_t sector)
{
    if (vmm_disk_is_read_only(request->blk->disk))
        return VIRTIO_BLK_S_IOERR;
    return transfer(request, sector, VMM_DISK_WRITE, request->chain.readable - HEADER_SIZE);
}

static int flush(VmmBlkRequest *request, uint64_t sector)
{
    request->disk.op = VMM_DISK_FLUSH;
    return VMM_BLK_SUBMIT;
}

static int get_id(VmmBlkRequest *request, uint64_t sector)
{
    uint32_t room = request->chain.writable - 1;
    uint32_t length = room < VMM_BLK_SERIAL_MAX ? room : VMM_BLK_SERIAL_MAX;
    request->written = vmm_chain_write(&request->chain, 0, request->blk->serial, length);
    return VIRTIO_BLK_S_OK;
}

/* Of a discard or a write of zeroes: the only segment that is allowed. */
static int read_segment(VmmBlkRequest *request, uint32_t max, uint32_t known_flags, uint32_t *flags)
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
    return VMM_BLK_SUBMIT;
}

static int discard(VmmBlkRequest *request, uint64_t sector)
{
    uint32_t flags;
    request->disk.op = VMM_DISK_DISCARD;
    return read_segment(request, VMM_BLK_DISCARD_SECTORS_MAX, 0, &flags);
}

static int write_zeroes(VmmBlkRequest *request, uint64_t sector)
{
    uint32_t flags = 0;
    request->disk.op = VMM_DISK_ZERO;
    int outcome = read_segment(request, VMM_BLK_ZEROES_SECTORS_MAX,
                               VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, &flags);
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

static int handle(VmmBlkRequest *request)
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
static void cut_parts(VmmBlkRequest *request)
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

int vmm_blk_understand(VmmBlkRequest *request)
{
    request->written = 0;
    request->outcome = find_outcome(&request->chain);
    int outcome = handle(request);
    if (outcome == VMM_BLK_SUBMIT)
        cut_parts(request);
    return outcome;
}
