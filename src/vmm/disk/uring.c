/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring's own descriptor is readable while completions wait, so the loop watches it and no
 * eventfd is needed. No more operations are under way than the submission ring has entries: the
 * completion ring, twice as long, cannot overflow. The kernel takes only what is used here: the
 * entries lie in memory that whoever takes this process over can write, and what the kernel does
 * for a ring passes by the list of system calls.
 */
#include "vmm/disk/uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

struct VmmUring {
    struct io_uring ring;
    VmmSource *source;
    unsigned n_open;   /* not ended yet */
    unsigned n_unsent; /* of them, not yet given to the kernel */
};

static bool tell_one(VmmUring *ring)
{
    struct io_uring_cqe *end = NULL;
    if (io_uring_peek_cqe(&ring->ring, &end) != 0 || !end)
        return false;
    VmmUringOp *op = io_uring_cqe_get_data(end);
    int result = end->res;
    io_uring_cqe_seen(&ring->ring, end);
    ring->n_open--;
    op->done(op, result);
    return true;
}

static void tell(void *data, uint32_t events)
{
    VmmUring *ring = data;
    for (unsigned i = 0; i < 2 * VMM_URING_ENTRIES; i++)
        if (!tell_one(ring))
            break;
    vmm_uring_kick(ring);
}

static int open_ring(struct io_uring *ring)
{
    struct io_uring_restriction allowed[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
    };
    int failed = io_uring_queue_init(VMM_URING_ENTRIES, ring, IORING_SETUP_R_DISABLED);
    if (failed)
        return failed;
    failed = io_uring_register_restrictions(ring, allowed, sizeof allowed / sizeof *allowed);
    if (!failed)
        failed = io_uring_enable_rings(ring);
    if (failed)
        io_uring_queue_exit(ring);
    return failed;
}

int vmm_uring_new(VmmUring **ring, VmmLoop *loop)
{
    VmmUring *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    int failed = open_ring(&made->ring);
    if (failed) {
        free(made);
        return failed;
    }
    failed = vmm_loop_add(loop, made->ring.ring_fd, EPOLLIN, tell, made, &made->source);
    if (failed)
        vmm_uring_free(made);
    else
        *ring = made;
    return failed;
}

void vmm_uring_free(VmmUring *ring)
{
    if (!ring)
        return;
    vmm_uring_drain(ring);
    vmm_source_remove(ring->source);
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

/* NULL: the ring is full. */
static struct io_uring_sqe *add(VmmUring *ring, VmmUringOp *op, int code, int fd,
                                const struct iovec *parts, unsigned n, uint64_t offset)
{
    struct io_uring_sqe *entry =
        ring->n_open < VMM_URING_ENTRIES ? io_uring_get_sqe(&ring->ring) : NULL;
    if (!entry)
        return NULL;
    io_uring_prep_rw(code, entry, fd, parts, n, offset);
    io_uring_sqe_set_data(entry, op);
    ring->n_open++;
    ring->n_unsent++;
    return entry;
}

int vmm_uring_read(VmmUring *ring, VmmUringOp *op, int fd, const struct iovec *parts, unsigned n,
                   uint64_t offset)
{
    return add(ring, op, IORING_OP_READV, fd, parts, n, offset) ? 0 : -EBUSY;
}

int vmm_uring_write(VmmUring *ring, VmmUringOp *op, int fd, const struct iovec *parts, unsigned n,
                    uint64_t offset)
{
    return add(ring, op, IORING_OP_WRITEV, fd, parts, n, offset) ? 0 : -EBUSY;
}

int vmm_uring_sync(VmmUring *ring, VmmUringOp *op, int fd)
{
    struct io_uring_sqe *entry = add(ring, op, IORING_OP_FSYNC, fd, NULL, 0, 0);
    if (!entry)
        return -EBUSY;
    entry->fsync_flags = IORING_FSYNC_DATASYNC;
    return 0;
}

/* What the kernel cannot take now (EAGAIN, EBUSY) it is offered again at the next end. */
void vmm_uring_kick(VmmUring *ring)
{
    int sent;
    if (ring->n_unsent == 0)
        return;
    do
        sent = io_uring_submit(&ring->ring);
    while (sent == -EINTR);
    if (sent > 0)
        ring->n_unsent -= (unsigned)sent;
}

void vmm_uring_drain(VmmUring *ring)
{
    while (ring->n_open > 0) {
        struct io_uring_cqe *end = NULL;
        vmm_uring_kick(ring);
        int failed = io_uring_wait_cqe(&ring->ring, &end);
        if (failed && failed != -EINTR && failed != -EAGAIN)
            return;
        tell_one(ring);
    }
}

bool vmm_uring_is_idle(const VmmUring *ring)
{
    return ring->n_open == 0;
}
