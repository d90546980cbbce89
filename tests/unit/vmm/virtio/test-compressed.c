/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed clusters: images as qemu-img makes them, read and written beside it; and one made here
 * by hand, whose streams and entries lie.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "image-fixture.h"
#include "rig.h"
#include "vmm/disk/disk.h"
#include "vmm/disk/qcow2.h"

#define SIZE (6U << 20)

/* --- Beside qemu-img --- */

static void check_whole(const char *cluster, uint64_t size)
{
    ImageFixture fixture;
    char *raw = NULL;
    gsize length = 0;
    if (!has_qemu_img())
        return;
    image_set_up(&fixture, &(ImageKind){.cluster = cluster, .size = size, .is_compressed = TRUE});
    g_autofree char *path = g_strconcat(fixture.path, ".raw", NULL);
    g_assert_true(g_file_get_contents(path, &raw, &length, NULL));
    g_assert_cmpuint(length, ==, size);
    image_assert_same(fixture.shadow, (uint8_t *)raw, size);
    g_assert_nonnull(((VmmQcow2 *)fixture.image)->compressed);
    image_check(&fixture);
    image_tear_down(&fixture);
    g_free(raw);
}

/* The last cluster of a disk may be only a part of one. */
static void test_whole(void)
{
    static const char *const clusters[] = {"512", "4k", "64k", "2M"};
    for (size_t i = 0; i < G_N_ELEMENTS(clusters); i++)
        check_whole(clusters[i], (3U << 20) + 3 * 512);
}

static void test_changed_small_clusters(void)
{
    image_run(&(ImageKind){.cluster = "1k", .size = SIZE, .is_compressed = TRUE});
}

static void test_changed(void)
{
    image_run(&(ImageKind){.cluster = "64k", .size = SIZE, .is_compressed = TRUE});
}

static void test_changed_large_clusters(void)
{
    image_run(&(ImageKind){.cluster = "2M", .size = SIZE + 4096, .is_compressed = TRUE});
}

static void test_changed_above(void)
{
    image_run(&(ImageKind){.cluster = "64k", .size = SIZE, .backing = SIZE, .is_compressed = TRUE});
}

static void test_changed_above_a_shorter_one(void)
{
    image_run(&(ImageKind){.cluster = "4k",
                           .size = SIZE,
                           .backing = SIZE / 2 + 1024,
                           .has_middle = TRUE,
                           .is_compressed = TRUE});
}

/* At the bottom as Ubuntu publishes its images. */
static void test_changed_above_an_old_one(void)
{
    image_run(&(ImageKind){.cluster = "64k",
                           .size = SIZE,
                           .backing = SIZE,
                           .has_middle = TRUE,
                           .is_compressed = TRUE,
                           .is_old = TRUE});
}

/* --- Through the disk --- */

#define REQUESTS 24
#define REQUEST_LENGTH (200U << 10)

static void on_done(VmmDiskRequest *request, int result)
{
    g_assert_cmpint(result, ==, 0);
}

static void read_many(VmmDisk *disk, const uint8_t *expected, uint64_t size)
{
    VmmDiskRequest requests[REQUESTS];
    struct iovec parts[REQUESTS][2];
    g_autofree uint8_t *found = g_malloc(REQUESTS * REQUEST_LENGTH);
    for (size_t i = 0; i < REQUESTS; i++) {
        uint8_t *at = found + i * REQUEST_LENGTH;
        parts[i][0] = (struct iovec){at, 1536 + 512 * i};
        parts[i][1] = (struct iovec){at + 1536 + 512 * i, REQUEST_LENGTH - 1536 - 512 * i};
        requests[i] = (VmmDiskRequest){.op = VMM_DISK_READ,
                                       .offset = (size - REQUEST_LENGTH) / REQUESTS / 512 * 512 * i,
                                       .length = REQUEST_LENGTH,
                                       .parts = parts[i],
                                       .n_parts = 2,
                                       .done = on_done};
        vmm_disk_submit(disk, &requests[i]);
    }
    vmm_disk_kick(disk);
    vmm_disk_drain(disk);
    for (size_t i = 0; i < REQUESTS; i++)
        image_assert_same(found + i * REQUEST_LENGTH, expected + requests[i].offset,
                          REQUEST_LENGTH);
}

