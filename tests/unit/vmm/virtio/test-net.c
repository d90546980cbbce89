/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net between a driver and a socket that stands for a tap, and on a real tap where the test
 * may make one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "tool.h"
#include "vmm/virtio/net.h"

#define RX 0
#define TX 1
#define CONTROL 2
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define MERGED VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF)
#define CONTROLLED                                                                                 \
    (VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) |                         \
     VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | VIRTIO_BIT(VIRTIO_NET_F_MAC))
#define OFFLOADS (VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4))

typedef struct {
    Rig *rig;
    int ends[2]; /* the device's, and the test's */
} Fixture;

static void attach(Fixture *fixture, uint64_t packets_per_second)
{
    VmmVirtio *device = NULL;
    VmmNetOptions options = {.fd = fixture->ends[0],
                             .mac = {0x52, 0x54, 0, 1, 2, 3},
                             .packets_per_second = packets_per_second};
    fixture->rig = rig_new();
    g_assert_cmpint(vmm_net_new(&device, fixture->rig->memory, fixture->rig->loop, &options), ==,
                    0);
    rig_attach(fixture->rig, device);
}

static void set_up(Fixture *fixture, uint64_t features)
{
    g_assert_cmpint(
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fixture->ends), ==, 0);
    attach(fixture, 0);
    rig_start(fixture->rig, features);
}

static void tear_down(Fixture *fixture)
{
    rig_free(fixture->rig);
    for (unsigned i = 0; i < 2; i++)
        if (fixture->ends[i] >= 0)
            close(fixture->ends[i]);
}

/* A packet of that many bytes behind its header, each with its place's number. */
static void arrive(Fixture *fixture, uint32_t length)
{
    g_autofree uint8_t *packet = g_malloc0(HEADER + length);
    for (uint32_t i = 0; i < length; i++)
        packet[HEADER + i] = (uint8_t)(i % 251);
    g_assert_cmpint(send(fixture->ends[1], packet, HEADER + length, 0), ==, HEADER + length);
    for (unsigned i = 0; i < 4; i++)
        vmm_loop_iterate(fixture->rig->loop, 0);
}

/* The n-th buffer of the receive queue. */
static void give_room(Fixture *fixture, unsigned n, uint32_t length)
{
    rig_add(fixture->rig, RX, &(RigBuffer){RIG_DATA + 0x1000 * n, length, TRUE}, 1);
    rig_kick(fixture->rig, RX);
}

static void assert_bytes(Fixture *fixture, uint64_t gpa, uint32_t from, uint32_t length)
{
    const uint8_t *bytes = rig_at(fixture->rig, gpa, length);
    for (uint32_t i = 0; i < length; i++)
        g_assert_cmpuint(bytes[i], ==, (from + i) % 251);
}

static void test_receive(void)
{
    Fixture fixture;
    uint32_t written;
    set_up(&fixture, 0);
    give_room(&fixture, 0, 2000);
    arrive(&fixture, 1000);
    g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
    g_assert_cmpuint(written, ==, HEADER + 1000);
    assert_bytes(&fixture, RIG_DATA + HEADER, 0, 1000);
    const struct virtio_net_hdr_v1 *header = rig_at(fixture.rig, RIG_DATA, HEADER);
    g_assert_cmpuint(header->num_buffers, ==, GUINT16_TO_LE(1));
    g_assert_cmpuint(fixture.rig->n_interrupts, ==, 1);
    tear_down(&fixture);
}

static void test_receive_merged(void)
{
    Fixture fixture;
    uint32_t written;
    set_up(&fixture, MERGED);
    give_room(&fixture, 0, 1024);
    give_room(&fixture, 1, 1024);
    arrive(&fixture, 3000);
    g_assert_false(rig_take_used(fixture.rig, RX, NULL, NULL)); /* there is room for no more */
    give_room(&fixture, 2, 4096);
    g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
    g_assert_cmpuint(written, ==, 1024);
    g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
    g_assert_cmpuint(written, ==, 1024);
    g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
    g_assert_cmpuint(written, ==, HEADER + 3000 - 2048);
    const struct virtio_net_hdr_v1 *header = rig_at(fixture.rig, RIG_DATA, HEADER);
    g_assert_cmpuint(header->num_buffers, ==, GUINT16_TO_LE(3));
    assert_bytes(&fixture, RIG_DATA + HEADER, 0, 1024 - HEADER);
    assert_bytes(&fixture, RIG_DATA + 0x1000, 1024 - HEADER, 1024);
    assert_bytes(&fixture, RIG_DATA + 0x2000, 2048 - HEADER, HEADER + 3000 - 2048);
    tear_down(&fixture);
}

