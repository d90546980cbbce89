/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk as a driver sees it, on every kind of disk and in both ways of reaching it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"
#include "tool.h"
#include "vmm/rate.h"
#include "vmm/virtio/blk.h"

#define SIZE (4U << 20)
#define SECTORS (SIZE / 512)
#define HEADER RIG_DATA
#define OUTCOME (RIG_DATA + 64)
#define DATA (RIG_DATA + 4096)
#define NOT_YET 0xaa
#define MOST_FEATURES                                                                              \
    (VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) |                           \
     VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES))

typedef struct {
    VmmDiskFormat format;
    gboolean no_uring;
    gboolean is_read_only;
    uint64_t bytes_per_second;
    uint64_t operations_per_second;
} Kind;

typedef struct {
    Rig *rig;
    int fd;
    Folder *folder;
} Fixture;

static int make_qcow2(Fixture *fixture)
{
    fixture->folder = folder_new();
    g_autofree char *path = folder_path(fixture->folder, "a.qcow2");
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s %u", path, SIZE), ==, 0);
    return open_file(path, O_RDWR);
}

/* FALSE when the test was skipped. */
static gboolean set_up(Fixture *fixture, const Kind *kind)
{
    VmmVirtio *device = NULL;
    VmmDisk *disk = NULL;
    *fixture = (Fixture){0};
    if (kind->format == VMM_DISK_QCOW2 && !has_qemu_img())
        return FALSE;
    fixture->rig = rig_new();
    if (kind->format == VMM_DISK_QCOW2) {
        fixture->fd = make_qcow2(fixture);
    } else {
        fixture->fd = memfd_create("disk", MFD_CLOEXEC);
        g_assert_cmpint(ftruncate(fixture->fd, SIZE), ==, 0);
    }
    VmmDiskOptions options = {.fds = {fixture->fd},
                              .n_fds = 1,
                              .format = kind->format,
                              .is_read_only = kind->is_read_only,
                              .no_uring = kind->no_uring};
    g_assert_cmpint(vmm_disk_new(&disk, fixture->rig->loop, &options, NULL), ==, 0);
    VmmBlkOptions blk = {.disk = disk,
                         .serial = "serial-of-the-disk",
                         .bytes_per_second = kind->bytes_per_second,
                         .operations_per_second = kind->operations_per_second};
    g_assert_cmpint(vmm_blk_new(&device, fixture->rig->memory, fixture->rig->loop, &blk), ==, 0);
    rig_attach(fixture->rig, device);
    rig_start(fixture->rig,
              vmm_disk_is_read_only(disk) ? VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) : MOST_FEATURES);
    return TRUE;
}

static void tear_down(Fixture *fixture)
{
    rig_free(fixture->rig);
    close(fixture->fd);
    if (fixture->folder)
        folder_free(fixture->folder);
}

static void put_header(Rig *rig, uint64_t at, uint32_t type, uint64_t sector)
{
    struct virtio_blk_outhdr header = {.type = GUINT32_TO_LE(type),
                                       .sector = GUINT64_TO_LE(sector)};
    rig_put(rig, at, &header, sizeof header);
}

/* Adds a request with data of that length at `gpa`; its header and outcome are `slot`'s. */
static void add_slot(Rig *rig, unsigned slot, uint32_t type, uint64_t sector, uint64_t gpa,
                     uint32_t length)
{
    gboolean is_in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    RigBuffer buffers[3] = {{HEADER + 128 * slot, 16, FALSE}};
    unsigned n = 1;
    put_header(rig, HEADER + 128 * slot, type, sector);
    if (length > 0)
        buffers[n++] = (RigBuffer){gpa, length, is_in};
    buffers[n++] = (RigBuffer){OUTCOME + 128 * slot, 1, TRUE};
    *(uint8_t *)rig_at(rig, OUTCOME + 128 * slot, 1) = NOT_YET;
    rig_add(rig, 0, buffers, n);
}

static uint8_t outcome_of(Rig *rig, unsigned slot)
{
    return *(uint8_t *)rig_at(rig, OUTCOME + 128 * slot, 1);
}

/* One request from beginning to end; its outcome. */
static uint8_t ask(Rig *rig, uint32_t type, uint64_t sector, uint32_t length, uint32_t *written)
{
    add_slot(rig, 0, type, sector, DATA, length);
    rig_kick(rig, 0);
    uint32_t got = rig_wait_used(rig, 0);
    if (written)
        *written = got;
    return outcome_of(rig, 0);
}