static void test_disk(gconstpointer no_uring)
{
    ImageFixture fixture;
    VmmDisk *disk = NULL;
    if (!has_qemu_img())
        return;
    image_set_up(
        &fixture,
        &(ImageKind){.cluster = "64k", .size = SIZE, .backing = SIZE, .is_compressed = TRUE});
    image_write(&fixture, 1 << 20, 100 << 10);
    image_flush(&fixture);
    vmm_image_close(fixture.image);
    g_autoptr(Rig) rig = rig_new();
    VmmDiskOptions options = {.fds = {fixture.fds[0], fixture.fds[1]},
                              .n_fds = 2,
                              .format = VMM_DISK_QCOW2,
                              .no_uring = no_uring != NULL};
    g_assert_cmpint(vmm_disk_new(&disk, rig->loop, &options, NULL), ==, 0);
    read_many(disk, fixture.shadow, SIZE);
    vmm_disk_free(disk);
    image_tear_down(&fixture);
}

/* --- By hand --- */

#define BITS 12
#define CLUSTER (1U << BITS)
#define DISK_CLUSTERS 4
#define REFCOUNT_TABLE CLUSTER
#define REFCOUNTS (2 * CLUSTER)
#define L1 (3 * CLUSTER)
#define L2 (4 * CLUSTER)
#define DATA (5 * CLUSTER)
#define FILE_LENGTH (9 * CLUSTER)
#define GOOD (8 * CLUSTER) /* where the stream of the disk's last cluster is */
#define OFFSET_BITS (62 - (BITS - 8))
#define SECTORS(n) ((uint64_t)(n) << OFFSET_BITS)

typedef struct {
    uint8_t file[FILE_LENGTH];
    uint8_t content[CLUSTER + 1];
    int fd;
    VmmImage *image;
} Hand;

static void put(Hand *hand, uint64_t offset, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        hand->file[offset + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static void put_header(Hand *hand)
{
    put(hand, 0, 0x514649fb, 4);
    put(hand, 4, 3, 4);
    put(hand, 20, BITS, 4);
    put(hand, 24, DISK_CLUSTERS * CLUSTER, 8);
    put(hand, 36, 1, 4);
    put(hand, 40, L1, 8);
    put(hand, 48, REFCOUNT_TABLE, 8);
    put(hand, 56, 1, 4);
    put(hand, 96, 4, 4);
    put(hand, 100, 104, 4);
    put(hand, REFCOUNT_TABLE, REFCOUNTS, 8);
    put(hand, L1, L2 | VMM_QCOW2_OURS, 8);
    for (unsigned i = 0; i < FILE_LENGTH / CLUSTER; i++)
        put(hand, REFCOUNTS + 2 * i, 1, 2);
}

/* Returns the stream's length. */
static uint64_t put_stream(Hand *hand, uint64_t at, uint64_t content)
{
    z_stream stream = {0};
    g_assert_cmpint(deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), ==, Z_OK);
    stream.next_in = hand->content;
    stream.avail_in = (uInt)content;
    stream.next_out = hand->file + at;
    stream.avail_out = (uInt)(FILE_LENGTH - at);
    g_assert_cmpint(deflate(&stream, Z_FINISH), ==, Z_STREAM_END);
    uint64_t length = stream.total_out;
    deflateEnd(&stream);
    return length;
}

/* That of a stream as qemu-img writes it. */
static uint64_t entry_of(uint64_t at, uint64_t length)
{
    return VMM_QCOW2_COMPRESSED | SECTORS((at + length - 1) / 512 - at / 512) | at;
}

static void hand_init(Hand *hand)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    memset(hand, 0, sizeof *hand);
    for (size_t i = 0; i < sizeof hand->content; i++)
        hand->content[i] = (uint8_t)g_rand_int_range(rand, 1, 16);
    put_header(hand);
    uint64_t length = put_stream(hand, GOOD, CLUSTER);
    put(hand, L2 + 8 * (DISK_CLUSTERS - 1), entry_of(GOOD, length), 8);
}

