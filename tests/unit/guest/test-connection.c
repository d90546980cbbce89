/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that come, talk nonsense, vanish and come back; and the requests that are answered at
 * once. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

static void ping(Host *host)
{
    host_send_text(host, GUEST_PING, 1000, "word");
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_PONG, 1000);
    g_assert_cmpmem(frame->payload, frame->length, "word", 4);
}

static void test_ping(void)
{
    g_autoptr(Host) host = host_start();
    ping(host);
}

static void test_garbage_before_hello(void)
{
    g_autoptr(Host) host = host_start();
    guint8 garbage[5000];
    host_disconnect(host);
    host_connect(host);
    for (gsize i = 0; i < sizeof garbage; i++)
        garbage[i] = (guint8)(i * i);
    host_send_bytes(host, garbage, sizeof garbage);
    host_greet(host);
    ping(host);
}

static void test_nothing_is_answered_before_hello(void)
{
    g_autoptr(Host) host = host_start();
    host_disconnect(host);
    host_connect(host);
    host_send_text(host, GUEST_PING, 7, "early");
    host_greet(host); /* would pass a PONG over */
    ping(host);
}

static void test_bad_frame_is_told(void)
{
    g_autoptr(Host) host = host_start();
    host_send_bytes(host, "\x05\x01\x02\x00", 4);
    g_assert_cmpint(host_expect_failure(host, 0), ==, EBADMSG);
    ping(host);
}

static void test_unknown_type(void)
{
    g_autoptr(Host) host = host_start();
    host_send(host, (GuestType)0x7e, 500, NULL, 0);
    g_assert_cmpint(host_expect_failure(host, 500), ==, EPROTONOSUPPORT);
    host_send(host, GUEST_HELLO_REPLY, 501, NULL, 0);
    g_assert_cmpint(host_expect_failure(host, 501), ==, EPROTONOSUPPORT);
}

static void test_bad_fields(void)
{
    static const GuestType with_fields[] = {GUEST_RENEW, GUEST_CLOCK, GUEST_SHUTDOWN,
                                            GUEST_EXEC,  GUEST_PUT,   GUEST_GET};
    g_autoptr(Host) host = host_start();
    for (gsize i = 0; i < G_N_ELEMENTS(with_fields); i++) {
        host_send_text(host, with_fields[i], 1, "x");
        g_assert_cmpint(host_expect_failure(host, 1), ==, EBADMSG);
    }
}

static void test_frames_for_no_channel_are_ignored(void)
{
    g_autoptr(Host) host = host_start();
    host_send_text(host, GUEST_STDIN, 5, "x");
    host_send_text(host, GUEST_DATA, 5, "x");
    host_send(host, GUEST_STDIN_EOF, 5, NULL, 0);
    host_send_credit(host, 5, 1);
    host_send(host, GUEST_CLOSE, 5, NULL, 0);
    host_send(host, GUEST_CLOSE, 60000, NULL, 0);
    ping(host);
}

static void test_credit_beyond_the_window(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, 0, "cat", NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_send_credit(host, 1, 1);
    g_assert_cmpint(host_expect_failure(host, 1), ==, EPROTO);
}

/* A host that asks and asks but does not listen, until it does. */
static void test_deaf_host(void)
{
    g_autoptr(Host) host = host_start();
    guint8 block[GUEST_PING_MAX];
    memset(block, 7, sizeof block);
    for (int i = 0; i < 20; i++)
        host_send(host, GUEST_PING, 100, block, sizeof block);
    for (int i = 0; i < 20; i++)
        host_pass(host, GUEST_PONG, 100);
    ping(host);
}

