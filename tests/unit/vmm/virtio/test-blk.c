/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk as a driver sees it, on every kind of disk and in both ways of reaching it: a ring of
 * the kernel's, and a thread. What is given to the ring, and each sync, is seen on its way.
 */
#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/uio.h>

#include "blk-fixture.h"

static struct {
    unsigned transfers; /* reads and writes that the ring was given */
    unsigned ring_syncs;
    unsigned syncs;      /* of the thread */
    int fd;              /* that is synced */
    gboolean ring_fails; /* its syncs do */
    int failure;         /* of the thread's syncs */
} seen;

static void see(struct io_uring_sqe *entry)
{
    gboolean is_transfer = entry->opcode == IORING_OP_READV || entry->opcode == IORING_OP_WRITEV;
    seen.transfers += is_transfer;
    if (entry->opcode != IORING_OP_FSYNC)
        return;
    g_assert_cmphex(entry->fsync_flags, ==, IORING_FSYNC_DATASYNC);
    seen.fd = entry->fd;
    seen.ring_syncs++;
    if (seen.ring_fails)
        entry->fd = -1;
}

/* The linker puts these in the places of the functions (meson.build). */
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++)
        see(&ring->sq.sqes[i & *ring->sq.kring_mask]);
    return __real_io_uring_submit(ring);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    seen.syncs++;
    seen.fd = fd;
    errno = seen.failure;
    return seen.failure ? -1 : __real_fdatasync(fd);
}

static const BlkKind kinds[] = {
    {.format = VMM_DISK_RAW, .way = BLK_RING},
    {.format = VMM_DISK_RAW, .way = BLK_THREAD},
    {.format = VMM_DISK_QCOW2, .way = BLK_RING},
    {.format = VMM_DISK_QCOW2, .way = BLK_THREAD},
};

/* Forgets what was seen, and sets up. */
static gboolean set_up(BlkFixture *fixture, const BlkKind *kind)
{
    memset(&seen, 0, sizeof seen);
    return blk_set_up(fixture, kind);
}

/* A disk with a ring uses it, and one without does not. */
static void assert_way(const BlkKind *kind)
{
    g_assert_cmpint(seen.transfers > 0, ==, kind->way == BLK_RING);
}

static void test_what_is_written_is_read(const void *data)
{
    BlkFixture fixture;
    uint32_t written = 0;
    if (!set_up(&fixture, data))
        return;
    char *bytes = rig_at(fixture.rig, BLK_DATA, 8192);
    memset(bytes, 'a', 4096);
    memset(bytes + 4096, 'b', 4096);
    for (unsigned i = 0; i < 2; i++) { /* the second time it is in its place already */
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 100, 8192, &written), ==, 0);
        g_assert_cmpuint(written, ==, 1);
    }
    memset(bytes, 0, 8192);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 101, 4096, &written), ==, 0);
    g_assert_cmpuint(written, ==, 4097);
    g_assert_cmpint(bytes[0], ==, 'a');
    g_assert_cmpint(bytes[4096 - 512 - 1], ==, 'a');
    g_assert_cmpint(bytes[4096 - 512], ==, 'b');
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, BLK_DISK_SECTORS - 1, 512, NULL), ==, 0);
    g_assert_cmpint(bytes[0], ==, 0);
    assert_way(data);
    blk_tear_down(&fixture);
}

static void test_zeroes_and_discards(const void *data)
{
    BlkFixture fixture;
    if (!set_up(&fixture, data))
        return;
    char *bytes = rig_at(fixture.rig, BLK_DATA, 262144);
    for (unsigned round = 0; round < 3; round++) {
        uint32_t type = round < 2 ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;
        memset(bytes, 'x', 262144);
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 262144, NULL), ==, 0);
        blk_put_segment(fixture.rig, 127, 130, round == 1);
        g_assert_cmpint(blk_ask(fixture.rig, type, 0, 16, NULL), ==, 0);
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 262144, NULL), ==, 0);
        g_assert_cmpint(bytes[127 * 512 - 1], ==, 'x');
        if (type == VIRTIO_BLK_T_WRITE_ZEROES)
            g_assert_cmpint(bytes[127 * 512], ==, 0);
        g_assert_cmpint(bytes[128 * 512], ==, 0);
        g_assert_cmpint(bytes[256 * 512 - 1], ==, 0);
        g_assert_cmpint(bytes[257 * 512], ==, 'x');
    }
    blk_tear_down(&fixture);
}

