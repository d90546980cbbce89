/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwarders are started for real, on loopback. The "guest" is a socket of the test's own on
 * 127.0.0.1; ports are those that the kernel gave a moment before.
 */
#include "net/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "base/detached.h"

#define LOOPBACK "127.0.0.1"
#define WAIT_MS 5000

typedef struct {
    char *run_dir;
    SteadPortSpec port;
    GPtrArray *ports;
    int guest; /* what the port is forwarded to */
} Fixture;

static int open_socket(int type, guint *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&name, length), ==, 0);
    if (type == SOCK_STREAM)
        g_assert_cmpint(listen(fd, 8), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&name, &length), ==, 0);
    *port = ntohs(name.sin_port);
    return fd;
}

static guint free_port(int type)
{
    guint port;
    stead_autofd fd = open_socket(type, &port);
    g_assert_cmpint(fd, >=, 0);
    return port;
}

static int connect_to(int type, guint port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((guint16)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

static gboolean wait_readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, WAIT_MS) == 1;
}

static void set_up(Fixture *fixture, gconstpointer protocol)
{
    gboolean udp = GPOINTER_TO_INT(protocol) == STEAD_PROTOCOL_UDP;
    int type = udp ? SOCK_DGRAM : SOCK_STREAM;
    fixture->run_dir = g_dir_make_tmp("stead-ports-XXXXXX", NULL);
    fixture->guest = open_socket(type, &fixture->port.guest);
    fixture->port.host_address = (char *)LOOPBACK;
    fixture->port.host = free_port(type);
    fixture->port.protocol = udp ? STEAD_PROTOCOL_UDP : STEAD_PROTOCOL_TCP;
    fixture->ports = g_ptr_array_new();
    g_ptr_array_add(fixture->ports, &fixture->port);
}

static void tear_down(Fixture *fixture, gconstpointer protocol)
{
    g_autoptr(GError) error = NULL;
    stead_ports_unpublish(fixture->run_dir, &error);
    g_assert_no_error(error);
    g_assert_true(stead_remove_tree(fixture->run_dir, NULL));
    g_ptr_array_unref(fixture->ports);
    g_free(fixture->run_dir);
    close(fixture->guest);
}

static gboolean need_socat(void)
{
    if (stead_find_program("socat", NULL) && stead_find_program("setpriv", NULL))
        return TRUE;
    g_test_skip("socat or setpriv is not installed");
    return FALSE;
}

static void publish(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    stead_ports_publish(fixture->run_dir, fixture->ports, LOOPBACK, &error);
    g_assert_no_error(error);
}

/* The text of the only record. */
static char *read_record(Fixture *fixture)
{
    char *text = NULL;
    g_autofree char *path =
        g_strdup_printf("%s/ports/%s-%s-%u", fixture->run_dir,
                        fixture->port.protocol == STEAD_PROTOCOL_UDP ? "udp" : "tcp",
                        fixture->port.host_address, fixture->port.host);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static int recorded_pid(Fixture *fixture)
{
    g_autofree char *text = read_record(fixture);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 3);
    return atoi(lines[2]);
}

static void test_tcp_is_carried(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    char bytes[8] = "";
    publish(fixture);
    stead_autofd client = connect_to(SOCK_STREAM, fixture->port.host);
    g_assert_cmpint(client, >=, 0);
    g_assert_true(wait_readable(fixture->guest));
    stead_autofd server = accept(fixture->guest, NULL, NULL);
    /* The answer still comes when the asking side has been shut down. */
    g_assert_cmpint(write(client, "ping", 4), ==, 4);
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    g_assert_true(wait_readable(server));
    g_assert_cmpint(read(server, bytes, sizeof bytes), ==, 4);
    g_assert_cmpint(write(server, "pong!", 5), ==, 5);
    g_assert_true(wait_readable(client));
    g_assert_cmpint(read(client, bytes, sizeof bytes), ==, 5);
}

static void test_udp_is_carried(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    char bytes[8] = "";
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    publish(fixture);
    stead_autofd client = connect_to(SOCK_DGRAM, fixture->port.host);
    g_assert_cmpint(write(client, "ping", 4), ==, 4);
    g_assert_true(wait_readable(fixture->guest));
    g_assert_cmpint(
        recvfrom(fixture->guest, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length), ==, 4);
    g_assert_cmpint(sendto(fixture->guest, "pong!", 5, 0, (struct sockaddr *)&from, length), ==, 5);
    g_assert_true(wait_readable(client));
    g_assert_cmpint(read(client, bytes, sizeof bytes), ==, 5);
}

static void test_forwarder_is_nobody(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    if (geteuid() != 0) {
        g_test_skip("not root");
        return;
    }
    publish(fixture);
    g_autofree char *path = g_strdup_printf("/proc/%d/status", recorded_pid(fixture));
    g_autofree char *status = NULL;
    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    g_assert_nonnull(strstr(status, "Uid:\t65534\t65534\t65534\t65534"));
    g_assert_nonnull(strstr(status, "CapEff:\t0000000000000000"));
}