static void hand_open(Hand *hand, uint64_t length)
{
    hand->fd = memfd_create("image", MFD_CLOEXEC);
    g_assert_cmpint(pwrite(hand->fd, hand->file, length, 0), ==, length);
    g_assert_cmpint(vmm_qcow2_open(&hand->image, &hand->fd, 1, false, NULL), ==, 0);
}

static void hand_close(Hand *hand)
{
    vmm_image_close(hand->image);
    close(hand->fd);
}

static int hand_read(Hand *hand, uint64_t cluster, uint8_t *bytes)
{
    struct iovec part = {bytes, CLUSTER};
    return hand->image->ops->read(hand->image, cluster * CLUSTER, &part, 1);
}

static int hand_write(Hand *hand, uint64_t offset, uint64_t length)
{
    static uint8_t bytes[CLUSTER];
    memset(bytes, 'w', sizeof bytes);
    struct iovec part = {bytes, length};
    return hand->image->ops->write(hand->image, offset, &part, 1);
}

static void check_content(Hand *hand, uint64_t cluster)
{
    uint8_t found[CLUSTER];
    g_assert_cmpint(hand_read(hand, cluster, found), ==, 0);
    image_assert_same(found, hand->content, CLUSTER);
}

typedef struct {
    const char *name;
    uint64_t at;        /* of the stream; 0: at the data's beginning */
    uint64_t content;   /* bytes that it inflates to; 0: a cluster's */
    uint64_t entry;     /* 0: the one that belongs to the stream */
    uint64_t also;      /* bits of the entry that are set besides */
    unsigned fewer;     /* sectors than the stream has */
    unsigned gone;      /* bytes at the stream's end that are not in the file */
    gboolean ends_file; /* the file ends where the stream does */
    gboolean is_good;
    gboolean is_no_entry; /* the entry cannot be, whatever is there */
} Case;

#define LAST (FILE_LENGTH - 512)

static const Case cases[] = {
    {.name = "begins a cluster", .is_good = TRUE},
    {.name = "odd place", .at = DATA + 3333, .is_good = TRUE},
    {.name = "last byte of a sector", .at = DATA + 511, .is_good = TRUE},
    {.name = "more sectors than needed", .at = DATA + 3333, .also = SECTORS(15), .is_good = TRUE},
    {.name = "file ends in its last sector", .at = DATA + 77, .ends_file = TRUE, .is_good = TRUE},
    {.name = "file ends before it", .gone = 1, .ends_file = TRUE},
    {.name = "file ends long before it", .gone = 900, .ends_file = TRUE},
    {.name = "cut off", .gone = 30},
    {.name = "one sector fewer", .fewer = 1},
    {.name = "makes less than a cluster", .content = CLUSTER - 1},
    {.name = "makes nothing much", .content = 1},
    {.name = "makes more than a cluster", .content = CLUSTER + 1},
    {.name = "zeros", .entry = VMM_QCOW2_COMPRESSED | (DATA + 3 * CLUSTER - 512)},
    {.name = "a table", .entry = VMM_QCOW2_COMPRESSED | SECTORS(15) | L2},
    {.name = "the header", .entry = VMM_QCOW2_COMPRESSED | 104, .is_no_entry = TRUE},
    {.name = "nowhere", .entry = VMM_QCOW2_COMPRESSED, .is_no_entry = TRUE},
    {.name = "over the end",
     .entry = VMM_QCOW2_COMPRESSED | SECTORS(1) | LAST,
     .is_no_entry = TRUE},
    {.name = "behind", .entry = VMM_QCOW2_COMPRESSED | FILE_LENGTH, .is_no_entry = TRUE},
    {.name = "far behind", .entry = VMM_QCOW2_COMPRESSED | (SECTORS(1) - 1), .is_no_entry = TRUE},
    {.name = "all ones", .entry = UINT64_MAX, .is_no_entry = TRUE},
    {.name = "all ones but one", .entry = UINT64_MAX >> 1, .is_no_entry = TRUE},
    {.name = "said to be ours", .also = VMM_QCOW2_OURS, .is_no_entry = TRUE},
};

