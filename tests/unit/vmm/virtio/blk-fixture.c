/* SPDX-License-Identifier: Apache-2.0 */
#include "blk-fixture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int make_qcow2(BlkFixture *fixture)
{
    fixture->folder = folder_new();
    g_autofree char *path = folder_path(fixture->folder, "a.qcow2");
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s %u", path, BLK_DISK_SIZE), ==, 0);
    return open_file(path, O_RDWR);
}

/* Whether the kernel lets a program have a ring; skips the test when not. */
static gboolean has_ring(void)
{
    VmmLoop *loop = NULL;
    VmmUring *ring = NULL;
    g_assert_cmpint(vmm_loop_new(&loop, NULL), ==, 0);
    int failed = vmm_uring_new(&ring, loop);
    vmm_uring_free(ring);
    vmm_loop_free(loop);
    if (failed)
        g_test_skip("the kernel refuses io_uring");
    return !failed;
}

gboolean blk_set_up(BlkFixture *fixture, const BlkKind *kind)
{
    VmmVirtio *device = NULL;
    VmmDisk *disk = NULL;
    *fixture = (BlkFixture){0};
    if (kind->format == VMM_DISK_QCOW2 && !has_qemu_img())
        return FALSE;
    if (kind->way == BLK_RING && !has_ring())
        return FALSE;
    fixture->rig = rig_new();
    if (kind->format == VMM_DISK_QCOW2) {
        fixture->fd = make_qcow2(fixture);
    } else {
        fixture->fd = memfd_create("disk", MFD_CLOEXEC);
        off_t size = (off_t)(kind->size ? kind->size : BLK_DISK_SIZE);
        g_assert_cmpint(ftruncate(fixture->fd, size), ==, 0);
    }
    VmmDiskOptions options = {.fds = {fixture->fd},
                              .n_fds = 1,
                              .format = kind->format,
                              .is_read_only = kind->is_read_only,
                              .no_uring = kind->way == BLK_THREAD};
    g_assert_cmpint(vmm_disk_new(&disk, fixture->rig->loop, &options, NULL), ==, 0);
    VmmBlkOptions blk = {.disk = disk,
                         .serial = "serial-of-the-disk",
                         .bytes_per_second = kind->bytes_per_second,
                         .operations_per_second = kind->operations_per_second};
    g_assert_cmpint(vmm_blk_new(&device, fixture->rig->memory, fixture->rig->loop, &blk), ==, 0);
    rig_attach(fixture->rig, device);
    rig_start(fixture->rig,
              vmm_disk_is_read_only(disk) ? VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) : BLK_MOST_FEATURES);
    return TRUE;
}

void blk_tear_down(BlkFixture *fixture)
{
    rig_free(fixture->rig);
    close(fixture->fd);
    if (fixture->folder)
        folder_free(fixture->folder);
}

void blk_put_header(Rig *rig, uint64_t at, uint32_t type, uint64_t sector)
{
    struct virtio_blk_outhdr header = {.type = GUINT32_TO_LE(type),
                                       .sector = GUINT64_TO_LE(sector)};
    rig_put(rig, at, &header, sizeof header);
}

void blk_add_slot(Rig *rig, unsigned slot, uint32_t type, uint64_t sector, uint64_t gpa,
                  uint32_t length)
{
    gboolean is_in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    RigBuffer buffers[3] = {{BLK_HEADER + 128 * slot, 16, FALSE}};
    unsigned n = 1;
    blk_put_header(rig, BLK_HEADER + 128 * slot, type, sector);
    if (length > 0)
        buffers[n++] = (RigBuffer){gpa, length, is_in};
    buffers[n++] = (RigBuffer){BLK_OUTCOME + 128 * slot, 1, TRUE};
    *(uint8_t *)rig_at(rig, BLK_OUTCOME + 128 * slot, 1) = BLK_NOT_YET;
    rig_add(rig, 0, buffers, n);
}

uint8_t blk_outcome_of(Rig *rig, unsigned slot)
{
    return *(uint8_t *)rig_at(rig, BLK_OUTCOME + 128 * slot, 1);
}

uint8_t blk_ask(Rig *rig, uint32_t type, uint64_t sector, uint32_t length, uint32_t *written)
{
    blk_add_slot(rig, 0, type, sector, BLK_DATA, length);
    rig_kick(rig, 0);
    uint32_t got = rig_wait_used(rig, 0);
    if (written)
        *written = got;
    return blk_outcome_of(rig, 0);
}

void blk_put_segment(Rig *rig, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes segment = {.sector = GUINT64_TO_LE(sector),
                                                      .num_sectors = GUINT32_TO_LE(sectors),
                                                      .flags = GUINT32_TO_LE(flags)};
    rig_put(rig, BLK_DATA, &segment, sizeof segment);
}
