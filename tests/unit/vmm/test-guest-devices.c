/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each device, driven by a tiny guest on the host's KVM: registers through exits, notifications
 * through events of the kernel's, interrupts through its interrupt controllers.
 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vm-driver.h"

#define SECTOR 512
#define PAGE 4096

static unsigned n_bells;

/* The linker puts it in the place of the function (meson.build), which only the loop calls: for a
 * notification that KVM made an event of. */
void __real_vmm_mmio_notify(VmmMmio *mmio, unsigned queue);
void __wrap_vmm_mmio_notify(VmmMmio *mmio, unsigned queue);
void __wrap_vmm_mmio_notify(VmmMmio *mmio, unsigned queue)
{
    n_bells++;
    __real_vmm_mmio_notify(mmio, queue);
}

static void build(Vm *vm)
{
    VM_SET_KERNEL(vm, pvh_driver);
    vm_build(vm);
    g_assert_cmpuint(vm->vm.n_slots, ==, 1);
    n_bells = 0;
}

/* Lets the guest do it all and be interrupted for it. */
static void run(Driver *driver)
{
    driver_wait_interrupts(driver, 1);
    driver_wait(driver, driver->base + VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING,
                VIRTIO_MMIO_INT_VRING);
    driver_write_register(driver, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    driver_run(driver);
    g_assert_cmpuint(driver_interrupts(driver), >, 0);
    g_assert_cmpuint(n_bells, ==, driver->n_notifications);
    g_assert_cmpuint(driver->vm->vm.machine.mmio.unknown_reads, ==, 0);
    g_assert_cmpuint(driver->vm->vm.machine.mmio.unknown_writes, ==, 0);
    g_assert_cmpuint(vmm_mmio_refused(driver->vm->vm.slots[0].mmio), ==, 0);
}

static void put_text(Driver *driver, uint64_t gpa, const char *text)
{
    memcpy(driver_at(driver, gpa, strlen(text)), text, strlen(text));
}

static void expect_text_at(Driver *driver, uint64_t gpa, const char *text)
{
    g_assert_cmpmem(driver_at(driver, gpa, strlen(text)), strlen(text), text, strlen(text));
}

static void test_rng(void)
{
    static const uint8_t zeros[64];
    const DriverBuffer buffer = {DRIVER_DATA, sizeof zeros, TRUE};
    Vm vm;
    Driver driver;
    if (!vm_init(&vm))
        return;
    vm.options.has_rng = true;
    build(&vm);
    driver_init(&driver, &vm, 0, 0, 1);
    driver_add(&driver, 0, &buffer, 1);
    driver_notify(&driver, 0);
    driver_wait_used(&driver, 0);
    run(&driver);
    g_assert_cmpuint(driver_written(&driver, 0, 0), ==, sizeof zeros);
    const uint8_t *bytes = driver_at(&driver, DRIVER_DATA, 2 * sizeof zeros);
    g_assert_cmpint(memcmp(bytes, zeros, sizeof zeros), !=, 0);
    g_assert_cmpint(memcmp(bytes + sizeof zeros, zeros, sizeof zeros), ==, 0);
    vm_free(&vm);
}

/* Adds a request for one sector, whose parts lie in a page. */
static void add_sector(Driver *driver, uint64_t page, uint32_t type, uint64_t sector)
{
    const struct virtio_blk_outhdr header = {.type = GUINT32_TO_LE(type),
                                             .sector = GUINT64_TO_LE(sector)};
    const DriverBuffer buffers[] = {
        {page, sizeof header, FALSE},
        {page + SECTOR, SECTOR, type == VIRTIO_BLK_T_IN},
        {page + PAGE - 1, 1, TRUE},
    };
    memcpy(driver_at(driver, page, sizeof header), &header, sizeof header);
    *(uint8_t *)driver_at(driver, page + PAGE - 1, 1) = 0xaa;
    driver_add(driver, 0, buffers, G_N_ELEMENTS(buffers));
}

/* A sector is read, another written. */
static void test_blk(void)
{
    Vm vm;
    Driver driver;
    char bytes[8] = "";
    const uint64_t in = DRIVER_DATA, out = DRIVER_DATA + PAGE;
    if (!vm_init(&vm))
        return;
    int fd = vm_file(64 * SECTOR);
    g_assert_cmpint(pwrite(fd, "on disk", 7, 5 * SECTOR), ==, 7);
    vm.options.disks[0] = (VmmDiskOption){.fds = {.fds = {fd}, .n = 1}};
    vm.options.n_disks = 1;
    build(&vm);
    driver_init(&driver, &vm, 0, VIRTIO_BIT(VIRTIO_BLK_F_FLUSH), 1);
    add_sector(&driver, in, VIRTIO_BLK_T_IN, 5);
    add_sector(&driver, out, VIRTIO_BLK_T_OUT, 63);
    put_text(&driver, out + SECTOR, "written");
    driver_notify(&driver, 0);
    driver_wait_used(&driver, 0);
    run(&driver);
    expect_text_at(&driver, in + SECTOR, "on disk");
    g_assert_cmpint(*(uint8_t *)driver_at(&driver, in + PAGE - 1, 1), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpint(*(uint8_t *)driver_at(&driver, out + PAGE - 1, 1), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpint(pread(fd, bytes, 7, 63 * SECTOR), ==, 7);
    g_assert_cmpstr(bytes, ==, "written");
    vm_free(&vm);
    close(fd);
}

/* Packets go out and come in. */
static void test_net(void)
{
    static const struct virtio_net_hdr_v1 header;
    const uint32_t length = sizeof header + 64;
    const uint64_t in = DRIVER_DATA, out = DRIVER_DATA + PAGE;
    char packet[256] = "";
    int ends[2];
    Vm vm;
    Driver driver;
    if (!vm_init(&vm))
        return;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), ==, 0);
    strcpy(packet + sizeof header, "from the wire");
    g_assert_cmpint(send(ends[1], packet, length, 0), ==, length);
    vm.options.nets[0] = (VmmNetOption){.fd = ends[0], .mac = {2}};
    vm.options.n_nets = 1;
    build(&vm);
    driver_init(&driver, &vm, 0, 0, 3);
    driver_add(&driver, 0, &(DriverBuffer){in, 2048, TRUE}, 1);
    driver_add(&driver, 1, &(DriverBuffer){out, length, FALSE}, 1);
    put_text(&driver, out + sizeof header, "from the guest");
    for (unsigned queue = 0; queue < 2; queue++)
        driver_notify(&driver, queue);
    for (unsigned queue = 0; queue < 2; queue++)
        driver_wait_used(&driver, queue);
    run(&driver);
    g_assert_cmpuint(driver_written(&driver, 0, 0), ==, length);
    expect_text_at(&driver, in + sizeof header, "from the wire");
    g_assert_cmpint(recv(ends[1], packet, sizeof packet, 0), ==, length);
    g_assert_cmpstr(packet + sizeof header, ==, "from the guest");
    vm_free(&vm);
    close(ends[0]);
    close(ends[1]);
}

/* A listening socket at an address of the kernel's choice, and a client of it. */
static void make_client(int *listener, int *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address.sun_family;
    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(*listener, (struct sockaddr *)&address, length), ==, 0);
    g_assert_cmpint(listen(*listener, 1), ==, 0);
    length = sizeof address;
    g_assert_cmpint(getsockname(*listener, (struct sockaddr *)&address, &length), ==, 0);
    g_assert_cmpint(connect(*client, (struct sockaddr *)&address, length), ==, 0);
}