static void test_packets_wait_outside(void)
{
    Fixture fixture;
    set_up(&fixture, MERGED);
    for (unsigned i = 0; i < 5; i++)
        arrive(&fixture, 100 + i);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t written;
        g_assert_false(rig_take_used(fixture.rig, RX, NULL, NULL));
        give_room(&fixture, i, 2000);
        for (unsigned k = 0; k < 4; k++)
            vmm_loop_iterate(fixture.rig->loop, 0);
        g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
        g_assert_cmpuint(written, ==, HEADER + 100 + i);
    }
    tear_down(&fixture);
}

static void test_a_packet_that_never_fits_is_dropped(void)
{
    Fixture fixture;
    uint32_t written;
    set_up(&fixture, 0);
    give_room(&fixture, 0, 500);
    arrive(&fixture, 1000);
    g_assert_false(rig_take_used(fixture.rig, RX, NULL, NULL));
    arrive(&fixture, 400);
    g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
    g_assert_cmpuint(written, ==, HEADER + 400);
    tear_down(&fixture);
}

/* All the queue's buffers together are too small. */
static void test_a_packet_for_which_all_buffers_are_too_small(void)
{
    Fixture fixture;
    uint32_t written;
    set_up(&fixture, MERGED);
    for (unsigned i = 0; i < 64; i++)
        give_room(&fixture, i % 16, i == 0 ? 16 : 8);
    arrive(&fixture, 2000);
    g_assert_false(rig_take_used(fixture.rig, RX, NULL, NULL));
    arrive(&fixture, 100);
    g_assert_true(rig_take_used(fixture.rig, RX, NULL, &written));
    g_assert_cmpuint(written, ==, 16);
    g_assert_false(rig_needs_reset(fixture.rig));
    tear_down(&fixture);
}

static void put_packet(Fixture *fixture, struct virtio_net_hdr_v1 header, uint32_t length)
{
    uint8_t *bytes = rig_at(fixture->rig, RIG_DATA, HEADER + length);
    memcpy(bytes, &header, sizeof header);
    for (uint32_t i = 0; i < length; i++)
        bytes[HEADER + i] = (uint8_t)(i % 251);
}

/* Sends `length` bytes behind the header; what arrived outside, -1: nothing. */
static ssize_t leave(Fixture *fixture, struct virtio_net_hdr_v1 header, uint32_t length,
                     uint8_t *outside, size_t room)
{
    put_packet(fixture, header, length);
    RigBuffer pieces[] = {{RIG_DATA, 5, FALSE}, {RIG_DATA + 5, HEADER + length - 5, FALSE}};
    rig_add(fixture->rig, TX, pieces, 2);
    rig_kick(fixture->rig, TX);
    g_assert_true(rig_take_used(fixture->rig, TX, NULL, NULL));
    return recv(fixture->ends[1], outside, room, 0);
}