static void test_many_at_once(const void *data)
{
    BlkFixture fixture;
    if (!set_up(&fixture, data))
        return;
    Rig *rig = fixture.rig;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 16; i++) {
            memset(rig_at(rig, BLK_DATA + 8192 + i * 4096, 4096), 'A' + (char)(i + round), 4096);
            blk_add_slot(rig, i, VIRTIO_BLK_T_OUT, i * 136, BLK_DATA + 8192 + i * 4096, 4096);
        }
        rig_kick(rig, 0);
        for (unsigned i = 0; i < 16; i++)
            rig_wait_used(rig, 0);
        for (unsigned i = 0; i < 16; i++) {
            g_assert_cmpint(blk_outcome_of(rig, i), ==, 0);
            blk_add_slot(rig, i, VIRTIO_BLK_T_IN, i * 136, BLK_DATA + 8192 + i * 4096, 4096);
        }
        memset(rig_at(rig, BLK_DATA + 8192, 65536), 0, 65536);
        rig_kick(rig, 0);
        for (unsigned i = 0; i < 16; i++)
            rig_wait_used(rig, 0);
        for (unsigned i = 0; i < 16; i++)
            g_assert_cmpint(*(char *)rig_at(rig, BLK_DATA + 8192 + i * 4096 + 4095, 1), ==,
                            'A' + (char)(i + round));
    }
    assert_way(data);
    blk_tear_down(&fixture);
}

/* Nothing is lost, twice or in the wrong place when the device is stopped with requests open. */
static void test_save_and_load_in_the_middle(const void *data)
{
    BlkFixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    if (!set_up(&fixture, data))
        return;
    Rig *rig = fixture.rig;
    for (unsigned i = 0; i < 16; i++) {
        memset(rig_at(rig, BLK_DATA + i * 4096, 4096), 'a' + (char)i, 4096);
        blk_add_slot(rig, i, VIRTIO_BLK_T_OUT, i * 8, BLK_DATA + i * 4096, 4096);
    }
    rig_kick(rig, 0);
    vmm_mmio_pause(rig->mmio);
    blk_add_slot(rig, 16, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
    g_assert_cmpint(vmm_mmio_save(rig->mmio, &writer), ==, 0);
    for (unsigned i = 0; i < 16; i++) {
        g_assert_true(rig_take_used(rig, 0, NULL, NULL));
        g_assert_cmpint(blk_outcome_of(rig, i), ==, 0);
    }
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(rig->mmio, &reader), ==, 0);
    g_assert_cmphex(rig_status(rig), ==, RIG_DRIVER_OK);
    unsigned before = rig->n_interrupts;
    vmm_mmio_resume(rig->mmio);
    g_assert_cmpuint(rig->n_interrupts, >, before);
    rig_wait_used(rig, 0);
    g_assert_cmpint(blk_outcome_of(rig, 16), ==, 0);
    g_assert_cmpint(blk_ask(rig, VIRTIO_BLK_T_IN, 8 * 7, 4096, NULL), ==, 0);
    g_assert_cmpint(*(char *)rig_at(rig, BLK_DATA + 4095, 1), ==, 'h');
    vmm_state_writer_free(&writer);
    blk_tear_down(&fixture);
}

static void test_reset_in_the_middle(const void *data)
{
    BlkFixture fixture;
    if (!set_up(&fixture, data))
        return;
    Rig *rig = fixture.rig;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 16; i++)
            blk_add_slot(rig, i, i & 1 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i * 8, BLK_DATA,
                         65536);
        rig_kick(rig, 0);
        rig_write(rig, VIRTIO_MMIO_STATUS, 0);
        g_assert_cmphex(rig_status(rig), ==, 0);
        memset(rig_at(rig, BLK_DATA, 65536), 'r', 65536); /* the memory is the guest's again */
        vmm_loop_iterate(rig->loop, 0);
        g_assert_cmpint(*(char *)rig_at(rig, BLK_DATA + 100, 1), ==, 'r');
        rig_start(rig, BLK_MOST_FEATURES);
    }
    g_assert_cmpint(blk_ask(rig, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), ==, 0);
    blk_tear_down(&fixture);
}

/* --- What is flushed is on the medium --- */