static const Kind kinds[] = {
    {.format = VMM_DISK_RAW},
    {.format = VMM_DISK_RAW, .no_uring = TRUE},
    {.format = VMM_DISK_QCOW2},
    {.format = VMM_DISK_QCOW2, .no_uring = TRUE},
};

static void test_what_is_written_is_read(const void *data)
{
    Fixture fixture;
    uint32_t written = 0;
    if (!set_up(&fixture, data))
        return;
    char *bytes = rig_at(fixture.rig, DATA, 8192);
    memset(bytes, 'a', 4096);
    memset(bytes + 4096, 'b', 4096);
    for (unsigned i = 0; i < 2; i++) { /* the second time it is in its place already */
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_OUT, 100, 8192, &written), ==, 0);
        g_assert_cmpuint(written, ==, 1);
    }
    memset(bytes, 0, 8192);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 101, 4096, &written), ==, 0);
    g_assert_cmpuint(written, ==, 4097);
    g_assert_cmpint(bytes[0], ==, 'a');
    g_assert_cmpint(bytes[4096 - 512 - 1], ==, 'a');
    g_assert_cmpint(bytes[4096 - 512], ==, 'b');
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, SECTORS - 1, 512, NULL), ==, 0);
    g_assert_cmpint(bytes[0], ==, 0);
    tear_down(&fixture);
}

static void test_flush(const void *data)
{
    Fixture fixture;
    if (!set_up(&fixture, data))
        return;
    memset(rig_at(fixture.rig, DATA, 512), 'x', 512);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, 0);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), ==, 0);
    tear_down(&fixture);
}

static void put_segment(Rig *rig, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes segment = {.sector = GUINT64_TO_LE(sector),
                                                      .num_sectors = GUINT32_TO_LE(sectors),
                                                      .flags = GUINT32_TO_LE(flags)};
    rig_put(rig, DATA, &segment, sizeof segment);
}

static void test_zeroes_and_discards(const void *data)
{
    Fixture fixture;
    if (!set_up(&fixture, data))
        return;
    char *bytes = rig_at(fixture.rig, DATA, 262144);
    for (unsigned round = 0; round < 3; round++) {
        uint32_t type = round < 2 ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;
        memset(bytes, 'x', 262144);
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 262144, NULL), ==, 0);
        put_segment(fixture.rig, 127, 130, round == 1);
        g_assert_cmpint(ask(fixture.rig, type, 0, 16, NULL), ==, 0);
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 262144, NULL), ==, 0);
        g_assert_cmpint(bytes[127 * 512 - 1], ==, 'x');
        if (type == VIRTIO_BLK_T_WRITE_ZEROES)
            g_assert_cmpint(bytes[127 * 512], ==, 0);
        g_assert_cmpint(bytes[128 * 512], ==, 0);
        g_assert_cmpint(bytes[256 * 512 - 1], ==, 0);
        g_assert_cmpint(bytes[257 * 512], ==, 'x');
    }
    tear_down(&fixture);
}

static void test_many_at_once(const void *data)
{
    Fixture fixture;
    if (!set_up(&fixture, data))
        return;
    Rig *rig = fixture.rig;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 16; i++) {
            memset(rig_at(rig, DATA + 8192 + i * 4096, 4096), 'A' + (char)(i + round), 4096);
            add_slot(rig, i, VIRTIO_BLK_T_OUT, i * 136, DATA + 8192 + i * 4096, 4096);
        }
        rig_kick(rig, 0);
        for (unsigned i = 0; i < 16; i++)
            rig_wait_used(rig, 0);
        for (unsigned i = 0; i < 16; i++) {
            g_assert_cmpint(outcome_of(rig, i), ==, 0);
            add_slot(rig, i, VIRTIO_BLK_T_IN, i * 136, DATA + 8192 + i * 4096, 4096);
        }
        memset(rig_at(rig, DATA + 8192, 65536), 0, 65536);
        rig_kick(rig, 0);
        for (unsigned i = 0; i < 16; i++)
            rig_wait_used(rig, 0);
        for (unsigned i = 0; i < 16; i++)
            g_assert_cmpint(*(char *)rig_at(rig, DATA + 8192 + i * 4096 + 4095, 1), ==,
                            'A' + (char)(i + round));
    }
    tear_down(&fixture);
}

