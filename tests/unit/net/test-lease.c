/* SPDX-License-Identifier: Apache-2.0 */
#include "net/lease.h"

#include <string.h>

static void test_release_packet(void)
{
    static const guint8 mac[6] = {0x52, 0x54, 0, 1, 2, 3};
    static const guint8 head[] = {1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef};
    static const guint8 options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 7, 54, 4, 10, 77, 0, 1, 255};
    static const guint8 address[] = {10, 77, 0, 9};
    guint8 packet[STEAD_DHCP_RELEASE_MAX];
    gsize n = stead_dhcp_release_packet(packet, mac, 0x0a4d0009, 0x0a4d0001, 0xdeadbeef);
    g_assert_cmpuint(n, ==, STEAD_DHCP_RELEASE_MAX);
    g_assert_cmpmem(packet, sizeof head, head, sizeof head);
    g_assert_cmpmem(packet + 12, 4, address, 4);
    g_assert_cmpmem(packet + 28, 6, mac, 6);
    g_assert_cmpmem(packet + 236, sizeof options, options, sizeof options);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease/release-packet", test_release_packet);
    return g_test_run();
}
