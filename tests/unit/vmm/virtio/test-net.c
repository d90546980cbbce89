/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net between a driver and a socket that stands for a tap. */
#include <string.h>
#include <sys/socket.h>

#include "net-fixture.h"

#define CONTROLLED                                                                                 \
    (VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) |                         \
     VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | VIRTIO_BIT(VIRTIO_NET_F_MAC))

static void assert_bytes(NetFixture *fixture, uint64_t gpa, uint32_t from, uint32_t length)
{
    const uint8_t *bytes = rig_at(fixture->rig, gpa, length);
    for (uint32_t i = 0; i < length; i++)
        g_assert_cmpuint(bytes[i], ==, (from + i) % 251);
}

static void test_receive(void)
{
    NetFixture fixture;
    uint32_t written;
    net_set_up(&fixture, 0);
    net_give_room(&fixture, 0, 2000);
    net_arrive(&fixture, 1000);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, NET_HEADER + 1000);
    assert_bytes(&fixture, RIG_DATA + NET_HEADER, 0, 1000);
    const struct virtio_net_hdr_v1 *header = rig_at(fixture.rig, RIG_DATA, NET_HEADER);
    g_assert_cmpuint(header->num_buffers, ==, GUINT16_TO_LE(1));
    g_assert_cmpuint(fixture.rig->n_interrupts, ==, 1);
    net_tear_down(&fixture);
}

static void test_receive_merged(void)
{
    NetFixture fixture;
    uint32_t written;
    net_set_up(&fixture, NET_MERGED);
    net_give_room(&fixture, 0, 1024);
    net_give_room(&fixture, 1, 1024);
    net_arrive(&fixture, 3000);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL)); /* there is room for no more */
    net_give_room(&fixture, 2, 4096);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, 1024);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, 1024);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, NET_HEADER + 3000 - 2048);
    const struct virtio_net_hdr_v1 *header = rig_at(fixture.rig, RIG_DATA, NET_HEADER);
    g_assert_cmpuint(header->num_buffers, ==, GUINT16_TO_LE(3));
    assert_bytes(&fixture, RIG_DATA + NET_HEADER, 0, 1024 - NET_HEADER);
    assert_bytes(&fixture, RIG_DATA + 0x1000, 1024 - NET_HEADER, 1024);
    assert_bytes(&fixture, RIG_DATA + 0x2000, 2048 - NET_HEADER, NET_HEADER + 3000 - 2048);
    net_tear_down(&fixture);
}

static void test_packets_wait_outside(void)
{
    NetFixture fixture;
    net_set_up(&fixture, NET_MERGED);
    for (unsigned i = 0; i < 5; i++)
        net_arrive(&fixture, 100 + i);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t written;
        g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL));
        net_give_room(&fixture, i, 2000);
        for (unsigned k = 0; k < 4; k++)
            vmm_loop_iterate(fixture.rig->loop, 0);
        g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
        g_assert_cmpuint(written, ==, NET_HEADER + 100 + i);
    }
    net_tear_down(&fixture);
}

static void test_a_packet_that_never_fits_is_dropped(void)
{
    NetFixture fixture;
    uint32_t written;
    net_set_up(&fixture, 0);
    net_give_room(&fixture, 0, 500);
    net_arrive(&fixture, 1000);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL));
    net_arrive(&fixture, 400);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, NET_HEADER + 400);
    net_tear_down(&fixture);
}

/* All the queue's buffers together are too small. */
static void test_a_packet_for_which_all_buffers_are_too_small(void)
{
    NetFixture fixture;
    uint32_t written;
    net_set_up(&fixture, NET_MERGED);
    for (unsigned i = 0; i < 64; i++)
        net_give_room(&fixture, i % 16, i == 0 ? 16 : 8);
    net_arrive(&fixture, 2000);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL));
    net_arrive(&fixture, 100);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, 16);
    g_assert_false(rig_needs_reset(fixture.rig));
    net_tear_down(&fixture);
}

