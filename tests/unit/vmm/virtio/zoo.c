/* SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/virtio/balloon.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"

#define DISK_SIZE (1 << 20)
#define TURNS 4
#define CONTROL_TX 3 /* the queue for messages of a console's driver */

const char *const zoo_names[ZOO_N] = {"rng", "blk", "console", "net", "balloon"};

static int make_rng(Animal *animal, VmmVirtio **device)
{
    return vmm_rng_new(device, animal->rig->memory, animal->rig->loop);
}

static int make_blk(Animal *animal, VmmVirtio **device)
{
    VmmBlkOptions options = {.serial = "zoo"};
    animal->fds[0] = memfd_create("disk", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(animal->fds[0], DISK_SIZE), ==, 0);
    VmmDiskOptions disk = {.fds = {animal->fds[0]}, .n_fds = 1};
    g_assert_cmpint(vmm_disk_new(&options.disk, animal->rig->loop, &disk, NULL), ==, 0);
    return vmm_blk_new(device, animal->rig->memory, animal->rig->loop, &options);
}

/* Something for the guest; where there is no room there is something already. */
static void say_outside(int fd)
{
    static const char bytes[200];
    if (send(fd, bytes, sizeof bytes, 0) < 0)
        g_assert_cmpint(errno, ==, EAGAIN);
}

/* A listener at an address of the kernel's choice, and a client of it. */
static void make_client(int *listener, int *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address.sun_family;
    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(*listener, (struct sockaddr *)&address, length), ==, 0);
    g_assert_cmpint(listen(*listener, 1), ==, 0);
    length = sizeof address;
    g_assert_cmpint(getsockname(*listener, (struct sockaddr *)&address, &length), ==, 0);
    g_assert_cmpint(connect(*client, (struct sockaddr *)&address, length), ==, 0);
}

static int make_console(Animal *animal, VmmVirtio **device)
{
    make_client(&animal->fds[0], &animal->fds[1]);
    make_client(&animal->fds[2], &animal->fds[3]);
    VmmConsoleOptions options = {.console = animal->fds[0], .named = animal->fds[2], .name = "zoo"};
    return vmm_console_new(device, animal->rig->memory, animal->rig->loop, &options);
}

static int make_net(Animal *animal, VmmVirtio **device)
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, animal->fds),
                    ==, 0);
    for (unsigned i = 0; i < 4; i++)
        say_outside(animal->fds[1]);
    VmmNetOptions options = {.fd = animal->fds[0], .mac = {2}};
    return vmm_net_new(device, animal->rig->memory, animal->rig->loop, &options);
}

static int make_balloon(Animal *animal, VmmVirtio **device)
{
    return vmm_balloon_new(device, animal->rig->memory, animal->rig->loop, &(VmmBalloonOptions){0});
}

Animal *animal_new(unsigned which)
{
    static int (*const makers[ZOO_N])(Animal * animal, VmmVirtio * *device) = {
        make_rng, make_blk, make_console, make_net, make_balloon};
    Animal *animal = g_new0(Animal, 1);
    VmmVirtio *device = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(animal->fds); i++)
        animal->fds[i] = -1;
    animal->rig = rig_new();
    g_assert_cmpint(makers[which](animal, &device), ==, 0);
    rig_attach(animal->rig, device);
    return animal;
}

void animal_free(Animal *animal)
{
    rig_free(animal->rig);
    for (size_t i = 0; i < G_N_ELEMENTS(animal->fds); i++)
        if (animal->fds[i] >= 0)
            close(animal->fds[i]);
    g_free(animal);
}

unsigned animal_queues(const Animal *animal)
{
    return vmm_mmio_device(animal->rig->mmio)->ops->n_queues;
}

uint64_t animal_features(const Animal *animal)
{
    return vmm_mmio_device(animal->rig->mmio)->offered;
}

void animal_run(Animal *animal)
{
    for (unsigned i = 0; i < TURNS; i++)
        vmm_loop_iterate(animal->rig->loop, 0);
}

/* As a driver does that has set all up: the device has ports to tell of, and the second is open. */
static void open_ports(Rig *rig)
{
    static const struct virtio_console_control messages[] = {
        {0, GUINT16_TO_LE(VIRTIO_CONSOLE_DEVICE_READY), GUINT16_TO_LE(1)},
        {GUINT32_TO_LE(1), GUINT16_TO_LE(VIRTIO_CONSOLE_PORT_OPEN), GUINT16_TO_LE(1)},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(messages); i++) {
        rig_put(rig, RIG_DATA, &messages[i], sizeof messages[i]);
        rig_add(rig, CONTROL_TX, &(RigBuffer){RIG_DATA, sizeof messages[i], FALSE}, 1);
        rig_kick(rig, CONTROL_TX);
        g_assert_true(rig_take_used(rig, CONTROL_TX, NULL, NULL));
    }
}

void animal_provoke(Animal *animal)
{
    uint32_t id = vmm_mmio_device(animal->rig->mmio)->ops->id;
    if (id == VIRTIO_ID_NET)
        say_outside(animal->fds[1]);
    if (id != VIRTIO_ID_CONSOLE)
        return;
    open_ports(animal->rig);
    say_outside(animal->fds[1]);
    say_outside(animal->fds[3]);
    animal_run(animal);
}