/* Since the last look: a raw disk syncs as it is reached, once; an image's tables are synced by the
 * thread. */
static void assert_synced(const BlkFixture *fixture, const BlkKind *kind)
{
    gboolean is_ring_sync = kind->format == VMM_DISK_RAW && kind->way == BLK_RING;
    g_assert_cmpint(seen.fd, ==, fixture->fd);
    g_assert_cmpuint(seen.ring_syncs, ==, is_ring_sync);
    if (kind->format == VMM_DISK_RAW)
        g_assert_cmpuint(seen.syncs, ==, !is_ring_sync);
    else
        g_assert_cmpuint(seen.syncs, >, 0);
    seen.ring_syncs = seen.syncs = 0;
    seen.fd = -1;
}

static void assert_not_synced(void)
{
    g_assert_cmpuint(seen.ring_syncs + seen.syncs, ==, 0);
}

static void test_flush(const void *data)
{
    BlkFixture fixture;
    if (!set_up(&fixture, data))
        return;
    memset(rig_at(fixture.rig, BLK_DATA, 512), 'x', 512);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, i, 512, NULL), ==, 0);
        assert_not_synced();
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), ==, 0);
        assert_synced(&fixture, data);
    }
    blk_tear_down(&fixture);
}

/* What the ring cannot sync, the thread does; what it cannot either, the driver is told. */
static void test_flush_fails(const void *data)
{
    BlkFixture fixture;
    const BlkKind *kind = data;
    if (!set_up(&fixture, kind))
        return;
    memset(rig_at(fixture.rig, BLK_DATA, 512), 'x', 512);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, 0);
    seen.ring_fails = TRUE;
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(seen.syncs, >, 0);
    seen.failure = EIO;
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, 0);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), ==, VIRTIO_BLK_S_IOERR);
    g_assert_false(rig_needs_reset(fixture.rig));
    seen.failure = 0;
    blk_tear_down(&fixture);
}

/* Without FLUSH, what was answered is on the medium, and a write whose sync fails has failed. */
static void test_write_through(const void *data)
{
    BlkFixture fixture;
    if (!set_up(&fixture, data))
        return;
    rig_start(fixture.rig, 0);
    memset(rig_at(fixture.rig, BLK_DATA, 512), 'w', 512);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, i, 512, NULL), ==, 0);
        assert_synced(&fixture, data);
    }
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    assert_not_synced();
    seen.failure = EIO;
    seen.ring_fails = TRUE;
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, VIRTIO_BLK_S_IOERR);
    seen.failure = 0;
    blk_tear_down(&fixture);
}

/* The same of an image: it is found by who opens the file anew. */
static void test_write_through_an_image(void)
{
    BlkFixture fixture;
    if (!set_up(&fixture, &kinds[2]))
        return;
    Rig *rig = fixture.rig;
    rig_start(rig, 0);
    memset(rig_at(rig, BLK_DATA, 512), 'w', 512);
    g_assert_cmpint(blk_ask(rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, 0);
    VmmImage *image = NULL;
    char bytes[512] = "";
    g_assert_cmpint(vmm_qcow2_open(&image, &fixture.fd, 1, true, NULL), ==, 0);
    g_assert_cmpint(image->ops->read(image, 0, &(struct iovec){bytes, 512}, 1), ==, 0);
    g_assert_cmpint(bytes[511], ==, 'w');
    vmm_image_close(image);
    blk_tear_down(&fixture);
}

static void add_for_each_kind(const char *name, GTestDataFunc function)
{
    static const char *const names[] = {"raw", "raw-thread", "qcow2", "qcow2-thread"};
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/blk/%s/%s", name, names[i]);
        g_test_add_data_func(path, &kinds[i], function);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_for_each_kind("read-write", test_what_is_written_is_read);
    add_for_each_kind("zeroes", test_zeroes_and_discards);
    add_for_each_kind("many", test_many_at_once);
    add_for_each_kind("save-load", test_save_and_load_in_the_middle);
    add_for_each_kind("reset", test_reset_in_the_middle);
    add_for_each_kind("flush", test_flush);
    add_for_each_kind("flush-fails", test_flush_fails);
    add_for_each_kind("write-through", test_write_through);
    g_test_add_func("/blk/write-through-image", test_write_through_an_image);
    return g_test_run();
}
