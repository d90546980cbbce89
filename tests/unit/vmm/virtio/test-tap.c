/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net on a tap. What the device asks of it is seen on its way, and may be refused, where the
 * tap is none; packets pass through a real one, in a network namespace of its own, where the test
 * may make one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-fixture.h"
#include "tool.h"

#define BIT(feature) VIRTIO_BIT(VIRTIO_NET_F_GUEST_##feature)
#define GUEST_OFFLOADS (BIT(CSUM) | BIT(TSO4) | BIT(TSO6) | BIT(ECN))
#define ALL_FLAGS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

/* --- A tap that is none --- */

static struct {
    gboolean is_on;
    int failure;         /* of TUNSETOFFLOAD */
    unsigned long flags; /* of the last one */
    unsigned n_calls;
} fake;

/* The linker puts it in the place of ioctl() (meson.build). */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    unsigned long argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (!fake.is_on || (request != TUNSETOFFLOAD && request != TUNSETVNETHDRSZ))
        return __real_ioctl(fd, request, argument);
    if (request == TUNSETVNETHDRSZ)
        return 0;
    fake.n_calls++;
    fake.flags = argument;
    errno = fake.failure;
    return fake.failure ? -1 : 0;
}

static void set_up_fake(NetFixture *fixture, int failure)
{
    memset(&fake, 0, sizeof fake);
    fake.is_on = TRUE;
    fake.failure = failure;
    net_set_up_ends(fixture);
    net_attach(fixture, 0, 0);
}

static void tear_down_fake(NetFixture *fixture)
{
    fake.is_on = FALSE;
    net_tear_down(fixture);
}

static uint64_t offered(const NetFixture *fixture)
{
    return vmm_mmio_device(fixture->rig->mmio)->offered;
}

static gboolean is_link_down(void *data)
{
    return rig_peek(data, VIRTIO_MMIO_CONFIG + 6, 2) == 0;
}

static void test_what_the_driver_takes_is_set(void)
{
    static const struct {
        uint64_t features;
        unsigned long flags;
    } cases[] = {
        {0, 0},
        {BIT(CSUM), TUN_F_CSUM},
        {BIT(CSUM) | BIT(TSO4), TUN_F_CSUM | TUN_F_TSO4},
        {BIT(CSUM) | BIT(TSO6), TUN_F_CSUM | TUN_F_TSO6},
        {BIT(CSUM) | BIT(TSO4) | BIT(ECN), TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN},
        {GUEST_OFFLOADS, ALL_FLAGS},
        {BIT(TSO4) | BIT(TSO6) | BIT(ECN), 0}, /* they rest on the first */
        {NET_OFFLOADS, 0},                     /* the other direction */
    };
    NetFixture fixture;
    set_up_fake(&fixture, 0);
    g_assert_cmphex(fake.flags, ==, 0); /* until there is a driver */
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        unsigned before = fake.n_calls;
        rig_start(fixture.rig, cases[i].features);
        g_assert_cmpuint(fake.n_calls, ==, before + 1);
        g_assert_cmphex(fake.flags, ==, cases[i].flags);
    }
    tear_down_fake(&fixture);
}

/* They are not offered; all else works. */
static void test_a_tap_without_offloads(void)
{
    NetFixture fixture;
    uint32_t written;
    set_up_fake(&fixture, 0);
    uint64_t others = offered(&fixture) & ~GUEST_OFFLOADS;
    g_assert_cmphex(offered(&fixture), ==, others | GUEST_OFFLOADS);
    tear_down_fake(&fixture);
    set_up_fake(&fixture, EINVAL);
    g_assert_cmphex(offered(&fixture), ==, others);
    unsigned calls = fake.n_calls;
    rig_start(fixture.rig, others);
    g_assert_cmpuint(fake.n_calls, ==, calls); /* such a tap is asked once */
    g_assert_false(is_link_down(fixture.rig));
    net_give_room(&fixture, 0, 2000);
    net_arrive(&fixture, 100);
    g_assert_true(rig_take_used(fixture.rig, NET_RX, NULL, &written));
    g_assert_cmpuint(written, ==, NET_HEADER + 100);
    tear_down_fake(&fixture);
}