/* Nothing is lost, twice or in the wrong place when the device is stopped with requests open. */
static void test_save_and_load_in_the_middle(const void *data)
{
    Fixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    if (!set_up(&fixture, data))
        return;
    Rig *rig = fixture.rig;
    for (unsigned i = 0; i < 16; i++) {
        memset(rig_at(rig, DATA + i * 4096, 4096), 'a' + (char)i, 4096);
        add_slot(rig, i, VIRTIO_BLK_T_OUT, i * 8, DATA + i * 4096, 4096);
    }
    rig_kick(rig, 0);
    vmm_mmio_pause(rig->mmio);
    add_slot(rig, 16, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
    g_assert_cmpint(vmm_mmio_save(rig->mmio, &writer), ==, 0);
    for (unsigned i = 0; i < 16; i++) {
        g_assert_true(rig_take_used(rig, 0, NULL, NULL));
        g_assert_cmpint(outcome_of(rig, i), ==, 0);
    }
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(rig->mmio, &reader), ==, 0);
    g_assert_cmphex(rig_status(rig), ==, RIG_DRIVER_OK);
    unsigned before = rig->n_interrupts;
    vmm_mmio_resume(rig->mmio);
    g_assert_cmpuint(rig->n_interrupts, >, before);
    rig_wait_used(rig, 0);
    g_assert_cmpint(outcome_of(rig, 16), ==, 0);
    g_assert_cmpint(ask(rig, VIRTIO_BLK_T_IN, 8 * 7, 4096, NULL), ==, 0);
    g_assert_cmpint(*(char *)rig_at(rig, DATA + 4095, 1), ==, 'h');
    vmm_state_writer_free(&writer);
    tear_down(&fixture);
}

static void test_reset_in_the_middle(const void *data)
{
    Fixture fixture;
    if (!set_up(&fixture, data))
        return;
    Rig *rig = fixture.rig;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 16; i++)
            add_slot(rig, i, i & 1 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i * 8, DATA, 65536);
        rig_kick(rig, 0);
        rig_write(rig, VIRTIO_MMIO_STATUS, 0);
        g_assert_cmphex(rig_status(rig), ==, 0);
        memset(rig_at(rig, DATA, 65536), 'r', 65536); /* the memory is the guest's again */
        vmm_loop_iterate(rig->loop, 0);
        g_assert_cmpint(*(char *)rig_at(rig, DATA + 100, 1), ==, 'r');
        rig_start(rig, MOST_FEATURES);
    }
    g_assert_cmpint(ask(rig, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), ==, 0);
    tear_down(&fixture);
}

/* --- What does not hang on the kind of disk --- */

static void test_config(void)
{
    Fixture fixture;
    g_assert_true(set_up(&fixture, &kinds[0]));
    uint32_t config = VIRTIO_MMIO_CONFIG;
    g_assert_cmpuint(rig_peek(fixture.rig, config, 8), ==, SECTORS);
    g_assert_cmpuint(rig_read(fixture.rig, config), ==, SECTORS);
    g_assert_cmpuint(rig_peek(fixture.rig, config + 12, 4), ==, 254);
    g_assert_cmpuint(rig_read(fixture.rig, VIRTIO_MMIO_DEVICE_ID), ==, VIRTIO_ID_BLOCK);
    tear_down(&fixture);
}

static void test_id(void)
{
    Fixture fixture;
    uint32_t written;
    g_assert_true(set_up(&fixture, &kinds[0]));
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_GET_ID, 0, 20, &written), ==, 0);
    g_assert_cmpuint(written, ==, 21);
    g_assert_cmpstr(rig_at(fixture.rig, DATA, 20), ==, "serial-of-the-disk");
    tear_down(&fixture);
}

static void test_read_only(void)
{
    Fixture fixture;
    Kind kind = {.is_read_only = TRUE};
    g_assert_true(set_up(&fixture, &kind));
    memset(rig_at(fixture.rig, DATA, 512), 'x', 512);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, VIRTIO_BLK_S_IOERR);
    put_segment(fixture.rig, 0, 8, 0);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), !=, 0);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    g_assert_cmpint(*(char *)rig_at(fixture.rig, DATA, 1), ==, 0);
    rig_write(fixture.rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    uint32_t features = rig_read(fixture.rig, VIRTIO_MMIO_DEVICE_FEATURES);
    g_assert_true(features & (1U << VIRTIO_BLK_F_RO));
    g_assert_false(features & (1U << VIRTIO_BLK_F_DISCARD));
    tear_down(&fixture);
}

static void test_beyond_the_end(void)
{
    static const struct {
        uint64_t sector;
        uint32_t length;
    } cases[] = {
        {SECTORS, 512},
        {SECTORS - 1, 1024},
        {UINT64_MAX, 512},
        {UINT64_MAX / 2, 512},
        {UINT64_MAX / 512, 512},
        {0, 511},
        {0, 513},
        {(1ULL << 55) + 1, 512},
    };
    Fixture fixture;
    g_assert_true(set_up(&fixture, &kinds[0]));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t sector = cases[i].sector;
        uint32_t length = cases[i].length;
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, sector, length, NULL), ==, 1);
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_OUT, sector, length, NULL), ==, 1);
    }
    g_assert_false(rig_needs_reset(fixture.rig));
    tear_down(&fixture);
}