static void test_repeat_adopts(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    publish(fixture);
    int pid = recorded_pid(fixture);
    publish(fixture);
    g_assert_cmpint(recorded_pid(fixture), ==, pid);
}

static void test_dead_forwarder_is_replaced(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    publish(fixture);
    int pid = recorded_pid(fixture);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    while (connect_to(SOCK_STREAM, fixture->port.host) >= 0)
        g_thread_yield();
    publish(fixture);
    g_assert_cmpint(recorded_pid(fixture), !=, pid);
    stead_autofd client = connect_to(SOCK_STREAM, fixture->port.host);
    g_assert_cmpint(client, >=, 0);
}

static void test_unpublish_ends_connections(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    char byte;
    publish(fixture);
    stead_autofd client = connect_to(SOCK_STREAM, fixture->port.host);
    g_assert_true(wait_readable(fixture->guest));
    stead_autofd server = accept(fixture->guest, NULL, NULL);
    g_assert_cmpint(server, >=, 0);
    g_assert_true(stead_ports_unpublish(fixture->run_dir, NULL));
    g_assert_cmpuint(stead_ports_count(fixture->run_dir), ==, 0);
    g_assert_cmpint(connect_to(SOCK_STREAM, fixture->port.host), ==, -1);
    g_assert_true(wait_readable(client));
    g_assert_cmpint(read(client, &byte, 1), <=, 0);
    g_assert_true(stead_ports_unpublish(fixture->run_dir, NULL));
}