/* What is typed comes in, what is printed goes out. */
static void test_console(void)
{
    const uint64_t in = DRIVER_DATA, out = DRIVER_DATA + PAGE;
    char printed[16] = "";
    Vm vm;
    Driver driver;
    int client;
    if (!vm_init(&vm))
        return;
    make_client(&vm.options.console, &client);
    g_assert_cmpint(send(client, "typed", 5, 0), ==, 5);
    vm.options.has_console = true;
    build(&vm);
    driver_init(&driver, &vm, 0, 0, 3);
    driver_add(&driver, 0, &(DriverBuffer){in, 64, TRUE}, 1);
    driver_add(&driver, 1, &(DriverBuffer){out, 7, FALSE}, 1);
    put_text(&driver, out, "printed");
    driver_notify(&driver, 0);
    driver_wait_used(&driver, 0);
    driver_notify(&driver, 1);
    driver_wait_used(&driver, 1);
    run(&driver);
    g_assert_cmpuint(driver_written(&driver, 0, 0), ==, 5);
    expect_text_at(&driver, in, "typed");
    g_assert_cmpint(recv(client, printed, sizeof printed - 1, 0), ==, 7);
    g_assert_cmpstr(printed, ==, "printed");
    vm_free(&vm);
    close(vm.options.console);
    close(client);
}

/* A page is given up, and the guest says that it has one less. */
static void test_balloon(void)
{
    const uint64_t page = DRIVER_DATA + 16 * PAGE;
    const uint32_t number = GUINT32_TO_LE((uint32_t)(page / PAGE));
    Vm vm;
    Driver driver;
    if (!vm_init(&vm))
        return;
    vm.options.has_balloon = true;
    build(&vm);
    vm_command(&vm, "{\"execute\": \"qmp_capabilities\"}");
    driver_init(&driver, &vm, 0, 0, 3);
    memcpy(driver_at(&driver, DRIVER_DATA, sizeof number), &number, sizeof number);
    memset(driver_at(&driver, page, 2 * PAGE), 'x', 2 * PAGE);
    driver_add(&driver, 0, &(DriverBuffer){DRIVER_DATA, sizeof number, FALSE}, 1);
    driver_notify(&driver, 0);
    driver_wait_used(&driver, 0);
    driver_write_register(&driver,
                          VIRTIO_MMIO_CONFIG + offsetof(struct virtio_balloon_config, actual), 1);
    run(&driver);
    g_assert_cmpint(*(char *)driver_at(&driver, page + PAGE - 1, 1), ==, 0);
    g_assert_cmpint(*(char *)driver_at(&driver, page + PAGE, 1), ==, 'x');
    g_autofree char *event = g_strdup_printf("\"event\": \"BALLOON_CHANGE\", \"data\": "
                                             "{\"actual\": %llu}",
                                             VM_MEMORY - PAGE);
    g_assert_nonnull(strstr(vm.sent->str, event));
    vm_free(&vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/guest/rng", test_rng);
    g_test_add_func("/vmm/guest/blk", test_blk);
    g_test_add_func("/vmm/guest/net", test_net);
    g_test_add_func("/vmm/guest/console", test_console);
    g_test_add_func("/vmm/guest/balloon", test_balloon);
    return g_test_run();
}