/* Packets as they are now might be none that the driver takes: it sees the cable taken out. */
static void test_a_tap_that_refuses_later(void)
{
    NetFixture fixture;
    uint8_t outside[64];
    set_up_fake(&fixture, 0);
    fake.failure = EIO;
    rig_start(fixture.rig, GUEST_OFFLOADS);
    g_assert_true(is_link_down(fixture.rig));
    g_assert_cmphex(rig_read(fixture.rig, VIRTIO_MMIO_INTERRUPT_STATUS), ==,
                    VIRTIO_MMIO_INT_CONFIG);
    net_give_room(&fixture, 0, 2000);
    net_arrive(&fixture, 100);
    rig_kick(fixture.rig, NET_RX);
    g_assert_false(rig_take_used(fixture.rig, NET_RX, NULL, NULL));
    net_put_packet(&fixture, (struct virtio_net_hdr_v1){0}, 50);
    rig_add(fixture.rig, NET_TX, &(RigBuffer){RIG_DATA, NET_HEADER + 50, FALSE}, 1);
    rig_kick(fixture.rig, NET_TX);
    g_assert_true(rig_take_used(fixture.rig, NET_TX, NULL, NULL));
    g_assert_cmpint(recv(fixture.ends[1], outside, sizeof outside, 0), ==, -1);
    g_assert_false(rig_needs_reset(fixture.rig));
    tear_down_fake(&fixture);
}

static void test_state_sets_offloads(void)
{
    NetFixture fixture;
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    set_up_fake(&fixture, 0);
    rig_start(fixture.rig, BIT(CSUM) | BIT(TSO4));
    vmm_mmio_pause(fixture.rig->mmio);
    g_assert_cmpint(vmm_mmio_save(fixture.rig->mmio, &writer), ==, 0);
    fake.flags = 0;
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), ==, 0);
    g_assert_cmphex(fake.flags, ==, TUN_F_CSUM | TUN_F_TSO4);
    fake.failure = EIO;
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture.rig->mmio, &reader), <, 0);
    g_assert_nonnull(strstr(reader.why.text, "offloads"));
    vmm_state_writer_free(&writer);
    tear_down_fake(&fixture);
}

/* --- A real one --- */

/* The name that all have: each is in a namespace of its own. */
#define NAME "vmmtest0"

static int open_tap(struct ifreq *request)
{
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    request->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd >= 0 && ioctl(fd, TUNSETIFF, request) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A raw socket on the tap's host side, whose frames have a header like the tap's. */
static int open_host_side(struct ifreq *request)
{
    int on = 1;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    request->ifr_flags = IFF_UP;
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, request) < 0)
        return -1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(request->ifr_name)};
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on), ==, 0);
    return fd;
}

/* FALSE when the test was skipped. */
static gboolean set_up_tap(NetFixture *fixture, uint64_t features)
{
    struct ifreq request = {.ifr_name = NAME};
    *fixture = (NetFixture){.ends = {open_tap(&request), -1}};
    fixture->ends[1] = fixture->ends[0] < 0 ? -1 : open_host_side(&request);
    if (fixture->ends[1] < 0) {
        g_test_skip("no tap can be made here");
        return FALSE;
    }
    net_attach(fixture, 0, 0);
    rig_start(fixture->rig, features);
    return TRUE;
}

#define SEGMENT 1448
#define PAYLOAD 10000
#define TCP_FRAME (sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define SHORT_HEADER sizeof(struct virtio_net_hdr) /* of a packet socket */

typedef struct {
    struct virtio_net_hdr_v1 header;
    struct ether_header ethernet;
    struct iphdr ip;
    struct tcphdr tcp;
    uint8_t payload[PAYLOAD];
} __attribute__((packed)) Frame;

