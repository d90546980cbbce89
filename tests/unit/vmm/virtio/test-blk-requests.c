/* SPDX-License-Identifier: Apache-2.0 */
/* What virtio-blk makes of requests, whatever the disk is and however it is reached. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk-fixture.h"

static const BlkKind PLAIN = {.format = VMM_DISK_RAW};

static void test_config(void)
{
    BlkFixture fixture;
    g_assert_true(blk_set_up(&fixture, &PLAIN));
    uint32_t config = VIRTIO_MMIO_CONFIG;
    g_assert_cmpuint(rig_peek(fixture.rig, config, 8), ==, BLK_DISK_SECTORS);
    g_assert_cmpuint(rig_read(fixture.rig, config), ==, BLK_DISK_SECTORS);
    g_assert_cmpuint(rig_peek(fixture.rig, config + 8, 4), ==, 65536); /* bytes of a segment */
    g_assert_cmpuint(rig_peek(fixture.rig, config + 12, 4), ==, 254);
    rig_write(fixture.rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    uint32_t offered = rig_read(fixture.rig, VIRTIO_MMIO_DEVICE_FEATURES);
    uint32_t told = 1U << VIRTIO_BLK_F_SIZE_MAX | 1U << VIRTIO_BLK_F_SEG_MAX;
    g_assert_cmphex(offered & told, ==, told);
    g_assert_cmpuint(rig_read(fixture.rig, VIRTIO_MMIO_DEVICE_ID), ==, VIRTIO_ID_BLOCK);
    blk_tear_down(&fixture);
}

static void test_id(void)
{
    BlkFixture fixture;
    uint32_t written;
    g_assert_true(blk_set_up(&fixture, &PLAIN));
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_GET_ID, 0, 20, &written), ==, 0);
    g_assert_cmpuint(written, ==, 21);
    g_assert_cmpstr(rig_at(fixture.rig, BLK_DATA, 20), ==, "serial-of-the-disk");
    blk_tear_down(&fixture);
}

static void test_read_only(void)
{
    BlkFixture fixture;
    BlkKind kind = {.is_read_only = TRUE};
    g_assert_true(blk_set_up(&fixture, &kind));
    memset(rig_at(fixture.rig, BLK_DATA, 512), 'x', 512);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, VIRTIO_BLK_S_IOERR);
    blk_put_segment(fixture.rig, 0, 8, 0);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), !=, 0);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    g_assert_cmpint(*(char *)rig_at(fixture.rig, BLK_DATA, 1), ==, 0);
    rig_write(fixture.rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    uint32_t features = rig_read(fixture.rig, VIRTIO_MMIO_DEVICE_FEATURES);
    g_assert_true(features & (1U << VIRTIO_BLK_F_RO));
    g_assert_false(features & (1U << VIRTIO_BLK_F_DISCARD));
    blk_tear_down(&fixture);
}

static void test_beyond_the_end(void)
{
    static const struct {
        uint64_t sector;
        uint32_t length;
    } cases[] = {
        {BLK_DISK_SECTORS, 512},
        {BLK_DISK_SECTORS - 1, 1024},
        {UINT64_MAX, 512},
        {UINT64_MAX / 2, 512},
        {UINT64_MAX / 512, 512},
        {0, 511},
        {0, 513},
        {(1ULL << 55) + 1, 512},
    };
    BlkFixture fixture;
    g_assert_true(blk_set_up(&fixture, &PLAIN));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t sector = cases[i].sector;
        uint32_t length = cases[i].length;
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, sector, length, NULL), ==, 1);
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, sector, length, NULL), ==, 1);
    }
    g_assert_false(rig_needs_reset(fixture.rig));
    blk_tear_down(&fixture);
}