static void test_segments_that_lie(void)
{
    static const struct {
        uint64_t sector;
        uint32_t sectors;
        uint32_t flags;
    } cases[] = {
        {SECTORS, 1, 0},    {0, SECTORS + 1, 0}, {UINT64_MAX, 2, 0}, {UINT64_MAX, UINT32_MAX, 0},
        {1, UINT32_MAX, 0}, {0, 8, 2},           {0, 8, UINT32_MAX},
    };
    Fixture fixture;
    g_assert_true(set_up(&fixture, &kinds[0]));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        put_segment(fixture.rig, cases[i].sector, cases[i].sectors, cases[i].flags);
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), !=, 0);
        put_segment(fixture.rig, cases[i].sector, cases[i].sectors, cases[i].flags);
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), !=, 0);
    }
    put_segment(fixture.rig, 0, 8, 0);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_DISCARD, 0, 15, NULL), ==, 2);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_DISCARD, 0, 32, NULL), ==, 2);
    g_assert_cmpint(ask(fixture.rig, 77, 0, 16, NULL), ==, VIRTIO_BLK_S_UNSUPP);
    tear_down(&fixture);
}

/* Requests without a header, without room for the outcome, with a header in pieces. */
static void test_odd_chains(void)
{
    Fixture fixture;
    g_assert_true(set_up(&fixture, &kinds[0]));
    Rig *rig = fixture.rig;
    put_header(rig, HEADER, VIRTIO_BLK_T_IN, 0);
    rig_add(rig, 0, &(RigBuffer){OUTCOME, 1, TRUE}, 1);
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 1);
    g_assert_cmpint(outcome_of(rig, 0), ==, VIRTIO_BLK_S_IOERR);
    rig_add(rig, 0, &(RigBuffer){HEADER, 16, FALSE}, 1);
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 0);
    const RigBuffer pieces[] = {{HEADER, 1, FALSE},      {HEADER + 1, 7, FALSE},
                                {HEADER + 8, 8, FALSE},  {DATA, 100, TRUE},
                                {DATA + 100, 400, TRUE}, {DATA + 500, 13, TRUE}};
    memset(rig_at(rig, DATA, 1024), 'x', 1024);
    rig_add(rig, 0, pieces, G_N_ELEMENTS(pieces));
    rig_kick(rig, 0);
    g_assert_cmpuint(rig_wait_used(rig, 0), ==, 513);
    const char *bytes = rig_at(rig, DATA, 1024);
    g_assert_cmpint(bytes[511], ==, 0);
    g_assert_cmpint(bytes[512], ==, VIRTIO_BLK_S_OK);
    g_assert_cmpint(bytes[513], ==, 'x');
    tear_down(&fixture);
}

static void test_rate_limit_delays(void)
{
    Fixture fixture;
    Kind kind = {.operations_per_second = 100};
    g_assert_true(set_up(&fixture, &kind));
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; i < 30; i++) /* 10 at once, then 1 every 10 ms */
        g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 150000);
    tear_down(&fixture);
}

/* A request larger than the whole bucket. */
static void test_rate_limit_lets_large_ones_pass(void)
{
    Fixture fixture;
    Kind kind = {.bytes_per_second = 8 << 20};
    g_assert_true(set_up(&fixture, &kind));
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 2 << 20, NULL), ==, 0);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    tear_down(&fixture);
}

static void test_buckets(void)
{
    VmmRate rate;
    const uint64_t ms = 1000000;
    vmm_rate_init(&rate, 0, 1000, 0); /* holds 100 */
    for (unsigned i = 0; i < 100; i++)
        g_assert_cmpuint(vmm_rate_take(&rate, 1 << 30, 0), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 0), ==, ms + 1);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, ms), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, ms), >, 0);
    for (unsigned i = 0; i < 100; i++) /* full again, and no fuller */
        g_assert_cmpuint(vmm_rate_take(&rate, 1, 10000 * ms), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 10000 * ms), >, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 0), >, 0); /* a clock that goes back */
}

static void test_buckets_go_into_debt(void)
{
    VmmRate rate;
    vmm_rate_init(&rate, 1000, 0, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1100, 0), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 0), ==, 1001000001);
    g_assert_cmpuint(vmm_rate_take(&rate, UINT64_MAX, 2000000000), ==, 0);
    vmm_rate_init(&rate, UINT64_MAX, UINT64_MAX, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, UINT64_MAX, 0), ==, 0);
}