static void test_send(void)
{
    Fixture fixture;
    uint8_t outside[4096];
    set_up(&fixture, 0);
    g_assert_cmpint(leave(&fixture, (struct virtio_net_hdr_v1){0}, 1000, outside, 4096), ==,
                    HEADER + 1000);
    for (uint32_t i = 0; i < 1000; i++)
        g_assert_cmpuint(outside[HEADER + i], ==, i % 251);
    tear_down(&fixture);
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
    Fixture fixture;
    uint8_t outside[4096];
    set_up(&fixture, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++)
        g_assert_cmpint(leave(&fixture, lies[i], 100, outside, 4096), ==, -1);
    g_assert_cmpint(leave(&fixture, (struct virtio_net_hdr_v1){0}, 13, outside, 4096), ==, -1);
    g_assert_cmpint(leave(&fixture, (struct virtio_net_hdr_v1){0}, 66000, outside, 4096), ==, -1);
    /* What the driver did negotiate passes, whatever else the header says. */
    rig_start(fixture.rig, OFFLOADS);
    struct virtio_net_hdr_v1 header = {.flags = 0xff, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
    g_assert_cmpint(leave(&fixture, header, 100, outside, 4096), ==, HEADER + 100);
    g_assert_cmpuint(outside[0], ==, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    g_assert_cmpint(leave(&fixture, lies[2], 100, outside, 4096), ==, -1);
    tear_down(&fixture);
}

/* A tap that has no room holds the driver's packets back, in order. */
static void test_send_waits_for_room(void)
{
    Fixture fixture;
    uint8_t outside[2048];
    unsigned sent = 0, got = 0;
    int room = 8192;
    set_up(&fixture, 0);
    setsockopt(fixture.ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    put_packet(&fixture, (struct virtio_net_hdr_v1){0}, 1000);
    for (unsigned round = 0; round < 64; round++) {
        rig_add(fixture.rig, TX, &(RigBuffer){RIG_DATA, HEADER + 1000, FALSE}, 1);
        rig_kick(fixture.rig, TX);
    }
    while (rig_take_used(fixture.rig, TX, NULL, NULL))
        sent++;
    g_assert_cmpuint(sent, <, 64);
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (got < 64 && g_get_monotonic_time() < deadline) {
        got += recv(fixture.ends[1], outside, sizeof outside, 0) > 0;
        vmm_loop_iterate(fixture.rig->loop, 0);
    }
    g_assert_cmpuint(got, ==, 64);
    tear_down(&fixture);
}

static uint8_t command(Fixture *fixture, uint8_t class, uint8_t number, const void *data,
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
    rig_add(fixture->rig, CONTROL, parts, n);
    rig_kick(fixture->rig, CONTROL);
    rig_wait_used(fixture->rig, CONTROL);
    return *(uint8_t *)rig_at(fixture->rig, RIG_DATA + 512, 1);
}

static void test_control(void)
{
    Fixture fixture;
    const uint8_t on = 1, mac[] = {2, 4, 6, 8, 10, 12};
    const uint8_t tables[] = {1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0};
    set_up(&fixture, CONTROLLED);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 0, &on, 1), ==, VIRTIO_NET_OK);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 1, &on, 1), ==, VIRTIO_NET_OK);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof tables), ==,
                     VIRTIO_NET_OK);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x01005452);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, mac, 6), ==, VIRTIO_NET_OK);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x08060402);
    tear_down(&fixture);
}

static void test_control_that_lies(void)
{
    Fixture fixture;
    uint8_t tables[] = {0xff, 0xff, 0xff, 0xff, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0};
    set_up(&fixture, CONTROLLED);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof tables), ==, 1);
    tables[0] = tables[1] = tables[2] = tables[3] = 0;
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 0, tables, 4), ==, 1);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, tables, 5), ==, 1);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 0, NULL, 0), ==, 1);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_RX, 2, tables, 1), ==, 1);
    g_assert_cmpuint(command(&fixture, 0xff, 0xff, tables, 1), ==, 1);
    rig_start(fixture.rig, 0); /* and nothing that was not negotiated */
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, tables, 6), ==, 1);
    tear_down(&fixture);
}

static void test_config_is_not_written(void)
{
    Fixture fixture;
    set_up(&fixture, CONTROLLED);
    uint64_t refused = vmm_mmio_refused(fixture.rig->mmio);
    rig_poke(fixture.rig, VIRTIO_MMIO_CONFIG, 0xffffffff, 4);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x01005452);
    g_assert_cmpuint(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG + 6, 2), ==, 1); /* the link is up */
    g_assert_cmpuint(vmm_mmio_refused(fixture.rig->mmio), ==, refused + 1);
    tear_down(&fixture);
}

static void test_rate_limit(void)
{
    Fixture fixture;
    uint8_t outside[64];
    unsigned got = 0;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fixture.ends),
                    ==, 0);
    attach(&fixture, 100);
    rig_start(fixture.rig, 0);
    gint64 start = g_get_monotonic_time();
    put_packet(&fixture, (struct virtio_net_hdr_v1){0}, 20);
    for (unsigned i = 0; i < 30; i++)
        rig_add(fixture.rig, TX, &(RigBuffer){RIG_DATA, HEADER + 20, FALSE}, 1);
    rig_kick(fixture.rig, TX);
    while (got < 30) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
        vmm_loop_iterate(fixture.rig->loop, 100);
        while (recv(fixture.ends[1], outside, sizeof outside, 0) > 0)
            got++;
    }
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 150000);
    tear_down(&fixture);
}

