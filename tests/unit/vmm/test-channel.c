/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that come, go, are slow or greedy. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/channel.h"

typedef struct {
    VmmLoop *loop;
    VmmChannel *channel;
    int listener;
    struct sockaddr_un address;
    GString *input;
    gsize room; /* that input still takes */
    unsigned came, went, writable;
    int descriptor;
} Rig;

static size_t on_input(void *owner, const uint8_t *bytes, size_t length)
{
    Rig *rig = owner;
    size_t taken = MIN(length, rig->room);
    g_string_append_len(rig->input, (const char *)bytes, (gssize)taken);
    rig->room -= taken;
    return taken;
}

static void on_connected(void *owner, bool is_connected)
{
    Rig *rig = owner;
    rig->came += is_connected;
    rig->went += !is_connected;
}

static void on_writable(void *owner)
{
    ((Rig *)owner)->writable++;
}

static void on_descriptor(void *owner, int fd)
{
    ((Rig *)owner)->descriptor = fd;
}

static const VmmChannelOps OPS = {on_input, on_descriptor, on_connected, on_writable};

static void rig_init(Rig *rig)
{
    *rig = (Rig){.input = g_string_new(""), .room = G_MAXSIZE, .descriptor = -1};
    g_autofree char *folder = g_dir_make_tmp("channel-XXXXXX", NULL);
    rig->address.sun_family = AF_UNIX;
    g_snprintf(rig->address.sun_path, sizeof rig->address.sun_path, "%s/s", folder);
    rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(rig->listener, (struct sockaddr *)&rig->address, sizeof rig->address), ==,
                    0);
    g_assert_cmpint(listen(rig->listener, 4), ==, 0);
    g_assert_cmpint(vmm_loop_new(&rig->loop, NULL), ==, 0);
    g_assert_cmpint(vmm_channel_new(&rig->channel, rig->loop, rig->listener, &OPS, rig), ==, 0);
}

static void rig_free(Rig *rig)
{
    g_autofree char *folder = g_path_get_dirname(rig->address.sun_path);
    vmm_channel_free(rig->channel);
    vmm_loop_free(rig->loop);
    close(rig->listener);
    g_unlink(rig->address.sun_path);
    g_rmdir(folder);
    g_string_free(rig->input, TRUE);
}

static int client(const Rig *rig)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (const struct sockaddr *)&rig->address, sizeof rig->address), ==,
                    0);
    return fd;
}

static void turn(Rig *rig)
{
    for (int i = 0; i < 8; i++)
        g_assert_cmpint(vmm_loop_iterate(rig->loop, 0), ==, 0);
}

static void test_bytes_go_both_ways(void)
{
    Rig rig;
    char answer[8];
    rig_init(&rig);
    int fd = client(&rig);
    turn(&rig);
    g_assert_true(vmm_channel_is_connected(rig.channel));
    g_assert_cmpint(write(fd, "in", 2), ==, 2);
    turn(&rig);
    g_assert_cmpstr(rig.input->str, ==, "in");
    g_assert_cmpuint(vmm_channel_write(rig.channel, "out", 3), ==, 3);
    g_assert_cmpint(read(fd, answer, sizeof answer), ==, 3);
    close(fd);
    rig_free(&rig);
}

static void test_without_a_client_nothing_is_taken(void)
{
    Rig rig;
    rig_init(&rig);
    turn(&rig);
    g_assert_false(vmm_channel_is_connected(rig.channel));
    g_assert_cmpuint(vmm_channel_write(rig.channel, "out", 3), ==, 0);
    rig_free(&rig);
}

static void test_next_client_waits_for_the_first_to_go(void)
{
    Rig rig;
    char answer[8];
    rig_init(&rig);
    int first = client(&rig), second = client(&rig);
    turn(&rig);
    g_assert_cmpuint(rig.came, ==, 1);
    close(first);
    turn(&rig);
    g_assert_cmpuint(rig.came, ==, 2);
    g_assert_cmpuint(rig.went, ==, 1);
    g_assert_cmpuint(vmm_channel_write(rig.channel, "x", 1), ==, 1);
    g_assert_cmpint(read(second, answer, sizeof answer), ==, 1);
    close(second);
    rig_free(&rig);
}

static void test_input_waits_for_the_owner(void)
{
    Rig rig;
    rig_init(&rig);
    rig.room = 3;
    int fd = client(&rig);
    g_assert_cmpint(write(fd, "abcdef", 6), ==, 6);
    turn(&rig);
    g_assert_cmpint(write(fd, "ghi", 3), ==, 3);
    turn(&rig);
    g_assert_cmpstr(rig.input->str, ==, "abc");
    rig.room = 4;
    vmm_channel_resume(rig.channel);
    turn(&rig);
    g_assert_cmpstr(rig.input->str, ==, "abcdefg");
    rig.room = G_MAXSIZE;
    vmm_channel_resume(rig.channel);
    turn(&rig);
    g_assert_cmpstr(rig.input->str, ==, "abcdefghi");
    close(fd);
    rig_free(&rig);
}

static void test_slow_client_is_told_of(void)
{
    Rig rig;
    rig_init(&rig);
    int fd = client(&rig);
    turn(&rig);
    g_autofree char *much = g_malloc0(1 << 20);
    g_assert_cmpuint(vmm_channel_write(rig.channel, much, 1 << 20), <, 1 << 20);
    turn(&rig);
    g_assert_cmpuint(rig.writable, ==, 0);
    while (recv(fd, much, 1 << 20, MSG_DONTWAIT) > 0)
        continue;
    turn(&rig);
    g_assert_cmpuint(rig.writable, ==, 1);
    close(fd);
    rig_free(&rig);
}

static void test_descriptors_come_along(void)
{
    Rig rig;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {(char *)"x", 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    rig_init(&rig);
    int fd = client(&rig);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    g_assert_cmpint(sendmsg(fd, &message, 0), ==, 1);
    turn(&rig);
    g_assert_cmpint(rig.descriptor, >=, 0);
    g_assert_cmpint(fcntl(rig.descriptor, F_GETFD), ==, FD_CLOEXEC);
    close(rig.descriptor);
    close(fd);
    rig_free(&rig);
}

static void test_hang_up_lets_the_next_one_in(void)
{
    Rig rig;
    char byte;
    rig_init(&rig);
    int first = client(&rig), second = client(&rig);
    turn(&rig);
    vmm_channel_hang_up(rig.channel);
    g_assert_cmpint(read(first, &byte, 1), ==, 0);
    turn(&rig);
    g_assert_true(vmm_channel_is_connected(rig.channel));
    g_assert_cmpuint(rig.went, ==, 0);
    close(first);
    close(second);
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/channel/both-ways", test_bytes_go_both_ways);
    g_test_add_func("/vmm/channel/no-client", test_without_a_client_nothing_is_taken);
    g_test_add_func("/vmm/channel/next-client", test_next_client_waits_for_the_first_to_go);
    g_test_add_func("/vmm/channel/input-waits", test_input_waits_for_the_owner);
    g_test_add_func("/vmm/channel/slow-client", test_slow_client_is_told_of);
    g_test_add_func("/vmm/channel/descriptors", test_descriptors_come_along);
    g_test_add_func("/vmm/channel/hang-up", test_hang_up_lets_the_next_one_in);
    return g_test_run();
}