static void set_up_case(Hand *hand, const Case *c)
{
    hand_init(hand);
    uint64_t at = c->at ? c->at : DATA;
    uint64_t length = put_stream(hand, at, c->content ? c->content : CLUSTER);
    uint64_t entry = c->entry ? c->entry : (entry_of(at, length) - SECTORS(c->fewer)) | c->also;
    g_assert_cmpuint(length, >, c->gone);
    memset(hand->file + at + length - c->gone, 0, c->gone);
    put(hand, L2, entry, 8);
    hand_open(hand, c->ends_file ? at + length - c->gone : FILE_LENGTH);
}

static void check_bad(Hand *hand, const Case *c)
{
    uint8_t found[CLUSTER];
    VmmImage *image = hand->image;
    g_assert_cmpint(hand_read(hand, 0, found), ==, -EIO);
    g_assert_cmpint(hand_read(hand, 0, found), ==, -EIO);
    g_assert_cmpint(hand_write(hand, 512, 512), ==, -EIO);
    g_assert_cmpint(image->ops->zero(image, 512, 512, true), ==, -EIO);
    g_assert_cmpint(hand_read(hand, 0, found), ==, -EIO);
    /* Where its place is known it can be done without. */
    g_assert_cmpint(hand_write(hand, 0, CLUSTER), ==, c->is_no_entry ? -EIO : 0);
    g_assert_cmpint(image->ops->discard(image, 0, CLUSTER), ==, c->is_no_entry ? -EIO : 0);
}

static void test_by_hand(gconstpointer data)
{
    const Case *c = data;
    Hand hand;
    set_up_case(&hand, c);
    if (c->is_good)
        check_content(&hand, 0);
    else
        check_bad(&hand, c);
    if (!c->ends_file)
        check_content(&hand, DISK_CLUSTERS - 1);
    hand_close(&hand);
}

/* Nobody who is not asked to has buffers for it. */
static void test_nothing_compressed(void)
{
    Hand hand;
    uint8_t found[CLUSTER];
    hand_init(&hand);
    hand_open(&hand, FILE_LENGTH);
    g_assert_cmpint(hand_read(&hand, 0, found), ==, 0);
    g_assert_cmpint(hand_write(&hand, 0, 512), ==, 0);
    g_assert_null(((VmmQcow2 *)hand.image)->compressed);
    hand_close(&hand);
}

static void test_last_cluster_is_kept(void)
{
    static const Case good = {.is_good = TRUE};
    static const uint8_t zeros[4 * CLUSTER];
    uint8_t found[CLUSTER];
    Hand hand;
    set_up_case(&hand, &good);
    check_content(&hand, 0);
    g_assert_cmpint(pwrite(hand.fd, zeros, sizeof zeros, DATA), ==, sizeof zeros);
    check_content(&hand, 0);
    g_assert_cmpint(hand_read(&hand, DISK_CLUSTERS - 1, found), ==, -EIO);
    g_assert_cmpint(hand_read(&hand, 0, found), ==, -EIO);
    hand_close(&hand);
}

/* --- References --- */

static unsigned refcount(const Hand *hand, unsigned cluster)
{
    uint8_t count[2];
    g_assert_cmpint(pread(hand->fd, count, 2, REFCOUNTS + 2 * cluster), ==, 2);
    return count[0] << 8 | count[1];
}

/* Two streams behind each other, the second one across a boundary. */
static void set_up_two(Hand *hand)
{
    hand_init(hand);
    uint64_t first = put_stream(hand, DATA, CLUSTER), at = DATA + first;
    uint64_t second = put_stream(hand, at, CLUSTER);
    g_assert_cmpuint((at + second) / CLUSTER, ==, DATA / CLUSTER + 1);
    put(hand, L2, entry_of(DATA, first), 8);
    put(hand, L2 + 8, entry_of(at, second), 8);
    put(hand, REFCOUNTS + 2 * (DATA / CLUSTER), 2, 2);
    hand_open(hand, FILE_LENGTH);
}