static void test_save_and_load(void)
{
    Fixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    const uint8_t mac[] = {2, 4, 6, 8, 10, 12};
    set_up(&fixture, CONTROLLED | MERGED);
    g_assert_cmpuint(command(&fixture, VIRTIO_NET_CTRL_MAC, 1, mac, 6), ==, VIRTIO_NET_OK);
    vmm_mmio_pause(fixture.rig->mmio);
    arrive(&fixture, 200);
    g_assert_cmpint(vmm_mmio_save(fixture.rig->mmio, &writer), ==, 0);
    give_room(&fixture, 0, 2000);
    g_assert_false(rig_take_used(fixture.rig, RX, NULL, NULL)); /* it is paused */
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), ==, 0);
    vmm_mmio_resume(fixture.rig->mmio);
    g_assert_cmpuint(rig_wait_used(fixture.rig, RX), ==, HEADER + 200);
    g_assert_cmphex(rig_peek(fixture.rig, VIRTIO_MMIO_CONFIG, 4), ==, 0x08060402);
    vmm_state_writer_free(&writer);
    tear_down(&fixture);
}

/* --- A real tap, in a network namespace of its own --- */

static int open_tap(struct ifreq *request)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0 || unshare(CLONE_NEWNET) < 0)
        return -1;
    request->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    close(fd);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC); /* in the namespace that it shall be in */
    return ioctl(fd, TUNSETIFF, request) < 0 ? -1 : fd;
}

/* A raw socket on the tap's host side. */
static int open_host_side(struct ifreq *request)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    request->ifr_flags = IFF_UP;
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, request) < 0)
        return -1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(request->ifr_name)};
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static gboolean is_link_down(void *data)
{
    return rig_peek(data, VIRTIO_MMIO_CONFIG + 6, 2) == 0;
}

/* The guest is told, and the device waits for nothing. */
static void take_away(Fixture *fixture, const char *name)
{
    g_autofree char *ip = g_find_program_in_path("ip");
    if (!ip || run("%s link delete %s", ip, name) != 0)
        return;
    g_assert_false(is_link_down(fixture->rig));
    rig_wait(fixture->rig, is_link_down, fixture->rig);
    uint8_t frame[HEADER + 64] = {0};
    rig_put(fixture->rig, RIG_DATA, frame, sizeof frame);
    rig_add(fixture->rig, TX, &(RigBuffer){RIG_DATA, sizeof frame, FALSE}, 1);
    rig_kick(fixture->rig, TX);
    g_assert_true(rig_take_used(fixture->rig, TX, NULL, NULL));
}

static void test_real_tap(void)
{
    struct ifreq request = {.ifr_name = "vmmtest0"};
    Fixture fixture = {.ends = {open_tap(&request), -1}};
    fixture.ends[1] = fixture.ends[0] < 0 ? -1 : open_host_side(&request);
    if (fixture.ends[1] < 0) {
        g_test_skip("no tap can be made here");
        return;
    }
    uint8_t frame[64] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, 'o', 'k'};
    uint8_t outside[2048];
    attach(&fixture, 0);
    rig_start(fixture.rig, OFFLOADS | MERGED | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM));
    memset(rig_at(fixture.rig, RIG_DATA, HEADER), 0, HEADER);
    rig_put(fixture.rig, RIG_DATA + HEADER, frame, sizeof frame);
    rig_add(fixture.rig, TX, &(RigBuffer){RIG_DATA, HEADER + sizeof frame, FALSE}, 1);
    rig_kick(fixture.rig, TX);
    ssize_t n;
    do /* the kernel has things of its own to say on a new interface */
        n = recv(fixture.ends[1], outside, sizeof outside, 0);
    while (n > 0 && memcmp(outside, frame, sizeof frame) != 0);
    g_assert_cmpint(n, ==, sizeof frame);
    frame[15] = '!';
    g_assert_cmpint(send(fixture.ends[1], frame, sizeof frame, 0), ==, sizeof frame);
    uint8_t *room = rig_at(fixture.rig, RIG_DATA + 0x1000, 2048);
    do {
        give_room(&fixture, 1, 2048);
        rig_wait_used(fixture.rig, RX);
    } while (memcmp(room + HEADER, frame, sizeof frame) != 0);
    take_away(&fixture, request.ifr_name);
    tear_down(&fixture);
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
    g_test_add_func("/net/rate", test_rate_limit);
    g_test_add_func("/net/save-load", test_save_and_load);
    g_test_add_func("/net/tap", test_real_tap);
    return g_test_run();
}
