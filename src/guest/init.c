/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of what is mounted and linked where; one that is there already is no error. */
#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/messages.h"
#include "guest/network.h"
#include "guest/text.h"

#define LIST_MAX 16384
#define FLAG_COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE */
#define LINE_SIZE 256
#define PERMISSIONS 0777
#define TOLD_FOLDER "/run/identity"
#define TOLD_MAX 4096
/* Not in every C library's headers. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4U
#endif

static const struct {
    const char *type, *place;
    unsigned long flags;
    const char *options;
} mounts[] = {
    {"proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
    {"sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
};

static const struct {
    const char *to, *place;
} device_links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/* Who this machine is. On the disk it would outlast what the host says, and wake the disk up. */
static const char *const told[] = {"/etc/hostname", "/etc/machine-id", "/etc/resolv.conf"};

void guest_complain(const char *what, const char *of, int error)
{
    char line[LINE_SIZE];
    GuestText text = guest_text(line, sizeof line - 1);
    guest_text_add(&text, "stead-agent: ");
    guest_text_add(&text, what);
    guest_text_add(&text, *of ? " " : "");
    guest_text_add(&text, of);
    guest_text_add(&text, ": ");
    guest_text_add(&text, strerror(error < 0 ? -error : error));
    line[text.length++] = '\n';
    if (write(STDERR_FILENO, line, text.length) < 0)
        return; /* there is nobody else to tell */
}

void guest_init_descriptors(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < STDERR_FILENO)
        fd = dup(fd);
    if (fd > STDERR_FILENO)
        close(fd);
    syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

static void mount_all(void)
{
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        mkdir(mounts[i].place, 0755);
        if (mount(mounts[i].type, mounts[i].place, mounts[i].type, mounts[i].flags,
                  mounts[i].options) < 0 &&
            errno != EBUSY)
            guest_complain("mount", mounts[i].place, errno);
    }
    for (size_t i = 0; i < sizeof device_links / sizeof *device_links; i++)
        if (symlink(device_links[i].to, device_links[i].place) < 0 && errno != EEXIST)
            guest_complain("link", device_links[i].place, errno);
    mkdir("/etc", 0755);
    mkdir("/root", 0700);
}

static int copy_file(const char *from, const char *to)
{
    static char content[TOLD_MAX];
    int64_t length = guest_read_file(from, content, sizeof content);
    struct stat about;
    if (length < 0 || lstat(from, &about) < 0 || !S_ISREG(about.st_mode))
        return -1;
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, about.st_mode & PERMISSIONS);
    if (fd < 0)
        return -1;
    bool is_whole = write(fd, content, (size_t)length) == length;
    close(fd);
    return is_whole ? 0 : -1;
}

void guest_init_told(void)
{
    mkdir(TOLD_FOLDER, 0755);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        char path[LINE_SIZE];
        GuestText text = guest_text(path, sizeof path);
        guest_text_add(&text, TOLD_FOLDER);
        guest_text_add(&text, strrchr(told[i], '/'));
        if (copy_file(told[i], path) == 0 && mount(path, told[i], NULL, MS_BIND, NULL) < 0)
            guest_complain("mount", told[i], errno);
    }
}

static int load_module(const char *path)
{
    size_t length = strlen(path);
    bool is_plain = length >= 3 && strcmp(path + length - 3, ".ko") == 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    long result = syscall(SYS_finit_module, fd, "", is_plain ? 0 : FLAG_COMPRESSED);
    int failed = result < 0 && errno != EEXIST ? -errno : 0;
    close(fd);
    return failed;
}

static void load_modules(void)
{
    static char list[LIST_MAX];
    int64_t length = guest_read_file(GUEST_MODULES_LIST, list, sizeof list);
    if (length < 0 && length != -ENOENT)
        guest_complain("read", GUEST_MODULES_LIST, (int)length);
    char *line = list;
    for (int n = 0; length > 0 && *line && n < GUEST_MODULES_MAX; n++) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        *end = '\0';
        int failed = *line ? load_module(line) : 0;
        if (failed)
            guest_complain("load", line, failed);
        line = next;
    }
}

static void set_host_name(void)
{
    static char name[GUEST_HOST_NAME_MAX + 2];
    if (guest_read_file("/etc/hostname", name, sizeof name) <= 0)
        return;
    name[strcspn(name, " \t\n")] = '\0';
    if (sethostname(name, strlen(name)) < 0)
        guest_complain("host name", name, errno);
}

void guest_init_system(void)
{
    mount_all();
    guest_init_descriptors();
    set_host_name();
    load_modules();
    int failed = guest_network_up_loopback();
    if (failed)
        guest_complain("loopback", "", failed);
    reboot(LINUX_REBOOT_CMD_CAD_OFF);
}
