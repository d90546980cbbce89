/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports get their name some time after they appear, and the kernel announces both. Whoever wants
 * to miss nothing watches first and looks then. Without udev there is only /dev/vportNpM and its
 * name in sysfs, so that is where we look.
 */
#include "guest/port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/text.h"

#define KERNEL_GROUP 1
#define ANNOUNCEMENT_MAX 8192
#define ENTRIES_SIZE 2048
#define PATH_SIZE 128
#define NAME_SIZE 128
#define PORTS_FOLDER "/sys/class/virtio-ports/"

/* As getdents64(2) gives it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

int guest_port_watch(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int failed = -errno;
    close(fd);
    return failed;
}

bool guest_port_is_announced(int watch)
{
    static char text[ANNOUNCEMENT_MAX];
    bool is_announced = false;
    for (;;) {
        ssize_t n = recv(watch, text, sizeof text, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return is_announced || errno == ENOBUFS;
        if (memmem(text, (size_t)n, "virtio-ports", strlen("virtio-ports")))
            is_announced = true;
    }
}

static bool has_name(const char *port, const char *name)
{
    char path[PATH_SIZE], found[NAME_SIZE];
    GuestText text = guest_text(path, sizeof path);
    guest_text_add(&text, PORTS_FOLDER);
    guest_text_add(&text, port);
    guest_text_add(&text, "/name");
    if (guest_read_file(path, found, sizeof found) < 0)
        return false;
    found[strcspn(found, "\n")] = '\0';
    return strcmp(found, name) == 0;
}

static int open_device(const char *port)
{
    char path[PATH_SIZE];
    GuestText text = guest_text(path, sizeof path);
    guest_text_add(&text, "/dev/");
    guest_text_add(&text, port);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Among the entries that were read: the port's descriptor, or -ENOENT. */
static int search(const char *entries, size_t length, const char *name)
{
    for (size_t at = 0; at < length;) {
        const struct entry *entry = (const void *)(entries + at);
        at += entry->length;
        if (entry->name[0] != '.' && has_name(entry->name, name))
            return open_device(entry->name);
    }
    return -ENOENT;
}

int guest_port_open(const char *name)
{
    static char entries[ENTRIES_SIZE] __attribute__((aligned(8)));
    int folder = open(PORTS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int result = -ENOENT;
    while (result == -ENOENT) {
        long n = syscall(SYS_getdents64, folder, entries, sizeof entries);
        if (n <= 0)
            break;
        result = search(entries, (size_t)n, name);
    }
    close(folder);
    return result;
}
