/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the order of switch_root(8): mount, move what is mounted, move the mount over /, chroot. The
 * kernel's own way (root= without an init in the initramfs) knows no UUIDs.
 */
#include "guest/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest/init.h"
#include "guest/port.h"
#include "guest/text.h"

#define BLOCKS_FOLDER "/sys/class/block"
#define NEW_ROOT "/sysroot"
#define PATIENCE_MS 10000
#define CMDLINE_MAX 4096
#define ENTRIES_SIZE 2048
#define PATH_SIZE 64
#define EXT4_GROW _IOW('f', 16, uint64_t) /* EXT4_IOC_RESIZE_FS */

/* As getdents64(2) gives it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static const char *const moved[] = {"/dev", "/proc", "/sys", "/run", "/tmp"};

/* --- What is looked for --- */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c | 0x20) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* 8-4-4-4-12 hex digits that a blank or the end follows. */
static bool parse_uuid(const char *text, uint8_t uuid[GUEST_UUID_SIZE])
{
    for (size_t i = 0; i < GUEST_UUID_SIZE; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return false;
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return false;
        uuid[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text == '\0' || strchr(" \n", *text) != NULL;
}

bool guest_root_wanted(const char *cmdline, uint8_t uuid[GUEST_UUID_SIZE])
{
    static const char label[] = "root=UUID=";
    for (const char *word = cmdline; *word;) {
        if (strncmp(word, label, sizeof label - 1) == 0)
            return parse_uuid(word + sizeof label - 1, uuid);
        word += strcspn(word, " \n");
        word += strspn(word, " \n");
    }
    return false;
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The superblock's layout: Documentation/filesystems/ext4/super.rst of Linux. */
enum {
    SB_BLOCKS_LOW = 0x4,
    SB_BLOCK_SIZE = 0x18, /* log2, above 1024 */
    SB_MAGIC = 0x38,
    SB_INCOMPATIBLE = 0x60,
    SB_UUID = 0x68,
    SB_BLOCKS_HIGH = 0x150, /* with 64BIT */
};
#define SB_64BIT 0x80U
#define BLOCK_SIZE_MAX 6U /* log2, above 1024 */

bool guest_superblock(const uint8_t bytes[GUEST_SUPERBLOCK_SIZE], GuestSuperblock *found)
{
    if (bytes[SB_MAGIC] != 0x53 || bytes[SB_MAGIC + 1] != 0xef ||
        le32(bytes + SB_BLOCK_SIZE) > BLOCK_SIZE_MAX)
        return false;
    memcpy(found->uuid, bytes + SB_UUID, GUEST_UUID_SIZE);
    found->block_size = 1024U << le32(bytes + SB_BLOCK_SIZE);
    found->blocks = le32(bytes + SB_BLOCKS_LOW);
    if (le32(bytes + SB_INCOMPATIBLE) & SB_64BIT)
        found->blocks |= (uint64_t)le32(bytes + SB_BLOCKS_HIGH) << 32;
    return true;
}

/* --- Its disk --- */

typedef struct {
    char path[PATH_SIZE];
    uint64_t size; /* bytes */
    GuestSuperblock superblock;
} Device;

/* Whether the block device of that name has the file system. */
static bool is_wanted(const char *name, const uint8_t *uuid, Device *device)
{
    static uint8_t bytes[GUEST_SUPERBLOCK_SIZE];
    GuestText text = guest_text(device->path, sizeof device->path);
    guest_text_add(&text, "/dev/");
    guest_text_add(&text, name);
    int fd = open(device->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_read =
        pread(fd, bytes, sizeof bytes, GUEST_SUPERBLOCK_OFFSET) == (ssize_t)sizeof bytes &&
        ioctl(fd, BLKGETSIZE64, &device->size) == 0;
    close(fd);
    return is_read && guest_superblock(bytes, &device->superblock) &&
           memcmp(device->superblock.uuid, uuid, GUEST_UUID_SIZE) == 0;
}

static bool is_among(const char *entries, size_t length, const uint8_t *uuid, Device *device)
{
    for (size_t at = 0; at < length;) {
        const struct entry *entry = (const void *)(entries + at);
        at += entry->length;
        if (entry->name[0] != '.' && is_wanted(entry->name, uuid, device))
            return true;
    }
    return false;
}

static bool find_device(const uint8_t *uuid, Device *device)
{
    static char entries[ENTRIES_SIZE] __attribute__((aligned(8)));
    int folder = open(BLOCKS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool found = false;
    while (folder >= 0 && !found) {
        long n = syscall(SYS_getdents64, folder, entries, sizeof entries);
        if (n <= 0)
            break;
        found = is_among(entries, (size_t)n, uuid, device);
    }
    if (folder >= 0)
        close(folder);
    return found;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Looks again whenever the kernel announces a device. */
static int await_device(const uint8_t *uuid, Device *device)
{
    int watch = guest_port_watch();
    int64_t end = now_ms() + PATIENCE_MS;
    bool found = find_device(uuid, device);
    for (int64_t left = PATIENCE_MS; !found && watch >= 0 && left > 0; left = end - now_ms()) {
        struct pollfd announcement = {.fd = watch, .events = POLLIN};
        if (poll(&announcement, 1, (int)left) > 0)
            guest_port_is_announced(watch); /* which reads them, whatever they are */
        found = find_device(uuid, device);
    }
    if (watch >= 0)
        close(watch);
    return found ? 0 : -ENODEV;
}

/* --- Entering --- */

static bool is_initramfs(void)
{
    struct statfs about;
    return statfs("/", &about) == 0 && (about.f_type == RAMFS_MAGIC || about.f_type == TMPFS_MAGIC);
}

/* Its disk may be larger than the image's was. */
static void grow(const Device *device)
{
    uint64_t blocks = device->size / device->superblock.block_size;
    if (blocks <= device->superblock.blocks)
        return;
    int fd = open(NEW_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, EXT4_GROW, &blocks) < 0)
        guest_complain("grow the file system of", device->path, errno);
    if (fd >= 0)
        close(fd);
}

static void move_mounts(void)
{
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        char path[PATH_SIZE];
        GuestText text = guest_text(path, sizeof path);
        guest_text_add(&text, NEW_ROOT);
        guest_text_add(&text, moved[i]);
        mkdir(path, 0755);
        if (mount(moved[i], path, NULL, MS_MOVE, NULL) < 0)
            guest_complain("move", moved[i], errno);
    }
}

static int change_root(void)
{
    move_mounts();
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return -errno;
    return 0;
}

int guest_root_enter(const char **what)
{
    static char cmdline[CMDLINE_MAX];
    static Device device;
    uint8_t uuid[GUEST_UUID_SIZE];
    *what = "read the command line";
    int64_t length = guest_read_file("/proc/cmdline", cmdline, sizeof cmdline);
    if (length < 0)
        return (int)length;
    if (!is_initramfs() || !guest_root_wanted(cmdline, uuid))
        return 0;
    *what = "find the disk with the root";
    int failed = await_device(uuid, &device);
    if (failed)
        return failed;
    *what = "mount the root";
    mkdir(NEW_ROOT, 0755);
    if (mount(device.path, NEW_ROOT, "ext4", MS_NOATIME, NULL) < 0)
        return -errno;
    grow(&device);
    *what = "change to the root";
    return change_root();
}

/* --- What it starts --- */

static _Noreturn void run_script(void)
{
    static char *const argv[] = {(char *)GUEST_BOOT_SCRIPT, NULL};
    static char *const env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"HOME=/root",
                                (char *)"TERM=linux", NULL};
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    setsid();
    for (int fd = 0; console >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(console, fd);
    if (console > STDERR_FILENO)
        close(console);
    execve(argv[0], argv, env);
    _exit(127);
}

void guest_boot_script(void)
{
    if (access(GUEST_BOOT_SCRIPT, X_OK) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0)
        run_script();
    if (pid < 0)
        guest_complain("start", GUEST_BOOT_SCRIPT, errno);
}