/* A request of so many bytes, in buffers that all lie at the same place. */
static uint8_t ask_for(Rig *rig, uint32_t type, uint32_t length)
{
    RigBuffer buffers[32] = {{BLK_HEADER, 16, FALSE}};
    unsigned n = 1;
    blk_put_header(rig, BLK_HEADER, type, 0);
    for (uint32_t done = 0; done < length; n++) {
        uint32_t some = MIN(length - done, 1U << 20);
        buffers[n] = (RigBuffer){BLK_DATA, some, type == VIRTIO_BLK_T_IN};
        done += some;
    }
    buffers[n++] = (RigBuffer){BLK_OUTCOME, 1, TRUE};
    *(uint8_t *)rig_at(rig, BLK_OUTCOME, 1) = BLK_NOT_YET;
    rig_add(rig, 0, buffers, n);
    rig_kick(rig, 0);
    rig_wait_used(rig, 0);
    return blk_outcome_of(rig, 0);
}

/* The limit, and what is one sector beyond it: that changes nothing. */
static void test_the_largest_transfer(void)
{
    BlkFixture fixture;
    BlkKind kind = {.size = 32 << 20};
    const uint32_t max = 16 << 20;
    uint64_t n_read, n_written;
    g_assert_true(blk_set_up(&fixture, &kind));
    uint8_t *bytes = rig_at(fixture.rig, BLK_DATA, 1 << 20);
    memset(bytes, 'm', 1 << 20);
    g_assert_cmpint(ask_for(fixture.rig, VIRTIO_BLK_T_OUT, max), ==, VIRTIO_BLK_S_OK);
    memset(bytes, 'n', 1 << 20);
    g_assert_cmpint(ask_for(fixture.rig, VIRTIO_BLK_T_OUT, max + 512), ==, VIRTIO_BLK_S_IOERR);
    g_assert_cmpint(ask_for(fixture.rig, VIRTIO_BLK_T_IN, max + 512), ==, VIRTIO_BLK_S_IOERR);
    g_assert_cmpint(bytes[0], ==, 'n');
    g_assert_cmpint(ask_for(fixture.rig, VIRTIO_BLK_T_IN, max), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpint(bytes[0], ==, 'm');
    g_assert_cmpint(bytes[(1 << 20) - 1], ==, 'm');
    vmm_blk_count(vmm_mmio_device(fixture.rig->mmio), &n_read, &n_written);
    g_assert_cmpuint(n_read, ==, max);
    g_assert_cmpuint(n_written, ==, max);
    g_assert_false(rig_needs_reset(fixture.rig));
    blk_tear_down(&fixture);
}

/* As many of the largest segments as the driver is told of. */
static void test_the_most_segments(void)
{
    BlkFixture fixture;
    BlkKind kind = {.size = 32 << 20};
    VirtqDescriptor table[256] = {{0}};
    g_assert_true(blk_set_up(&fixture, &kind));
    Rig *rig = fixture.rig;
    uint32_t max = rig_read(rig, VIRTIO_MMIO_CONFIG + 8),
             n = rig_read(rig, VIRTIO_MMIO_CONFIG + 12);
    g_assert_cmpuint(n, <=, G_N_ELEMENTS(table) - 2);
    rig_start(rig, BLK_MOST_FEATURES | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC));
    blk_put_header(rig, BLK_HEADER, VIRTIO_BLK_T_IN, 0);
    *(uint8_t *)rig_at(rig, BLK_OUTCOME, 1) = BLK_NOT_YET;
    for (uint32_t i = 0; i <= n + 1; i++)
        table[i] = (VirtqDescriptor){GUINT64_TO_LE(i == 0 ? BLK_HEADER : BLK_DATA + 0x10000),
                                     GUINT32_TO_LE(i == 0 ? 16 : max),
                                     GUINT16_TO_LE(VIRTQ_DESC_NEXT | (i ? VIRTQ_DESC_WRITE : 0)),
                                     GUINT16_TO_LE((uint16_t)(i + 1))};
    table[n + 1] = (VirtqDescriptor){GUINT64_TO_LE(BLK_OUTCOME), GUINT32_TO_LE(1),
                                     GUINT16_TO_LE(VIRTQ_DESC_WRITE), 0};
    rig_put(rig, BLK_DATA, table, sizeof table);
    rig_describe(rig, 0, 0, BLK_DATA, (n + 2) * sizeof *table, VIRTQ_DESC_INDIRECT, 0);
    rig_offer(rig, 0, 0);
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, n * max + 1);
    g_assert_cmpint(blk_outcome_of(rig, 0), ==, VIRTIO_BLK_S_OK);
    blk_tear_down(&fixture);
}