/* Prints a line when it gets SIGHUP, to a file that outlives its session. */
static void start_witness(Host *host, const char *file)
{
    g_autofree char *script = g_strdup_printf(
        "trap 'echo hup > %s.new; mv %s.new %s; exit' HUP; echo up; while :; do read x; done", file,
        file, file);
    host_exec(host, 1, 0, "sh", "-c", script, NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_pass(host, GUEST_STDOUT, 1);
}

/* Waits in the agent for the file to be there. */
static void expect_witness(Host *host, const char *file)
{
    host_exec(host, 2, GUEST_EXEC_NO_STDIN, "timeout", "20", "sh", "-c",
              "until test -e $0; do :; done; cat $0", file, NULL);
    g_autoptr(HostEnd) end = host_finish(host, 2);
    g_assert_cmpstr(end->out->str, ==, "hup\n");
}

static void test_host_vanishes_and_comes_back(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *file = g_build_filename(host->folder, "witness", NULL);
    start_witness(host, file);
    host_disconnect(host);
    host_connect(host);
    host_greet(host);
    expect_witness(host, file);
}

/* As after a clone: the agent does not learn that the host is another. */
static void test_hello_in_the_middle(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *file = g_build_filename(host->folder, "witness", NULL);
    start_witness(host, file);
    host_send_bytes(host, "\x30half a frame", 13);
    host_greet(host);
    expect_witness(host, file);
}

static void test_output_for_the_former_host_is_dropped(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, GUEST_EXEC_NO_STDIN, "head", "-c", "1000000", "/dev/zero", NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_greet(host);
    host_exec(host, 1, GUEST_EXEC_NO_STDIN, "echo", "new", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "new\n");
}

static void test_memory(void)
{
    g_autoptr(Host) host = host_start();
    GuestMemory memory;
    host_send(host, GUEST_MEMORY, 300, NULL, 0);
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_MEMORY_REPLY, 300);
    HOST_READ(frame, guest_memory_fields, &memory);
    g_assert_cmpuint(memory.total, >, 64 << 20);
    g_assert_cmpuint(memory.available, >, 0);
    g_assert_cmpuint(memory.free, <=, memory.total);
    g_assert_cmpuint(memory.uptime, >, 0);
    g_assert_cmpuint(memory.processes, >, 0);
}

static void test_network(void)
{
    g_autoptr(Host) host = host_start();
    static GuestNetwork network;
    host_send(host, GUEST_NETWORK, 300, NULL, 0);
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_NETWORK_REPLY, 300);
    HOST_READ(frame, guest_network_fields, &network);
    g_assert_cmpstr(network.host_name, ==, g_get_host_name());
    for (guint i = 0; i < network.n_interfaces; i++)
        g_assert_cmpstr(network.interfaces[i].name, !=, "lo");
}

static void test_sync(void)
{
    g_autoptr(Host) host = host_start();
    host_send(host, GUEST_SYNC, 4, NULL, 0);
    g_autoptr(HostEnd) end = host_finish(host, 4);
    g_assert_true(end->is_done);
}

static void test_shutdown_is_refused_outside_a_guest(void)
{
    g_autoptr(Host) host = host_start();
    GuestShutdown shutdown = {.how = GUEST_POWEROFF};
    HOST_SEND(host, GUEST_SHUTDOWN, 400, guest_shutdown_fields, &shutdown);
    g_assert_cmpint(host_expect_failure(host, 400), ==, EPERM);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/connection/ping", test_ping);
    g_test_add_func("/guest/connection/garbage", test_garbage_before_hello);
    g_test_add_func("/guest/connection/early", test_nothing_is_answered_before_hello);
    g_test_add_func("/guest/connection/bad-frame", test_bad_frame_is_told);
    g_test_add_func("/guest/connection/unknown-type", test_unknown_type);
    g_test_add_func("/guest/connection/bad-fields", test_bad_fields);
    g_test_add_func("/guest/connection/no-channel", test_frames_for_no_channel_are_ignored);
    g_test_add_func("/guest/connection/credit", test_credit_beyond_the_window);
    g_test_add_func("/guest/connection/deaf", test_deaf_host);
    g_test_add_func("/guest/connection/vanishes", test_host_vanishes_and_comes_back);
    g_test_add_func("/guest/connection/hello-again", test_hello_in_the_middle);
    g_test_add_func("/guest/connection/former-output", test_output_for_the_former_host_is_dropped);
    g_test_add_func("/guest/connection/memory", test_memory);
    g_test_add_func("/guest/connection/network", test_network);
    g_test_add_func("/guest/connection/sync", test_sync);
    g_test_add_func("/guest/connection/shutdown", test_shutdown_is_refused_outside_a_guest);
    return g_test_run();
}