/* A file that may only be read, behind a disk that should be writable. */
static void test_errors_of_the_host(gconstpointer no_uring)
{
    Fixture fixture = {.rig = rig_new()};
    VmmVirtio *device = NULL;
    VmmBlkOptions blk = {0};
    int whole = memfd_create("disk", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(whole, SIZE), ==, 0);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", whole);
    fixture.fd = open_file(path, O_RDONLY);
    VmmDiskOptions options = {.fds = {fixture.fd}, .n_fds = 1, .no_uring = no_uring != NULL};
    g_assert_cmpint(vmm_disk_new(&blk.disk, fixture.rig->loop, &options, NULL), ==, 0);
    g_assert_cmpint(vmm_blk_new(&device, fixture.rig->memory, fixture.rig->loop, &blk), ==, 0);
    rig_attach(fixture.rig, device);
    rig_start(fixture.rig, MOST_FEATURES);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, VIRTIO_BLK_S_IOERR);
    g_assert_cmpint(ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, VIRTIO_BLK_S_OK);
    g_assert_false(rig_needs_reset(fixture.rig));
    close(whole);
    tear_down(&fixture);
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

/* Without FLUSH, what was answered is in the file whatever happens. */
static void test_write_through(void)
{
    Fixture fixture;
    if (!set_up(&fixture, &kinds[2]))
        return;
    Rig *rig = fixture.rig;
    rig_start(rig, 0);
    memset(rig_at(rig, DATA, 512), 'w', 512);
    g_assert_cmpint(ask(rig, VIRTIO_BLK_T_OUT, 0, 512, NULL), ==, 0);
    VmmImage *image = NULL;
    char bytes[512] = "";
    g_assert_cmpint(vmm_qcow2_open(&image, &fixture.fd, 1, true, NULL), ==, 0);
    g_assert_cmpint(image->ops->read(image, 0, &(struct iovec){bytes, 512}, 1), ==, 0);
    g_assert_cmpint(bytes[511], ==, 'w');
    vmm_image_close(image);
    tear_down(&fixture);
}

static void test_state_of_another_disk(void)
{
    Fixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    g_assert_true(set_up(&fixture, &kinds[0]));
    vmm_mmio_pause(fixture.rig->mmio);
    g_assert_cmpint(vmm_mmio_save(fixture.rig->mmio, &writer), ==, 0);
    writer.bytes[writer.length - 8] ^= 1;
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), ==, -EINVAL);
    g_assert_nonnull(strstr(reader.why.text, "another size"));
    g_assert_cmphex(rig_status(fixture.rig), ==, 0);
    vmm_state_writer_free(&writer);
    tear_down(&fixture);
}

/* Its driver is told, and reads the new one. */
static void test_state_of_another_read_only_disk(void)
{
    Fixture fixture;
    Kind kind = {.is_read_only = TRUE};
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    g_assert_true(set_up(&fixture, &kind));
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
    tear_down(&fixture);
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
    add_for_each_kind("flush", test_flush);
    add_for_each_kind("zeroes", test_zeroes_and_discards);
    add_for_each_kind("many", test_many_at_once);
    add_for_each_kind("save-load", test_save_and_load_in_the_middle);
    add_for_each_kind("reset", test_reset_in_the_middle);
    g_test_add_func("/blk/config", test_config);
    g_test_add_func("/blk/id", test_id);
    g_test_add_func("/blk/read-only", test_read_only);
    g_test_add_func("/blk/state-of-another-read-only-disk", test_state_of_another_read_only_disk);
    g_test_add_func("/blk/beyond-end", test_beyond_the_end);
    g_test_add_func("/blk/segments", test_segments_that_lie);
    g_test_add_func("/blk/odd-chains", test_odd_chains);
    g_test_add_func("/blk/rate", test_rate_limit_delays);
    g_test_add_func("/blk/rate-large", test_rate_limit_lets_large_ones_pass);
    g_test_add_func("/blk/write-through", test_write_through);
    g_test_add_data_func("/blk/host-errors/uring", NULL, test_errors_of_the_host);
    g_test_add_data_func("/blk/host-errors/thread", "thread", test_errors_of_the_host);
    g_test_add_func("/blk/impossible", test_disks_that_cannot_be);
    g_test_add_func("/blk/other-state", test_state_of_another_disk);
    g_test_add_func("/rate/buckets", test_buckets);
    g_test_add_func("/rate/debt", test_buckets_go_into_debt);
    return g_test_run();
}
