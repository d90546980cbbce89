/* SPDX-License-Identifier: Apache-2.0 */
#include "net-fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void net_set_up_ends(NetFixture *fixture)
{
    int kind = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    g_assert_cmpint(socketpair(AF_UNIX, kind, 0, fixture->ends), ==, 0);
}

void net_attach(NetFixture *fixture, uint64_t bytes_per_second, uint64_t packets_per_second)
{
    VmmVirtio *device = NULL;
    VmmNetOptions options = {.fd = fixture->ends[0],
                             .mac = {0x52, 0x54, 0, 1, 2, 3},
                             .bytes_per_second = bytes_per_second,
                             .packets_per_second = packets_per_second};
    fixture->rig = rig_new();
    g_assert_cmpint(vmm_net_new(&device, fixture->rig->memory, fixture->rig->loop, &options), ==,
                    0);
    rig_attach(fixture->rig, device);
}

void net_set_up(NetFixture *fixture, uint64_t features)
{
    net_set_up_ends(fixture);
    net_attach(fixture, 0, 0);
    rig_start(fixture->rig, features);
}

void net_tear_down(NetFixture *fixture)
{
    rig_free(fixture->rig);
    for (unsigned i = 0; i < 2; i++)
        if (fixture->ends[i] >= 0)
            close(fixture->ends[i]);
}

void net_arrive(NetFixture *fixture, uint32_t length)
{
    g_autofree uint8_t *packet = g_malloc0(NET_HEADER + length);
    for (uint32_t i = 0; i < length; i++)
        packet[NET_HEADER + i] = (uint8_t)(i % 251);
    g_assert_cmpint(send(fixture->ends[1], packet, NET_HEADER + length, 0), ==,
                    NET_HEADER + length);
    for (unsigned i = 0; i < 4; i++)
        vmm_loop_iterate(fixture->rig->loop, 0);
}

void net_give_room(NetFixture *fixture, unsigned n, uint32_t length)
{
    rig_add(fixture->rig, NET_RX, &(RigBuffer){RIG_DATA + 0x1000 * n, length, TRUE}, 1);
    rig_kick(fixture->rig, NET_RX);
}

void net_put_packet(NetFixture *fixture, struct virtio_net_hdr_v1 header, uint32_t length)
{
    uint8_t *bytes = rig_at(fixture->rig, RIG_DATA, NET_HEADER + length);
    memcpy(bytes, &header, sizeof header);
    for (uint32_t i = 0; i < length; i++)
        bytes[NET_HEADER + i] = (uint8_t)(i % 251);
}
