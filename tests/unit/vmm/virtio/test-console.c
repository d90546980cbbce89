/* SPDX-License-Identifier: Apache-2.0 */
/* The console and the named port, between a driver and clients that come and go. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"
#include "tool.h"
#include "vmm/virtio/console.h"

#define NAME "stead.agent.0"
#define MULTIPORT VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT)
#define RX(port) ((port) == 0 ? 0U : 4U)
#define TX(port) ((port) == 0 ? 1U : 5U)
#define CONTROL_RX 2
#define CONTROL_TX 3
#define ROOM 0x10000 /* of guest memory, for each queue's buffers */
#define BUFFER(queue, n) (RIG_DATA + (uint64_t)ROOM * (queue) + 256 * (uint64_t)(n))
#define LARGE (1U << 20)

typedef struct {
    Rig *rig;
    Folder *folder;
    int listeners[2];
    int client; /* the one that a test waits for */
    GString *log;
} Fixture;

static void log_bytes(void *owner, const void *bytes, size_t length)
{
    g_string_append_len(owner, bytes, (gssize)length);
}

static struct sockaddr_un address_of(const Fixture *fixture, unsigned port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%u", fixture->folder->path, port);
    return address;
}

static int listen_at(const Fixture *fixture, unsigned port)
{
    struct sockaddr_un address = address_of(fixture, port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 4), ==, 0);
    return fd;
}

static void attach(Fixture *fixture)
{
    VmmVirtio *device = NULL;
    VmmConsoleOptions options = {
        .console = fixture->listeners[0],
        .named = fixture->listeners[1],
        .name = NAME,
        .log = log_bytes,
        .owner = fixture->log,
    };
    fixture->rig = rig_new();
    g_assert_cmpint(vmm_console_new(&device, fixture->rig->memory, fixture->rig->loop, &options),
                    ==, 0);
    rig_attach(fixture->rig, device);
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    fixture->folder = folder_new();
    fixture->log = g_string_new(NULL);
    fixture->client = -1;
    for (unsigned i = 0; i < 2; i++)
        fixture->listeners[i] = listen_at(fixture, i);
    attach(fixture);
    rig_start(fixture->rig, MULTIPORT);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    rig_free(fixture->rig);
    for (unsigned i = 0; i < 2; i++)
        close(fixture->listeners[i]);
    if (fixture->client >= 0)
        close(fixture->client);
    folder_free(fixture->folder);
    g_string_free(fixture->log, TRUE);
}

static void spin(Fixture *fixture)
{
    for (unsigned i = 0; i < 8; i++)
        vmm_loop_iterate(fixture->rig->loop, 0);
}

static void connect_to(Fixture *fixture, unsigned port)
{
    struct sockaddr_un address = address_of(fixture, port);
    fixture->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(connect(fixture->client, (struct sockaddr *)&address, sizeof address), ==, 0);
    spin(fixture);
}

static void disconnect(Fixture *fixture)
{
    close(fixture->client);
    fixture->client = -1;
    spin(fixture);
}

static void send_control(Fixture *fixture, uint32_t id, uint16_t event, uint16_t value)
{
    struct virtio_console_control message = {
        .id = GUINT32_TO_LE(id), .event = GUINT16_TO_LE(event), .value = GUINT16_TO_LE(value)};
    rig_put(fixture->rig, BUFFER(CONTROL_TX, 0), &message, sizeof message);
    rig_add(fixture->rig, CONTROL_TX, &(RigBuffer){BUFFER(CONTROL_TX, 0), sizeof message, FALSE},
            1);
    rig_kick(fixture->rig, CONTROL_TX);
    rig_wait_used(fixture->rig, CONTROL_TX);
}

/* Gives the device room for one message, and returns what it says: "ID EVENT VALUE TEXT". */
static char *next_control(Fixture *fixture)
{
    uint32_t length = 0;
    uint8_t *at = rig_at(fixture->rig, BUFFER(CONTROL_RX, 0), 256);
    rig_add(fixture->rig, CONTROL_RX, &(RigBuffer){BUFFER(CONTROL_RX, 0), 128, TRUE}, 1);
    rig_kick(fixture->rig, CONTROL_RX);
    spin(fixture);
    if (!rig_take_used(fixture->rig, CONTROL_RX, NULL, &length))
        return g_strdup("none");
    g_assert_cmpuint(length, >=, 8);
    return g_strdup_printf("%u %u %u %.*s", vmm_load_le32(at), vmm_load_le16(at + 4),
                           vmm_load_le16(at + 6), (int)length - 8, (char *)at + 8);
}