/* One that is larger than any on a wire, to be cut by whoever has to. */
static void make_large_frame(Frame *frame)
{
    *frame = (Frame){
        .header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                   .hdr_len = GUINT16_TO_LE(TCP_FRAME),
                   .gso_size = GUINT16_TO_LE(SEGMENT),
                   .csum_start = GUINT16_TO_LE(TCP_FRAME - sizeof(struct tcphdr)),
                   .csum_offset = GUINT16_TO_LE(offsetof(struct tcphdr, check))},
        .ethernet = {.ether_dhost = {2, 0, 0, 0, 0, 1},
                     .ether_shost = {2, 0, 0, 0, 0, 2},
                     .ether_type = htons(ETHERTYPE_IP)},
        .ip = {.version = 4,
               .ihl = 5,
               .tot_len = htons(sizeof *frame - offsetof(Frame, ip)),
               .ttl = 64,
               .protocol = IPPROTO_TCP,
               .saddr = htonl(0x0a630001),
               .daddr = htonl(0x0a630002)},
        .tcp = {.source = htons(1000), .dest = htons(2000), .doff = 5, .ack = 1},
    };
    for (unsigned i = 0; i < PAYLOAD; i++)
        frame->payload[i] = (uint8_t)(i % 251);
}

/* The next frame of TCP from outside; the kernel has things of its own to say on a new interface.
 */
static ssize_t receive_outside(NetFixture *fixture, uint8_t *bytes, size_t room)
{
    const struct ether_header *ethernet = (const void *)(bytes + SHORT_HEADER);
    ssize_t n;
    do
        n = recv(fixture->ends[1], bytes, room, 0);
    while (n > 0 && ethernet->ether_type != htons(ETHERTYPE_IP));
    return n;
}