static void test_segments_that_lie(void)
{
    static const struct {
        uint64_t sector;
        uint32_t sectors;
        uint32_t flags;
    } cases[] = {
        {BLK_DISK_SECTORS, 1, 0},    {0, BLK_DISK_SECTORS + 1, 0}, {UINT64_MAX, 2, 0},
        {UINT64_MAX, UINT32_MAX, 0}, {1, UINT32_MAX, 0},           {0, 8, 2},
        {0, 8, UINT32_MAX},
    };
    BlkFixture fixture;
    g_assert_true(blk_set_up(&fixture, &PLAIN));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        blk_put_segment(fixture.rig, cases[i].sector, cases[i].sectors, cases[i].flags);
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), !=, 0);
        blk_put_segment(fixture.rig, cases[i].sector, cases[i].sectors, cases[i].flags);
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), !=, 0);
    }
    blk_put_segment(fixture.rig, 0, 8, 0);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_DISCARD, 0, 15, NULL), ==, 2);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_DISCARD, 0, 32, NULL), ==, 2);
    g_assert_cmpint(blk_ask(fixture.rig, 77, 0, 16, NULL), ==, VIRTIO_BLK_S_UNSUPP);
    blk_tear_down(&fixture);
}

/* Requests without a header, without room for the outcome, with a header in pieces. */
static void test_odd_chains(void)
{
    BlkFixture fixture;
    g_assert_true(blk_set_up(&fixture, &PLAIN));
    Rig *rig = fixture.rig;
    blk_put_header(rig, BLK_HEADER, VIRTIO_BLK_T_IN, 0);
    rig_add(rig, 0, &(RigBuffer){BLK_OUTCOME, 1, TRUE}, 1);
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 1);
    g_assert_cmpint(blk_outcome_of(rig, 0), ==, VIRTIO_BLK_S_IOERR);
    rig_add(rig, 0, &(RigBuffer){BLK_HEADER, 16, FALSE}, 1);
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 0);
    const RigBuffer pieces[] = {{BLK_HEADER, 1, FALSE},      {BLK_HEADER + 1, 7, FALSE},
                                {BLK_HEADER + 8, 8, FALSE},  {BLK_DATA, 100, TRUE},
                                {BLK_DATA + 100, 400, TRUE}, {BLK_DATA + 500, 13, TRUE}};
    memset(rig_at(rig, BLK_DATA, 1024), 'x', 1024);
    rig_add(rig, 0, pieces, G_N_ELEMENTS(pieces));
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 513);
    const char *bytes = rig_at(rig, BLK_DATA, 1024);
    g_assert_cmpint(bytes[511], ==, 0);
    g_assert_cmpint(bytes[512], ==, VIRTIO_BLK_S_OK);
    g_assert_cmpint(bytes[513], ==, 'x');
    blk_tear_down(&fixture);
}

/* A file that may only be read, behind a disk that should be writable. */
static void test_errors_of_the_host(gconstpointer no_uring)
{
    BlkFixture fixture = {.rig = rig_new()};
    VmmVirtio *device = NULL;
    VmmBlkOptions blk = {0};
    int whole = memfd_create("disk", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(whole, BLK_DISK_SIZE), ==, 0);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", whole);
    fixture.fd = open_file(path, O_RDONLY);
    VmmDiskOptions options = {.fds = {fixture.fd}, .n_fds = 1, .no_uring = no_uring != NULL};
    g_assert_cmpint(vmm_disk_new(&blk.disk, fixture.rig->loop, &options, NULL), ==, 0);
    g_assert_cmpint(vmm_blk_new(&device, fixture.rig->memory, fixture.rig->loop, &blk), ==, 0);
    rig_attach(fixture.rig, device);
    rig_start(fixture.rig, BLK_MOST_FEATURES);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, VIRTIO_BLK_S_IOERR);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, VIRTIO_BLK_S_OK);
    g_assert_false(rig_needs_reset(fixture.rig));
    close(whole);
    blk_tear_down(&fixture);
}

