/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port_holder.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

static const char tcp[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
    "4711 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:1F91 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000        0 "
    "4712 1 0000000000000000 100 0 0 10 0\n"
    "garbage\n";

static const char tcp6[] =
    "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000     0        0 99 1 0000000000000000 100 0 0 10 0\n";

#define LOOPBACK 0x7f000001u

static guint64 find(const char *table, guint32 address, guint port)
{
    return stead_port_find_inode(table, STEAD_PROTOCOL_TCP, address, port);
}

static void test_listener_is_found(void)
{
    if (G_BYTE_ORDER != G_LITTLE_ENDIAN) {
        g_test_skip("the sample is of a little-endian host");
        return;
    }
    g_assert_cmpuint(find(tcp, LOOPBACK, 8080), ==, 4711);
    g_assert_cmpuint(find(tcp, 0, 8080), ==, 4711);
    g_assert_cmpuint(find(tcp6, LOOPBACK, 22), ==, 99);
}

static void test_others_are_not(void)
{
    g_assert_cmpuint(find(tcp, 0x0a000001, 8080), ==, 0);
    g_assert_cmpuint(find(tcp, LOOPBACK, 8081), ==, 0); /* connected, not listening */
    g_assert_cmpuint(find(tcp, LOOPBACK, 80), ==, 0);
    g_assert_cmpuint(find("", LOOPBACK, 80), ==, 0);
}

static void test_own_socket_is_traced_to_this_process(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(LOOPBACK)};
    socklen_t length = sizeof name;
    stead_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&name, length), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&name, &length), ==, 0);
    g_autofree char *holder = stead_port_holder(STEAD_PROTOCOL_TCP, LOOPBACK, ntohs(name.sin_port));
    g_autofree char *pid = g_strdup_printf("(pid %d)", getpid());
    g_assert_nonnull(holder);
    g_assert_nonnull(strstr(holder, pid));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/port-holder/listener-is-found", test_listener_is_found);
    g_test_add_func("/port-holder/others-are-not", test_others_are_not);
    g_test_add_func("/port-holder/own-socket", test_own_socket_is_traced_to_this_process);
    return g_test_run();
}
