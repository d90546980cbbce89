/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define PATIENCE 30 /* seconds */
#define BOOT_SECONDS 60
#define BULK (8U << 20)
#define BULK_OF_ZEROS_MD5 "96995b58d4cbf6aaa9041b4f00c7f6ae"
#define FREED_MIB 64
#define MEMORY "/tmp/overlay.memory"

/* --- Network --- */

static int listen_on(unsigned short port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = PATIENCE};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0,
           "port %u: %s", port, strerror(errno));
    return fd;
}

/* All that somebody sends to the port; how many bytes it was, all zeros. */
static size_t take_all(int listener)
{
    static char block[1 << 16];
    size_t sum = 0;
    ssize_t n;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    EXPECT(fd >= 0, "nobody connects: %s", strerror(errno));
    while ((n = read(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            EXPECT(block[i] == 0, "byte %zu is wrong", sum + (size_t)i);
        sum += (size_t)n;
    }
    close(fd);
    return sum;
}

static void give_all(int listener)
{
    static char block[1 << 16];
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    for (size_t sent = 0; fd >= 0 && sent < BULK; sent += sizeof block)
        if (write(fd, block, sizeof block) != sizeof block)
            _exit(1);
    _exit(fd < 0);
}

void check_bulk_network(Machine *machine)
{
    int listener = listen_on(7777);
    expect_shell(machine,
                 "(busybox dd if=/dev/zero bs=64k count=128 | busybox nc 10.99.0.1 7777) "
                 ">/dev/null 2>&1 &",
                 "");
    double start = now();
    size_t sum = take_all(listener);
    EXPECT(sum == BULK, "%zu bytes came from the guest", sum);
    report_figure("network from the guest", BULK / (now() - start) / (1 << 20), "MiB/s");
    pid_t child = fork();
    if (child == 0)
        give_all(listener);
    start = now();
    expect_shell_has(machine, "busybox nc 10.99.0.1 7777 </dev/null | busybox md5sum",
                     BULK_OF_ZEROS_MD5);
    report_figure("network to the guest", BULK / (now() - start) / (1 << 20), "MiB/s");
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0, "sending ended with %d", status);
    close(listener);
}

/* --- Console --- */

void check_console(Machine *machine)
{
    expect_shell(machine, "echo said-on-the-console >/dev/hvc0; busybox sleep 0.1", "");
    EXPECT(machine_log_has(machine, "said-on-the-console"), "the log lacks it");
}

/* --- Balloon --- */

static double file_mib(const char *path)
{
    struct stat status;
    EXPECT(stat(path, &status) == 0, "%s: %s", path, strerror(errno));
    return (double)status.st_blocks * 512 / (1 << 20);
}

void check_reported_pages(Machine *machine, const char *memory)
{
    char command[96];
    snprintf(command, sizeof command,
             "busybox dd if=/dev/urandom of=/tmp/x bs=1M count=%d 2>/dev/null", FREED_MIB);
    expect_shell(machine, command, "");
    double full = file_mib(memory), start = now();
    expect_shell(machine, "busybox rm /tmp/x", "");
    while (full - file_mib(memory) < FREED_MIB / 2) {
        EXPECT(now() - start < PATIENCE, "the file went from %.0f to %.0f MiB", full,
               file_mib(memory));
        poll(NULL, 0, 100);
    }
    report_figure("freed memory is the host's again after", now() - start, "s");
}

/* --- A copy-on-write disk --- */

static void start_on_overlay(Machine *machine, const char *overlay, const char *base)
{
    machine_start(machine, &(MachineOptions){
                               .name = "o",
                               .memory = MEMORY,
                               .memory_size = 128ULL << 20,
                               .kernel = "/vmlinuz",
                               .initrd = "/initrd",
                               .command_line = "console=ttyS0 panic=-1 quiet",
                               .disk = overlay,
                               .disk_base = base,
                               .disk_format = "qcow2",
                               .cpus = 1,
                           });
    machine_shell(machine, "busybox mkdir -p /m", NULL, BOOT_SECONDS);
    expect_shell(machine, "busybox mount -t ext4 /dev/vda /m && cat /m/hello", "from the base");
}

void check_killed_overlay(const char *overlay, const char *base)
{
    Machine machine;
    char sum[64];
    start_on_overlay(&machine, overlay, base);
    const char *found = machine_shell(&machine,
                                      "busybox dd if=/dev/urandom of=/m/data bs=64k count=48 "
                                      "2>/dev/null; echo changed >/m/hello2; busybox sync; "
                                      "busybox md5sum </m/data",
                                      NULL, PATIENCE);
    snprintf(sum, sizeof sum, "%.32s", found);
    machine_say(&machine, "busybox dd if=/dev/urandom of=/m/late bs=64k count=64 conv=fsync");
    poll(NULL, 0, 100); /* so that it dies at work; any moment will do */
    machine_kill(&machine);
    unlink(MEMORY);
    start_on_overlay(&machine, overlay, base);
    expect_shell_has(&machine, "busybox md5sum </m/data; cat /m/hello2", sum);
    expect_shell(&machine, "cat /m/hello2", "changed");
    expect_shell(&machine, "busybox rm -f /m/late; busybox umount /m && echo well", "well");
    expect_shell(&machine, "busybox dmesg | busybox grep -c 'EXT4-fs error' || true", "0");
    machine_kill(&machine);
    unlink(MEMORY);
}