static void test_large_frame_leaves(void)
{
    NetFixture fixture;
    Frame frame;
    uint8_t outside[SHORT_HEADER + sizeof frame];
    if (!set_up_tap(&fixture, NET_OFFLOADS))
        return;
    make_large_frame(&frame);
    rig_put(fixture.rig, RIG_DATA, &frame, sizeof frame);
    rig_add(fixture.rig, NET_TX, &(RigBuffer){RIG_DATA, sizeof frame, FALSE}, 1);
    rig_kick(fixture.rig, NET_TX);
    g_assert_cmpint(receive_outside(&fixture, outside, sizeof outside), ==,
                    SHORT_HEADER + sizeof frame - NET_HEADER);
    const struct virtio_net_hdr *header = (const void *)outside;
    g_assert_cmpuint(header->gso_type, ==, VIRTIO_NET_HDR_GSO_TCPV4);
    g_assert_cmpuint(header->gso_size, ==, SEGMENT);
    g_assert_cmpuint(header->flags, ==, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    g_assert_cmpmem(outside + SHORT_HEADER, sizeof frame - NET_HEADER, &frame.ethernet,
                    sizeof frame - NET_HEADER);
    net_tear_down(&fixture);
}

static void send_from_outside(NetFixture *fixture)
{
    Frame frame;
    uint8_t bytes[SHORT_HEADER + sizeof frame - NET_HEADER];
    make_large_frame(&frame);
    memcpy(bytes, &frame.header, SHORT_HEADER);
    memcpy(bytes + SHORT_HEADER, &frame.ethernet, sizeof bytes - SHORT_HEADER);
    g_assert_cmpint(send(fixture->ends[1], bytes, sizeof bytes, 0), ==, sizeof bytes);
}

/* The next frame of TCP that the guest gets, in one buffer; how long it is. */
static uint32_t receive_inside(NetFixture *fixture, Frame *frame)
{
    uint32_t length;
    do {
        net_give_room(fixture, 0, 65536 + 128);
        length = rig_wait_used(fixture->rig, NET_RX);
        g_assert_cmpuint(length, <=, sizeof *frame);
        memcpy(frame, rig_at(fixture->rig, RIG_DATA, length), length);
    } while (frame->ethernet.ether_type != htons(ETHERTYPE_IP));
    return length;
}

static void test_large_frame_arrives(void)
{
    NetFixture fixture;
    Frame frame, sent;
    if (!set_up_tap(&fixture, BIT(CSUM) | BIT(TSO4) | NET_MERGED))
        return;
    send_from_outside(&fixture);
    g_assert_cmpuint(receive_inside(&fixture, &frame), ==, sizeof frame);
    g_assert_cmpuint(frame.header.gso_type, ==, VIRTIO_NET_HDR_GSO_TCPV4);
    g_assert_cmpuint(GUINT16_FROM_LE(frame.header.gso_size), ==, SEGMENT);
    g_assert_cmpuint(frame.header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, !=, 0);
    make_large_frame(&sent);
    g_assert_cmpmem(frame.payload, PAYLOAD, sent.payload, PAYLOAD);
    net_tear_down(&fixture);
}

/* To a driver that takes none the tap gives what it can take, also after one that took them. */
static void test_large_frame_arrives_in_pieces(void)
{
    NetFixture fixture;
    Frame frame;
    uint32_t payload = 0;
    if (!set_up_tap(&fixture, BIT(CSUM) | BIT(TSO4) | NET_MERGED))
        return;
    rig_start(fixture.rig, NET_MERGED);
    send_from_outside(&fixture);
    while (payload < PAYLOAD) {
        uint32_t length = receive_inside(&fixture, &frame) - NET_HEADER - TCP_FRAME;
        g_assert_cmpuint(length, ==, MIN(SEGMENT, PAYLOAD - payload));
        g_assert_cmpuint(frame.header.gso_type, ==, VIRTIO_NET_HDR_GSO_NONE);
        g_assert_cmpuint(frame.header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, ==, 0);
        for (uint32_t i = 0; i < length; i++)
            g_assert_cmpuint(frame.payload[i], ==, (payload + i) % 251);
        payload += length;
    }
    net_tear_down(&fixture);
}

/* The guest is told, and the device waits for nothing. */
static void test_tap_is_taken_away(void)
{
    NetFixture fixture;
    g_autofree char *ip = g_find_program_in_path("ip");
    if (!ip) {
        g_test_skip("there is no ip");
        return;
    }
    if (!set_up_tap(&fixture, NET_OFFLOADS))
        return;
    g_assert_false(is_link_down(fixture.rig));
    g_assert_cmpint(run("%s link delete %s", ip, NAME), ==, 0);
    rig_wait(fixture.rig, is_link_down, fixture.rig);
    uint8_t frame[NET_HEADER + 64] = {0};
    rig_put(fixture.rig, RIG_DATA, frame, sizeof frame);
    rig_add(fixture.rig, NET_TX, &(RigBuffer){RIG_DATA, sizeof frame, FALSE}, 1);
    rig_kick(fixture.rig, NET_TX);
    g_assert_true(rig_take_used(fixture.rig, NET_TX, NULL, NULL));
    /* The next driver finds the cable out, and nothing else wrong. */
    rig_start(fixture.rig, GUEST_OFFLOADS);
    g_assert_true(is_link_down(fixture.rig));
    g_assert_false(rig_needs_reset(fixture.rig));
    net_tear_down(&fixture);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tap/offloads", test_what_the_driver_takes_is_set);
    g_test_add_func("/tap/no-offloads", test_a_tap_without_offloads);
    g_test_add_func("/tap/refuses-later", test_a_tap_that_refuses_later);
    g_test_add_func("/tap/state", test_state_sets_offloads);
    g_test_add_func("/tap/large/leaves", test_large_frame_leaves);
    g_test_add_func("/tap/large/arrives", test_large_frame_arrives);
    g_test_add_func("/tap/large/in-pieces", test_large_frame_arrives_in_pieces);
    g_test_add_func("/tap/taken-away", test_tap_is_taken_away);
    return g_test_run();
}