/* Sends `length` bytes behind the header; what arrived outside, -1: nothing. */
static ssize_t leave(NetFixture *fixture, struct virtio_net_hdr_v1 header, uint32_t length,
                     uint8_t *outside, size_t room)
{
    net_put_packet(fixture, header, length);
    RigBuffer pieces[] = {{RIG_DATA, 5, FALSE}, {RIG_DATA + 5, NET_HEADER + length - 5, FALSE}};
    rig_add(fixture->rig, NET_TX, pieces, 2);
    rig_kick(fixture->rig, NET_TX);
    g_assert_true(rig_take_used(fixture->rig, NET_TX, NULL, NULL));
    return recv(fixture->ends[1], outside, room, 0);
}

static void test_send(void)
{
    NetFixture fixture;
    uint8_t outside[4096];
    net_set_up(&fixture, 0);
    g_assert_cmpint(leave(&fixture, (struct virtio_net_hdr_v1){0}, 1000, outside, 4096), ==,
                    NET_HEADER + 1000);
    for (uint32_t i = 0; i < 1000; i++)
        g_assert_cmpuint(outside[NET_HEADER + i], ==, i % 251);
    net_tear_down(&fixture);
}

static void test_headers_that_lie(void)
{
    static const struct virtio_net_hdr_v1 lies[] = {
        {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM},
        {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4},
        {.gso_type = VIRTIO_NET_HDR_GSO_TCPV6},
        {.gso_type = VIRTIO_NET_HDR_GSO_UDP},
        {.gso_type = VIRTIO_NET_HDR_GSO_ECN},
        {.gso_type = 0x7f},
        {.gso_type = 0xff},
    };
    NetFixture fixture;
    uint8_t outside[4096];
    net_set_up(&fixture, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++)
        g_assert_cmpint(leave(&fixture, lies[i], 100, outside, 4096), ==, -1);
    g_assert_cmpint(leave(&fixture, (struct virtio_net_hdr_v1){0}, 13, outside, 4096), ==, -1);
    g_assert_cmpint(leave(&fixture, (struct virtio_net_hdr_v1){0}, 66000, outside, 4096), ==, -1);
    /* What the driver did negotiate passes, whatever else the header says. */
    rig_start(fixture.rig, NET_OFFLOADS);
    struct virtio_net_hdr_v1 header = {.flags = 0xff, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
    g_assert_cmpint(leave(&fixture, header, 100, outside, 4096), ==, NET_HEADER + 100);
    g_assert_cmpuint(outside[0], ==, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    g_assert_cmpint(leave(&fixture, lies[2], 100, outside, 4096), ==, -1);
    net_tear_down(&fixture);
}

/* A tap that has no room holds the driver's packets back, in order. */
static void test_send_waits_for_room(void)
{
    NetFixture fixture;
    uint8_t outside[2048];
    unsigned sent = 0, got = 0;
    int room = 8192;
    net_set_up(&fixture, 0);
    setsockopt(fixture.ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    net_put_packet(&fixture, (struct virtio_net_hdr_v1){0}, 1000);
    for (unsigned round = 0; round < 64; round++) {
        rig_add(fixture.rig, NET_TX, &(RigBuffer){RIG_DATA, NET_HEADER + 1000, FALSE}, 1);
        rig_kick(fixture.rig, NET_TX);
    }
    while (rig_take_used(fixture.rig, NET_TX, NULL, NULL))
        sent++;
    g_assert_cmpuint(sent, <, 64);
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (got < 64 && g_get_monotonic_time() < deadline) {
        got += recv(fixture.ends[1], outside, sizeof outside, 0) > 0;
        vmm_loop_iterate(fixture.rig->loop, 0);
    }
    g_assert_cmpuint(got, ==, 64);
    net_tear_down(&fixture);
}

static uint8_t command(NetFixture *fixture, uint8_t class, uint8_t number, const void *data,
                       uint32_t length)
{
    const uint8_t header[] = {class, number};
    rig_put(fixture->rig, RIG_DATA, header, 2);
    if (length > 0)
        rig_put(fixture->rig, RIG_DATA + 16, data, length);
    RigBuffer parts[3] = {{RIG_DATA, 2, FALSE}};
    unsigned n = 1;
    if (length > 0)
        parts[n++] = (RigBuffer){RIG_DATA + 16, length, FALSE};
    parts[n++] = (RigBuffer){RIG_DATA + 512, 1, TRUE};
    *(uint8_t *)rig_at(fixture->rig, RIG_DATA + 512, 1) = 0xaa;
    rig_add(fixture->rig, NET_CONTROL, parts, n);
    rig_kick(fixture->rig, NET_CONTROL);
    rig_wait_used(fixture->rig, NET_CONTROL);
    return *(uint8_t *)rig_at(fixture->rig, RIG_DATA + 512, 1);
}

static void test_control(void)
{
    NetFixture fixture;
    const uint8_t on = 1, mac[] = {2, 4, 6, 8, 10, 12};
    const uint8_t tables[] = {1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0};
    net_set_up(&fixture, CONTROLLED);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 0, &on, 1), ==, VIRTIO_NET_OK);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 1, &on, 1), ==, VIRTIO_NET_OK);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof tables), ==,
                     VIRTIO_NET_OK);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x01005452);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, mac, 6), ==, VIRTIO_NET_OK);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x08060402);
    net_tear_down(&fixture);
}