static void assert_control(Fixture *fixture, const char *expected)
{
    g_autofree char *found = next_control(fixture);
    g_assert_cmpstr(found, ==, expected);
}

/* What a driver does first; ends with the named port's open state told. */
static void introduce(Fixture *fixture, gboolean is_connected)
{
    send_control(fixture, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    assert_control(fixture, "0 1 1 ");
    assert_control(fixture, "1 1 1 ");
    send_control(fixture, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_control(fixture, "0 4 1 ");
    assert_control(fixture, "0 6 1 ");
    send_control(fixture, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_control(fixture, "1 7 1 " NAME);
    assert_control(fixture, is_connected ? "1 6 1 " : "1 6 0 ");
}

static void print(Fixture *fixture, unsigned port, const char *text)
{
    uint64_t at = BUFFER(TX(port), fixture->rig->queues[TX(port)].next_descriptor);
    rig_put(fixture->rig, at, text, strlen(text));
    rig_add(fixture->rig, TX(port), &(RigBuffer){at, (uint32_t)strlen(text), FALSE}, 1);
    rig_kick(fixture->rig, TX(port));
}

static char *client_text(Fixture *fixture)
{
    char text[256] = "";
    spin(fixture);
    ssize_t n = read(fixture->client, text, sizeof text - 1);
    return g_strndup(text, n > 0 ? (gsize)n : 0);
}

static void assert_client_reads(Fixture *fixture, const char *expected)
{
    g_autofree char *text = client_text(fixture);
    g_assert_cmpstr(text, ==, expected);
}

static void test_ports_are_introduced(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    connect_to(fixture, 1);
    assert_control(fixture, "1 6 1 ");
    disconnect(fixture);
    send_control(fixture, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    g_assert_false(rig_needs_reset(fixture->rig));
}

/* However often that happens, one message tells the end of it. */
static void test_comings_and_goings_do_not_pile_up(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    for (unsigned i = 0; i < 300; i++) {
        connect_to(fixture, 1);
        disconnect(fixture);
    }
    assert_control(fixture, "1 6 0 ");
    assert_control(fixture, "none");
}

static void test_console_output(Fixture *fixture, gconstpointer data)
{
    print(fixture, 0, "to nobody;");
    g_assert_true(rig_take_used(fixture->rig, TX(0), NULL, NULL));
    connect_to(fixture, 0);
    print(fixture, 0, "to a client");
    assert_client_reads(fixture, "to a client");
    g_assert_cmpstr(fixture->log->str, ==, "to nobody;to a client");
}

static void test_console_works_without_ports(Fixture *fixture, gconstpointer data)
{
    rig_start(fixture->rig, 0);
    connect_to(fixture, 0);
    print(fixture, 0, "early");
    assert_client_reads(fixture, "early");
    g_assert_cmpint(write(fixture->client, "x", 1), ==, 1);
    rig_add(fixture->rig, RX(0), &(RigBuffer){BUFFER(0, 0), 16, TRUE}, 1);
    rig_kick(fixture->rig, RX(0));
    g_assert_cmpuint(rig_wait_used(fixture->rig, RX(0)), ==, 1);
}

/* A kernel would wait for it. */
static void test_console_does_not_wait_for_its_client(Fixture *fixture, gconstpointer data)
{
    connect_to(fixture, 0);
    for (unsigned i = 0; i < 40; i++) {
        rig_add(fixture->rig, TX(0), &(RigBuffer){RIG_DATA, LARGE, FALSE}, 1);
        rig_kick(fixture->rig, TX(0));
        g_assert_true(rig_take_used(fixture->rig, TX(0), NULL, NULL));
    }
    g_assert_cmpuint(fixture->log->len, ==, 40 * LARGE);
}

/* More than one turn carries. */
static void test_a_long_message_takes_turns(Fixture *fixture, gconstpointer data)
{
    RigBuffer parts[] = {{RIG_DATA, LARGE, FALSE}, {RIG_DATA, LARGE + 5, FALSE}};
    rig_add(fixture->rig, TX(0), parts, 2);
    rig_kick(fixture->rig, TX(0));
    g_assert_false(rig_take_used(fixture->rig, TX(0), NULL, NULL));
    g_assert_cmpuint(fixture->log->len, ==, LARGE);
    rig_wait_used(fixture->rig, TX(0));
    g_assert_cmpuint(fixture->log->len, ==, 2 * LARGE + 5);
}

static void test_input_waits_for_room(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    connect_to(fixture, 1);
    g_assert_cmpint(write(fixture->client, "hello, guest", 12), ==, 12);
    spin(fixture);
    rig_add(fixture->rig, RX(1), &(RigBuffer){BUFFER(4, 0), 5, TRUE}, 1);
    rig_kick(fixture->rig, RX(1));
    spin(fixture);
    g_assert_false(rig_take_used(fixture->rig, RX(1), NULL, NULL)); /* nobody has it open */
    send_control(fixture, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    g_assert_cmpuint(rig_wait_used(fixture->rig, RX(1)), ==, 5);
    rig_add(fixture->rig, RX(1), &(RigBuffer){BUFFER(4, 1), 100, TRUE}, 1);
    rig_kick(fixture->rig, RX(1));
    g_assert_cmpuint(rig_wait_used(fixture->rig, RX(1)), ==, 7);
    g_assert_cmpint(memcmp(rig_at(fixture->rig, BUFFER(4, 0), 5), "hello", 5), ==, 0);
    g_assert_cmpint(memcmp(rig_at(fixture->rig, BUFFER(4, 1), 7), ", guest", 7), ==, 0);
}

/* Reads all there is, letting the device go on meanwhile; returns the bytes. */
static size_t swallow(Fixture *fixture, size_t expected)
{
    static char bytes[65536];
    size_t got = 0;
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (got < expected && g_get_monotonic_time() < deadline) {
        ssize_t n = read(fixture->client, bytes, sizeof bytes);
        for (ssize_t i = 0; i < n; i++)
            g_assert_cmpint(bytes[i], ==, (char)((got + (size_t)i) % 251));
        got += n > 0 ? (size_t)n : 0;
        vmm_loop_iterate(fixture->rig->loop, 0);
    }
    return got;
}

static void print_pattern(Fixture *fixture)
{
    char *bytes = rig_at(fixture->rig, RIG_DATA, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i % 251);
    RigBuffer halves[] = {{RIG_DATA, LARGE / 2 - 1, FALSE},
                          {RIG_DATA + LARGE / 2 - 1, LARGE / 2 + 1, FALSE}};
    rig_add(fixture->rig, TX(1), halves, 2);
    rig_kick(fixture->rig, TX(1));
}

static void test_named_port_waits_for_its_client(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    connect_to(fixture, 1);
    print_pattern(fixture);
    spin(fixture);
    g_assert_false(rig_take_used(fixture->rig, TX(1), NULL, NULL));
    g_assert_cmpuint(swallow(fixture, LARGE), ==, LARGE);
    g_assert_true(rig_take_used(fixture->rig, TX(1), NULL, NULL));
}

static void test_a_client_leaves_in_the_middle(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    connect_to(fixture, 1);
    print_pattern(fixture);
    spin(fixture);
    disconnect(fixture);
    g_assert_true(rig_take_used(fixture->rig, TX(1), NULL, NULL));
    connect_to(fixture, 1);
    print(fixture, 1, "for the next");
    assert_client_reads(fixture, "for the next");
}

static void test_another_client_waits_for_its_turn(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    connect_to(fixture, 1);
    int first = fixture->client;
    connect_to(fixture, 1);
    print(fixture, 1, "one");
    assert_client_reads(fixture, "");
    close(first);
    spin(fixture);
    print(fixture, 1, "two");
    assert_client_reads(fixture, "two");
}

static void test_messages_that_lie(Fixture *fixture, gconstpointer data)
{
    for (uint32_t event = 0; event < 12; event++) {
        send_control(fixture, 2, (uint16_t)event, 1);
        send_control(fixture, UINT32_MAX, (uint16_t)event, 1);
        send_control(fixture, 0x80000000U, (uint16_t)event, UINT16_MAX);
    }
    send_control(fixture, 0, UINT16_MAX, 0);
    rig_add(fixture->rig, CONTROL_TX, &(RigBuffer){BUFFER(3, 0), 7, FALSE}, 1);
    rig_kick(fixture->rig, CONTROL_TX);
    rig_wait_used(fixture->rig, CONTROL_TX);
    rig_add(fixture->rig, CONTROL_TX, &(RigBuffer){BUFFER(3, 0), 8, TRUE}, 1);
    rig_kick(fixture->rig, CONTROL_TX);
    rig_wait_used(fixture->rig, CONTROL_TX);
    introduce(fixture, FALSE);
    g_assert_false(rig_needs_reset(fixture->rig));
}

/* Room for a message that is too small for it gets as much as it takes. */
static void test_little_room_for_messages(Fixture *fixture, gconstpointer data)
{
    send_control(fixture, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    rig_add(fixture->rig, CONTROL_RX, &(RigBuffer){BUFFER(2, 0), 3, TRUE}, 1);
    rig_kick(fixture->rig, CONTROL_RX);
    g_assert_cmpuint(rig_wait_used(fixture->rig, CONTROL_RX), ==, 3);
    assert_control(fixture, "1 1 1 ");
}

/* The half that the old client got is the last of it: the new one begins with a whole message. */
static void test_restored_without_its_client(Fixture *fixture, gconstpointer data)
{
    VmmStateWriter writer = {0};
    VmmStateReader reader;
    introduce(fixture, FALSE);
    connect_to(fixture, 1);
    assert_control(fixture, "1 6 1 ");
    send_control(fixture, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    print_pattern(fixture);
    spin(fixture);
    vmm_mmio_pause(fixture->rig->mmio);
    g_assert_cmpint(vmm_mmio_save(fixture->rig->mmio, &writer), ==, 0);
    disconnect(fixture);
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpint(vmm_mmio_load(fixture->rig->mmio, &reader), ==, 0);
    connect_to(fixture, 1);
    vmm_mmio_resume(fixture->rig->mmio);
    assert_control(fixture, "1 6 1 ");
    g_assert_true(rig_take_used(fixture->rig, TX(1), NULL, NULL));
    assert_client_reads(fixture, "");
    print(fixture, 1, "whole");
    assert_client_reads(fixture, "whole");
    vmm_state_writer_free(&writer);
}

static void test_reset_closes_the_port(Fixture *fixture, gconstpointer data)
{
    introduce(fixture, FALSE);
    send_control(fixture, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    rig_start(fixture->rig, MULTIPORT);
    connect_to(fixture, 1);
    g_assert_cmpint(write(fixture->client, "x", 1), ==, 1);
    rig_add(fixture->rig, RX(1), &(RigBuffer){BUFFER(4, 0), 5, TRUE}, 1);
    rig_kick(fixture->rig, RX(1));
    spin(fixture);
    g_assert_false(rig_take_used(fixture->rig, RX(1), NULL, NULL));
    introduce(fixture, TRUE);
}

#define ADD(name, function) g_test_add("/console/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("introduced", test_ports_are_introduced);
    ADD("no-pile", test_comings_and_goings_do_not_pile_up);
    ADD("output", test_console_output);
    ADD("without-ports", test_console_works_without_ports);
    ADD("no-waiting", test_console_does_not_wait_for_its_client);
    ADD("turns-of-one", test_a_long_message_takes_turns);
    ADD("input", test_input_waits_for_room);
    ADD("waiting", test_named_port_waits_for_its_client);
    ADD("leaves", test_a_client_leaves_in_the_middle);
    ADD("turns", test_another_client_waits_for_its_turn);
    ADD("lies", test_messages_that_lie);
    ADD("little-room", test_little_room_for_messages);
    ADD("restored", test_restored_without_its_client);
    ADD("reset", test_reset_closes_the_port);
    return g_test_run();
}