static void test_taken_port_undoes_all(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    g_autoptr(GError) error = NULL;
    SteadPortSpec taken = fixture->port;
    stead_autofd holder = open_socket(SOCK_STREAM, &taken.host);
    g_assert_cmpint(holder, >=, 0);
    g_ptr_array_add(fixture->ports, &taken);
    g_assert_false(stead_ports_publish(fixture->run_dir, fixture->ports, LOOPBACK, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
    g_autofree char *pid = g_strdup_printf("(pid %d)", getpid());
    g_assert_nonnull(strstr(error->message, pid));
    g_assert_cmpint(connect_to(SOCK_STREAM, fixture->port.host), ==, -1);
    g_assert_cmpuint(stead_ports_count(fixture->run_dir), ==, 0);
}

/* Of the processes that forward to `guest`, how many there are. */
static guint count_forwarders(const char *guest)
{
    g_autofree char *needle = g_strdup_printf("TCP4:%s:", guest);
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    guint n = 0;
    for (const char *name; (name = g_dir_read_name(proc));) {
        g_autofree char *path = g_build_filename("/proc", name, "cmdline", NULL);
        g_autofree char *text = NULL;
        gsize length = 0;
        if (g_ascii_isdigit(name[0]) && g_file_get_contents(path, &text, &length, NULL) &&
            memmem(text, length, needle, strlen(needle)))
            n++;
    }
    return n;
}

/* A process that is adopted in the middle of its exec has no command line for a moment. */
static guint await_forwarders(const char *guest, guint expected)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_MS * G_TIME_SPAN_MILLISECOND;
    guint n;
    while ((n = count_forwarders(guest)) != expected && g_get_monotonic_time() < deadline)
        g_thread_yield();
    return n;
}

#define KILLS 60

static void test_killed_daemon_leaves_no_orphan(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    /* Any address of the loopback network is this host's; this one marks this test's processes. */
    g_autofree char *guest = g_strdup_printf("127.%d.%d.77", getpid() >> 8 & 127, getpid() & 255);
    SteadPortSpec second = fixture->port;
    second.host = free_port(SOCK_STREAM);
    g_ptr_array_add(fixture->ports, &second);
    for (guint i = 0; i < KILLS; i++) {
        pid_t daemon = fork();
        if (daemon == 0) {
            stead_ports_publish(fixture->run_dir, fixture->ports, guest, NULL);
            _exit(0);
        }
        g_usleep((gulong)g_random_int_range(0, 20000)); /* not to wait: to hit any instruction */
        kill(daemon, SIGKILL);
        waitpid(daemon, NULL, 0);
        g_autoptr(GError) error = NULL;
        if (i % 3 == 0)
            stead_ports_unpublish(fixture->run_dir, &error);
        else
            stead_ports_publish(fixture->run_dir, fixture->ports, guest, &error);
        g_assert_no_error(error);
        if (i % 3 != 0)
            g_assert_cmpuint(await_forwarders(guest, 2), ==, 2);
    }
    g_assert_true(stead_ports_unpublish(fixture->run_dir, NULL));
    g_assert_cmpuint(count_forwarders(guest), ==, 0);
}

static void test_record_of_another_process_is_harmless(Fixture *fixture, gconstpointer data)
{
    if (!need_socat())
        return;
    publish(fixture);
    g_autofree char *text = read_record(fixture);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 3);
    /* A record that says this process's pid, but another start time, as after a reuse of pids. */
    g_autofree char *path = g_build_filename(fixture->run_dir, "ports", "tcp-stale", NULL);
    g_autofree char *stale =
        g_strdup_printf("%s\n%s\n%d (socat) S 1 %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0",
                        lines[0], lines[1], getpid(), getpid(), getpid());
    g_assert_true(g_file_set_contents(path, stale, -1, NULL));
    const char *const argv[] = {"/usr/bin/socat", NULL};
    g_assert_false(stead_detached_is_running(path, argv, NULL));
    g_assert_true(stead_detached_end(path, FALSE, NULL)); /* and we are still here */
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_half_written_record_is_cleared(Fixture *fixture, gconstpointer data)
{
    g_autofree char *dir = g_build_filename(fixture->run_dir, "ports", NULL);
    g_autofree char *path = g_build_filename(dir, "tcp-127.0.0.1-1", NULL);
    g_assert_true(stead_make_dir(dir, 0700, NULL));
    g_assert_true(g_file_set_contents(path, "boot\nsocat", -1, NULL));
    g_assert_true(stead_ports_unpublish(fixture->run_dir, NULL));
    g_assert_cmpuint(stead_ports_count(fixture->run_dir), ==, 0);
}

static void test_failed_start_leaves_nothing(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(fixture->run_dir, "record", NULL);
    const char *const argv[] = {"/bin/sh", "-c", "echo 'x[1] E no luck' >&2; exit 1", NULL};
    g_assert_false(stead_detached_start(
        &(SteadDetachedOptions){.record = path, .argv = argv, .ready = "listening on "}, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_assert_nonnull(strstr(error->message, "no luck"));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_free_ports_are_free(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    stead_ports_check_free(fixture->ports, &error);
    g_assert_no_error(error);
}

static void test_ports_that_collide_are_found(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    SteadPortSpec everywhere = fixture->port;
    everywhere.host_address = NULL;
    g_ptr_array_add(fixture->ports, &everywhere);
    g_assert_false(stead_ports_check_free(fixture->ports, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
}

static void test_foreign_address_is_invalid(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    fixture->port.host_address = (char *)"203.0.113.77";
    g_assert_false(stead_ports_check_free(fixture->ports, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void test_argv(void)
{
    const SteadPortSpec low = {.host = 80, .guest = 8080, .protocol = STEAD_PROTOCOL_TCP};
    g_auto(GStrv) argv =
        stead_port_argv(&low, "10.77.0.2", "/usr/bin/socat", "/usr/bin/setpriv", NULL);
    g_autofree char *line = g_strjoinv(" ", argv);
    g_assert_cmpstr(line, ==,
                    "/usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "
                    "--inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service -- "
                    "/usr/bin/socat -d -d -t 600 "
                    "TCP4-LISTEN:80,bind=0.0.0.0,reuseaddr,fork,max-children=256,keepalive "
                    "TCP4:10.77.0.2:8080,connect-timeout=10,keepalive");
}

static void test_hostile_addresses_are_refused(void)
{
    const char *const wrong[] = {"10.0.0.1,fork", "EXEC:sh", "", "10.0.0.1:1!!EXEC:sh"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        const SteadPortSpec port = {.host = 8080, .guest = 80};
        const SteadPortSpec bound = {.host = 8080, .guest = 80, .host_address = (char *)wrong[i]};
        g_assert_null(stead_port_argv(&port, wrong[i], "socat", NULL, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
        g_assert_null(stead_port_argv(&bound, "10.0.0.1", "socat", NULL, NULL));
    }
}

#define ADD(name, protocol, func)                                                                  \
    g_test_add(name, Fixture, GINT_TO_POINTER(protocol), set_up, func, tear_down)
#define TCP STEAD_PROTOCOL_TCP
#define UDP STEAD_PROTOCOL_UDP

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/ports/tcp-is-carried", TCP, test_tcp_is_carried);
    ADD("/ports/udp-is-carried", UDP, test_udp_is_carried);
    ADD("/ports/forwarder-is-nobody", TCP, test_forwarder_is_nobody);
    ADD("/ports/repeat-adopts", TCP, test_repeat_adopts);
    ADD("/ports/dead-forwarder-is-replaced", TCP, test_dead_forwarder_is_replaced);
    ADD("/ports/unpublish-ends-connections", TCP, test_unpublish_ends_connections);
    ADD("/ports/taken-port-undoes-all", TCP, test_taken_port_undoes_all);
    ADD("/ports/killed-daemon-leaves-no-orphan", TCP, test_killed_daemon_leaves_no_orphan);
    ADD("/ports/record-of-another", TCP, test_record_of_another_process_is_harmless);
    ADD("/ports/half-written-record-is-cleared", TCP, test_half_written_record_is_cleared);
    ADD("/ports/failed-start-leaves-nothing", TCP, test_failed_start_leaves_nothing);
    ADD("/ports/free-ports-are-free", TCP, test_free_ports_are_free);
    ADD("/ports/collisions-are-found", TCP, test_ports_that_collide_are_found);
    ADD("/ports/udp-collisions-are-found", UDP, test_ports_that_collide_are_found);
    ADD("/ports/foreign-address-is-invalid", TCP, test_foreign_address_is_invalid);
    g_test_add_func("/ports/argv", test_argv);
    g_test_add_func("/ports/hostile-addresses-are-refused", test_hostile_addresses_are_refused);
    return g_test_run();
}