static void test_disks_that_cannot_be(void)
{
    g_autoptr(Rig) rig = rig_new();
    VmmDisk *disk = NULL;
    VmmError error = {""};
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    VmmDiskOptions options = {.fds = {ends[0], ends[1]}, .n_fds = 1};
    g_assert_cmpint(vmm_disk_new(&disk, rig->loop, &options, &error), ==, -ESPIPE);
    g_assert_nonnull(strstr(error.text, "size"));
    options.n_fds = 2;
    g_assert_cmpint(vmm_disk_new(&disk, rig->loop, &options, &error), ==, -EINVAL);
    g_assert_nonnull(strstr(error.text, "backed by nothing"));
    options.n_fds = 0;
    g_assert_cmpint(vmm_disk_new(&disk, rig->loop, &options, &error), ==, -EINVAL);
    options.n_fds = VMM_DISK_FILES_MAX + 1;
    g_assert_cmpint(vmm_disk_new(&disk, rig->loop, &options, &error), ==, -EINVAL);
    g_assert_null(disk);
    close(ends[0]);
    close(ends[1]);
}

static void test_state_of_another_disk(void)
{
    BlkFixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    g_assert_true(blk_set_up(&fixture, &PLAIN));
    vmm_mmio_pause(fixture.rig->mmio);
    g_assert_cmpint(vmm_mmio_save(fixture.rig->mmio, &writer), ==, 0);
    writer.bytes[writer.length - 8] ^= 1;
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), ==, -EINVAL);
    g_assert_nonnull(strstr(reader.why.text, "another size"));
    g_assert_cmphex(rig_status(fixture.rig), ==, 0);
    vmm_state_writer_free(&writer);
    blk_tear_down(&fixture);
}

/* Its driver is told, and reads the new one. */
static void test_state_of_another_read_only_disk(void)
{
    BlkFixture fixture;
    BlkKind kind = {.is_read_only = TRUE};
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    g_assert_true(blk_set_up(&fixture, &kind));
    rig_start(fixture.rig, 0);
    uint32_t generation = rig_read(fixture.rig, VIRTIO_MMIO_CONFIG_GENERATION);
    vmm_mmio_pause(fixture.rig->mmio);
    g_assert_cmpint(vmm_mmio_save(fixture.rig->mmio, &writer), ==, 0);
    writer.bytes[writer.length - 8] ^= 1;
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), ==, 0);
    g_assert_cmpuint(rig_read(fixture.rig, VIRTIO_MMIO_CONFIG_GENERATION), !=, generation);
    g_assert_cmphex(rig_read(fixture.rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG,
                    !=, 0);
    vmm_state_writer_free(&writer);
    blk_tear_down(&fixture);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/blk/config", test_config);
    g_test_add_func("/blk/id", test_id);
    g_test_add_func("/blk/read-only", test_read_only);
    g_test_add_func("/blk/state-of-another-read-only-disk", test_state_of_another_read_only_disk);
    g_test_add_func("/blk/beyond-end", test_beyond_the_end);
    g_test_add_func("/blk/largest-transfer", test_the_largest_transfer);
    g_test_add_func("/blk/most-segments", test_the_most_segments);
    g_test_add_func("/blk/segments", test_segments_that_lie);
    g_test_add_func("/blk/odd-chains", test_odd_chains);
    g_test_add_data_func("/blk/host-errors/uring", NULL, test_errors_of_the_host);
    g_test_add_data_func("/blk/host-errors/thread", "thread", test_errors_of_the_host);
    g_test_add_func("/blk/impossible", test_disks_that_cannot_be);
    g_test_add_func("/blk/other-state", test_state_of_another_disk);
    return g_test_run();
}