static void test_control_that_lies(void)
{
    NetFixture fixture;
    uint8_t tables[] = {0xff, 0xff, 0xff, 0xff, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0};
    net_set_up(&fixture, CONTROLLED);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof tables), ==, 1);
    tables[0] = tables[1] = tables[2] = tables[3] = 0;
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 0, tables, 4), ==, 1);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, tables, 5), ==, 1);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 0, NULL, 0), ==, 1);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 2, tables, 1), ==, 1);
    g_assert_cmpuint(command(&fixture, 0xff, 0xff, tables, 1), ==, 1);
    rig_start(fixture.rig, 0); /* and nothing that was not negotiated */
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, tables, 6), ==, 1);
    net_tear_down(&fixture);
}

static void test_config_is_not_written(void)
{
    NetFixture fixture;
    net_set_up(&fixture, CONTROLLED);
    uint64_t refused = vmm_mmio_refused(fixture.rig->mmio);
    rig_poke(fixture.rig, VIRTIO_MMIO_CONFIG, 0xffffffff, 4);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x01005452);
    g_assert_cmpuint(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG + 6, 2), ==, 1); /* the link is up */
    g_assert_cmpuint(vmm_mmio_refused(fixture.rig->mmio), ==, refused + 1);
    net_tear_down(&fixture);
}

static void test_save_and_load(void)
{
    NetFixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    const uint8_t mac[] = {2, 4, 6, 8, 10, 12};
    net_set_up(&fixture, CONTROLLED | NET_MERGED);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, mac, 6), ==, VIRTIO_NET_OK);
    vmm_mmio_pause(fixture.rig->mmio);
    net_arrive(&fixture, 200);
    g_assert_cmpint(vmm_mmio_save(fixture.rig->mmio, &writer), ==, 0);
    net_give_room(&fixture, 0, 2000);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL)); /* it is paused */
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), ==, 0);
    vmm_mmio_resume(fixture.rig->mmio);
    g_assert_cmpuint(rig_wait_used(fixture.rig, NET_RX), ==, NET_HEADER + 200);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x08060402);
    vmm_state_writer_free(&writer);
    net_tear_down(&fixture);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net/receive", test_receive);
    g_test_add_func("/net/merged", test_receive_merged);
    g_test_add_func("/net/wait", test_packets_wait_outside);
    g_test_add_func("/net/never-fits", test_a_packet_that_never_fits_is_dropped);
    g_test_add_func("/net/small-buffers", test_a_packet_for_which_all_buffers_are_too_small);
    g_test_add_func("/net/send", test_send);
    g_test_add_func("/net/headers", test_headers_that_lie);
    g_test_add_func("/net/send-waits", test_send_waits_for_room);
    g_test_add_func("/net/control", test_control);
    g_test_add_func("/net/control-lies", test_control_that_lies);
    g_test_add_func("/net/config", test_config_is_not_written);
    g_test_add_func("/net/save-load", test_save_and_load);
    return g_test_run();
}
