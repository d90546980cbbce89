/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast way is taken when a whole read or write is one stretch of one file. When the kernel did
 * not do all of it, the thread does it over, from the start: reads and writes can be repeated.
 */
#include "vmm/disk/disk.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

struct VmmDisk {
    VmmImage *image;
    VmmWorker *worker;
    VmmUring *ring; /* NULL where it is refused */
};

static int run_op(VmmImage *image, const VmmDiskRequest *request)
{
    switch (request->op) {
    case VMM_DISK_READ:
        return image->ops->read(image, request->offset, request->parts, request->n_parts);
    case VMM_DISK_WRITE:
        return image->ops->write(image, request->offset, request->parts, request->n_parts);
    case VMM_DISK_FLUSH:
        return image->ops->flush(image);
    case VMM_DISK_DISCARD:
        return image->ops->discard(image, request->offset, request->length);
    case VMM_DISK_ZERO:
        return image->ops->zero(image, request->offset, request->length, request->unmap);
    }
    return -EINVAL;
}

static bool is_change(VmmDiskOp op)
{
    return op == VMM_DISK_WRITE || op == VMM_DISK_DISCARD || op == VMM_DISK_ZERO;
}

static VmmDiskRequest *of_job(VmmJob *job)
{
    return (VmmDiskRequest *)((uint8_t *)job - offsetof(VmmDiskRequest, job));
}

static void run_job(VmmJob *job)
{
    VmmDiskRequest *request = of_job(job);
    VmmImage *image = request->disk->image;
    bool is_refused = image->is_read_only && is_change(request->op);
    request->result = is_refused ? -EROFS : run_op(image, request);
}

static void job_done(VmmJob *job)
{
    VmmDiskRequest *request = of_job(job);
    request->done(request, request->result);
}

static void give_to_worker(VmmDiskRequest *request)
{
    request->job = (VmmJob){.run = run_job, .done = job_done};
    vmm_worker_add(request->disk->worker, &request->job);
}

static void ring_done(VmmUringOp *op, int result)
{
    VmmDiskRequest *request = (VmmDiskRequest *)((uint8_t *)op - offsetof(VmmDiskRequest, ring_op));
    bool is_sync = request->op == VMM_DISK_FLUSH;
    if (result >= 0 && (is_sync || (uint64_t)result == request->length))
        request->done(request, 0);
    else
        give_to_worker(request);
}

/* Tries the fast way. False: it is not one. */
static bool give_to_ring(VmmDisk *disk, VmmDiskRequest *request)
{
    VmmImage *image = disk->image;
    bool is_write = request->op == VMM_DISK_WRITE;
    VmmExtent extent;
    request->ring_op.done = ring_done;
    if (request->op == VMM_DISK_FLUSH)
        return image->flush_is_sync &&
               vmm_uring_sync(disk->ring, &request->ring_op, image->fd) == 0;
    if (request->op != VMM_DISK_READ && !(is_write && !image->is_read_only))
        return false;
    if (!image->ops->map(image, request->offset, request->length, is_write, &extent) ||
        extent.fd < 0 || extent.length < request->length)
        return false;
    return (is_write ? vmm_uring_write : vmm_uring_read)(disk->ring, &request->ring_op, extent.fd,
                                                         request->parts, request->n_parts,
                                                         extent.offset) == 0;
}

void vmm_disk_submit(VmmDisk *disk, VmmDiskRequest *request)
{
    request->disk = disk;
    if (!disk->ring || !give_to_ring(disk, request))
        give_to_worker(request);
}

void vmm_disk_kick(VmmDisk *disk)
{
    if (disk->ring)
        vmm_uring_kick(disk->ring);
}

/* What the ring did not do goes to the worker; the ends of both may bring new requests. */
void vmm_disk_drain(VmmDisk *disk)
{
    do {
        if (disk->ring)
            vmm_uring_drain(disk->ring);
        vmm_worker_drain(disk->worker);
    } while (disk->ring && !vmm_uring_is_idle(disk->ring));
}

int vmm_disk_settle(VmmDisk *disk)
{
    vmm_disk_drain(disk);
    return disk->image->is_read_only ? 0 : disk->image->ops->flush(disk->image);
}

uint64_t vmm_disk_size(const VmmDisk *disk)
{
    return disk->image->size;
}

bool vmm_disk_is_read_only(const VmmDisk *disk)
{
    return disk->image->is_read_only;
}

static int open_image(VmmDisk *disk, const VmmDiskOptions *options, VmmError *error)
{
    if (options->n_fds == 0 || options->n_fds > VMM_DISK_FILES_MAX)
        return vmm_error(error, -EINVAL, "a disk has 1 to %d files", VMM_DISK_FILES_MAX);
    if (options->format == VMM_DISK_QCOW2)
        return vmm_qcow2_open(&disk->image, options->fds, options->n_fds, options->is_read_only,
                              error);
    if (options->n_fds > 1)
        return vmm_error(error, -EINVAL, "a raw disk is backed by nothing");
    return vmm_raw_open(&disk->image, options->fds[0], options->is_read_only, error);
}

int vmm_disk_new(VmmDisk **disk, VmmLoop *loop, const VmmDiskOptions *options, VmmError *error)
{
    VmmDisk *made = calloc(1, sizeof *made);
    if (!made)
        return vmm_error_errno(error, -ENOMEM, "a disk cannot be made");
    int failed = open_image(made, options, error);
    if (!failed) {
        failed = vmm_worker_new(&made->worker, loop, options->prepare_thread);
        if (failed)
            vmm_error_errno(error, failed, "a disk's thread cannot be started");
    }
    if (failed) {
        vmm_disk_free(made);
        return failed;
    }
    if (!options->no_uring)
        vmm_uring_new(&made->ring, loop);
    *disk = made;
    return 0;
}

void vmm_disk_free(VmmDisk *disk)
{
    if (!disk)
        return;
    if (disk->worker)
        vmm_disk_drain(disk);
    vmm_uring_free(disk->ring);
    vmm_worker_free(disk->worker);
    vmm_image_close(disk->image);
    free(disk);
}
