/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: the buckets, and the devices that have them. */
#include <sys/socket.h>

#include "blk-fixture.h"
#include "net-fixture.h"
#include "vmm/rate.h"

/* --- The disk --- */

typedef struct {
    uint64_t bytes_per_second, operations_per_second;
    unsigned n;      /* requests */
    uint32_t length; /* of each */
    gint64 least;    /* microseconds that they take */
} Limit;

/* Of a tenth of a second's worth nothing waits, of the rest everything. */
static const Limit BLK_OPERATIONS = {0, 100, 30, 512, 199000};
static const Limit BLK_BYTES = {8 << 20, 0, 12, 256 << 10, 270000};
/* The first is larger than the bucket: it passes, and the next pays for it. */
static const Limit BLK_LARGE = {8 << 20, 0, 2, 2 << 20, 149000};

static void test_blk(const void *data)
{
    const Limit *limit = data;
    BlkFixture fixture;
    BlkKind kind = {.bytes_per_second = limit->bytes_per_second,
                    .operations_per_second = limit->operations_per_second};
    g_assert_true(blk_set_up(&fixture, &kind));
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; i < limit->n; i++)
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, limit->length, NULL), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, limit->least);
    blk_tear_down(&fixture);
}

/* --- The network --- */

#define NET_BURST 10 /* packets that a full bucket holds */
static const Limit NET_PACKETS = {0, 100, 30, 100, 199000};
static const Limit NET_BYTES = {100000, 0, 30, 1000 - NET_HEADER, 199000};

typedef struct {
    NetFixture net;
    const Limit *limit;
    unsigned n_begun, n_through; /* packets */
} Traffic;

/* One more packet of the guest's, and what came out. */
static void send_more(Traffic *traffic)
{
    NetFixture *net = &traffic->net;
    uint8_t outside[4096];
    if (traffic->n_begun < traffic->limit->n) {
        traffic->n_begun++;
        rig_add(net->rig, NET_TX,
                &(RigBuffer){RIG_DATA, NET_HEADER + traffic->limit->length, FALSE}, 1);
        rig_kick(net->rig, NET_TX);
    }
    while (recv(net->ends[1], outside, sizeof outside, 0) > 0)
        traffic->n_through++;
}

/* One more packet for the guest, if it fits into the socket, and what came in. */
static void receive_more(Traffic *traffic)
{
    NetFixture *net = &traffic->net;
    static const uint8_t packet[4096];
    if (traffic->n_begun < traffic->limit->n &&
        send(net->ends[1], packet, NET_HEADER + traffic->limit->length, 0) > 0) {
        traffic->n_begun++;
        net_give_room(net, 0, 4096);
    }
    vmm_loop_iterate(net->rig->loop, 0);
    while (rig_take_used(net->rig, NET_RX, NULL, NULL))
        traffic->n_through++;
}

typedef void (*More)(Traffic *traffic);

typedef struct {
    const Limit *limit;
    More more, other;
} Direction;

static const Direction SEND_PACKETS = {&NET_PACKETS, send_more, receive_more};
static const Direction SEND_BYTES = {&NET_BYTES, send_more, receive_more};
static const Direction RECEIVE_PACKETS = {&NET_PACKETS, receive_more, send_more};
static const Direction RECEIVE_BYTES = {&NET_BYTES, receive_more, send_more};

/* Until all packets are through; how long it took. */
static gint64 carry(Traffic *traffic, More more)
{
    gint64 start = g_get_monotonic_time();
    while (traffic->n_through < traffic->limit->n) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
        more(traffic);
        gboolean is_all_begun = traffic->n_begun == traffic->limit->n;
        vmm_loop_iterate(traffic->net.rig->loop, is_all_begun ? 10 : 0);
    }
    g_assert_cmpuint(traffic->n_through, ==, traffic->limit->n);
    return g_get_monotonic_time() - start;
}

/* What one direction used up is not taken from the other: a burst passes at once. */
static void test_net(const void *data)
{
    const Direction *direction = data;
    const Limit *limit = direction->limit;
    Traffic traffic = {.limit = limit};
    net_set_up_ends(&traffic.net);
    net_attach(&traffic.net, limit->bytes_per_second, limit->operations_per_second);
    rig_start(traffic.net.rig, 0);
    net_put_packet(&traffic.net, (struct virtio_net_hdr_v1){0}, limit->length);
    g_assert_cmpint(carry(&traffic, direction->more), >=, limit->least);
    net_put_packet(&traffic.net, (struct virtio_net_hdr_v1){0}, limit->length);
    traffic.n_begun = traffic.n_through = 0;
    for (unsigned i = 0; i < NET_BURST; i++)
        direction->other(&traffic);
    g_assert_cmpuint(traffic.n_through, ==, NET_BURST);
    net_tear_down(&traffic.net);
}

/* A packet that waits for the guest's room was counted when it came, and is not once more. */
static void test_net_counts_once(void)
{
    NetFixture fixture;
    net_set_up_ends(&fixture);
    net_attach(&fixture, 0, 1); /* a second */
    rig_start(fixture.rig, 0);
    net_arrive(&fixture, 100);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL));
    net_give_room(&fixture, 0, 4096);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, NULL));
    net_give_room(&fixture, 1, 4096);
    net_arrive(&fixture, 100);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL)); /* that was all of it */
    net_tear_down(&fixture);
}

/* --- The buckets --- */

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/rate/blk/operations", &BLK_OPERATIONS, test_blk);
    g_test_add_data_func("/rate/blk/bytes", &BLK_BYTES, test_blk);
    g_test_add_data_func("/rate/blk/large", &BLK_LARGE, test_blk);
    g_test_add_data_func("/rate/net/send/packets", &SEND_PACKETS, test_net);
    g_test_add_data_func("/rate/net/send/bytes", &SEND_BYTES, test_net);
    g_test_add_data_func("/rate/net/receive/packets", &RECEIVE_PACKETS, test_net);
    g_test_add_data_func("/rate/net/receive/bytes", &RECEIVE_BYTES, test_net);
    g_test_add_func("/rate/net/receive/once", test_net_counts_once);
    g_test_add_func("/rate/buckets", test_buckets);
    g_test_add_func("/rate/debt", test_buckets_go_into_debt);
    return g_test_run();
}