static int hand_flush(Hand *hand)
{
    return hand->image->ops->flush(hand->image);
}

static void test_references(void)
{
    Hand hand;
    uint8_t found[CLUSTER];
    const unsigned shared = DATA / CLUSTER;
    set_up_two(&hand);
    g_assert_cmpint(hand_write(&hand, CLUSTER + 512, 512), ==, 0);
    /* As long as the file's tables point there. */
    g_assert_cmpuint(refcount(&hand, shared), ==, 2);
    g_assert_cmpint(hand_flush(&hand), ==, 0);
    g_assert_cmpuint(refcount(&hand, shared), ==, 1);
    g_assert_cmpuint(refcount(&hand, shared + 1), ==, 0);
    check_content(&hand, 0);
    g_assert_cmpint(hand.image->ops->zero(hand.image, 0, CLUSTER, false), ==, 0);
    g_assert_cmpint(hand_flush(&hand), ==, 0);
    g_assert_cmpuint(refcount(&hand, shared), ==, 0);
    g_assert_cmpint(hand_flush(&hand), ==, 0); /* once is enough */
    g_assert_cmpuint(refcount(&hand, shared), ==, 0);
    g_assert_cmpint(hand_read(&hand, 1, found), ==, 0);
    memset(hand.content + 512, 'w', 512);
    image_assert_same(found, hand.content, CLUSTER);
    hand_close(&hand);
}

/* A clean end leaves no leaks. */
static void test_references_at_the_end(void)
{
    Hand hand;
    set_up_two(&hand);
    g_assert_cmpint(hand_write(&hand, CLUSTER, CLUSTER), ==, 0);
    vmm_image_close(hand.image);
    g_assert_cmpuint(refcount(&hand, DATA / CLUSTER), ==, 1);
    g_assert_cmpuint(refcount(&hand, DATA / CLUSTER + 1), ==, 0);
    close(hand.fd);
}

/* A count that says less than there is goes no further down. */
static void test_references_that_lie(void)
{
    Hand hand;
    set_up_two(&hand);
    for (unsigned i = 0; i < FILE_LENGTH / CLUSTER; i++)
        g_assert_cmpint(pwrite(hand.fd, "\0", 2, REFCOUNTS + 2 * i), ==, 2);
    g_assert_cmpint(hand_write(&hand, 0, 512), ==, 0);
    g_assert_cmpint(hand_flush(&hand), ==, 0);
    g_assert_cmpuint(refcount(&hand, DATA / CLUSTER), ==, 0);
    check_content(&hand, 1);
    hand_close(&hand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/compressed/whole", test_whole);
    g_test_add_func("/compressed/changed", test_changed);
    g_test_add_func("/compressed/changed-small-clusters", test_changed_small_clusters);
    g_test_add_func("/compressed/changed-large-clusters", test_changed_large_clusters);
    g_test_add_func("/compressed/changed-above", test_changed_above);
    g_test_add_func("/compressed/changed-above-a-shorter-one", test_changed_above_a_shorter_one);
    g_test_add_func("/compressed/changed-above-an-old-one", test_changed_above_an_old_one);
    g_test_add_data_func("/compressed/disk/uring", NULL, test_disk);
    g_test_add_data_func("/compressed/disk/thread", "without io_uring", test_disk);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/compressed/by-hand/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_by_hand);
    }
    g_test_add_func("/compressed/nothing", test_nothing_compressed);
    g_test_add_func("/compressed/last-cluster-is-kept", test_last_cluster_is_kept);
    g_test_add_func("/compressed/references", test_references);
    g_test_add_func("/compressed/references-at-the-end", test_references_at_the_end);
    g_test_add_func("/compressed/references-that-lie", test_references_that_lie);
    return g_test_run();
}
