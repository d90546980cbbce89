/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs inside the nested host: stead-vmm boots a stock kernel, and each check looks at one thing
 * that a user relies on. The checks share the machines, in the order below. One line a check, one a
 * figure; the test beside this file reads them.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices.h"
#include "figures.h"
#include "jail.h"
#include "machine.h"

#define MEMORY_SIZE (192ULL << 20)
#define GUESTS "template.memory"
#define TEMPLATE "/tmp/" GUESTS
#define STATE "/tmp/template.state"
#define DISK "/tmp/disk"
#define BOOT_SECONDS 120
#define ANSWER_SECONDS 60

jmp_buf check_failed;
static char why[1024];
static Machine a, b, c;

_Noreturn void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    longjmp(check_failed, 1);
}

void run_check(const char *name, void (*check)(void))
{
    double start = now();
    if (setjmp(check_failed) == 0) {
        check();
        printf("ok %s (%.1f s)\n", name, now() - start);
    } else {
        for (char *at = why; *at; at++)
            if (*at == '\n' || *at == '\r')
                *at = '|';
        printf("not ok %s: %s\n", name, why);
    }
    fflush(stdout);
}

void report_figure(const char *name, double value, const char *unit)
{
    printf("figure %s: %.2f %s\n", name, value, unit);
}

void expect_shell_has(Machine *machine, const char *command, const char *part)
{
    int code = -1;
    const char *found = machine_shell(machine, command, &code, ANSWER_SECONDS);
    EXPECT(code == 0 && strstr(found, part), "'%s' gave %d and: %s", command, code, found);
}

void expect_shell(Machine *machine, const char *command, const char *output)
{
    int code = -1;
    const char *found = machine_shell(machine, command, &code, ANSWER_SECONDS);
    size_t length = strlen(output);
    bool is_it =
        strncmp(found, output, length) == 0 && found[length + strspn(found + length, "\n")] == '\0';
    EXPECT(code == 0 && is_it, "'%s' gave %d and: %s", command, code, found);
}

static void expect_answer(Machine *machine, const char *command, const char *part)
{
    const char *found = machine_command(machine, command);
    EXPECT(strstr(found, part), "%s gave %s", command, found);
}

static void make_file(const char *path, off_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT(fd >= 0 && ftruncate(fd, size) == 0, "%s: %s", path, strerror(errno));
    close(fd);
}

static void copy_file(const char *from, const char *to)
{
    static char block[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n;
    while ((n = read(in, block, sizeof block)) > 0)
        EXPECT(write(out, block, (size_t)n) == n, "%s: %s", to, strerror(errno));
    EXPECT(n == 0, "%s: %s", from, strerror(errno));
    close(in);
    close(out);
}

/* --- a machine from its boot on --- */

static void boots(void)
{
    make_file(DISK, 16 << 20);
    machine_start(&a, &(MachineOptions){
                          .name = "a",
                          .memory = TEMPLATE,
                          .memory_size = MEMORY_SIZE,
                          .kernel = "/vmlinuz",
                          .initrd = "/initrd",
                          .command_line = "console=ttyS0 panic=-1 quiet",
                          .disk = DISK,
                          .address = "10.99.0.1/24",
                          .cpus = 2,
                      });
    machine_shell(&a, "true", NULL, BOOT_SECONDS);
    report_figure("nested boot to the first answer", now() - a.started, "s");
    machine_wait_event(&a, "\"VSERPORT_CHANGE\", \"data\": {\"id\": \"agent\", \"open\": true",
                       ANSWER_SECONDS);
    expect_answer(&a, "{\"execute\": \"query-status\"}", "\"status\": \"running\"");
}

static void has_two_vcpus(void)
{
    expect_shell(&a, "busybox nproc", "2");
    expect_shell(&a, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
                 "kvm-clock");
}

/* Of what the machine is made of; about the emulated CPU it may complain. */
static void kernel_has_no_complaint(void)
{
    expect_shell(&a,
                 "busybox dmesg | busybox grep -iE 'acpi.*(error|warn)|firmware bug|virtio.*fail' "
                 "|| echo none",
                 "none");
}

static void has_a_disk(void)
{
    char text[6] = "";
    expect_shell(&a,
                 "echo -n hello | busybox dd of=/dev/vda conv=fsync 2>/dev/null; echo 3 "
                 ">/proc/sys/vm/drop_caches; busybox head -c 5 /dev/vda",
                 "hello");
    expect_shell(&a, "cat /sys/block/vda/serial", "disk0");
    int fd = open(DISK, O_RDONLY | O_CLOEXEC);
    EXPECT(read(fd, text, 5) == 5 && strcmp(text, "hello") == 0, "the file has: %s", text);
    close(fd);
}

static void moves_much_data(void)
{
    expect_shell_has(&a,
                     "busybox dd if=/dev/zero of=/dev/vda bs=64k count=128 seek=1 conv=fsync "
                     "2>/dev/null && busybox dd if=/dev/vda bs=64k skip=1 count=128 2>/dev/null "
                     "| busybox md5sum",
                     "96995b58d4cbf6aaa9041b4f00c7f6ae");
}

static void has_a_network(void)
{
    expect_shell_has(&a, "busybox ping -c 2 -W 5 10.99.0.1", "2 packets received");
    expect_shell_has(&a, "busybox ping -c 1 -s 1400 -W 5 10.99.0.1", "1 packets received");
}

static void has_random_numbers(void)
{
    expect_shell(&a, "busybox head -c 64 /dev/hwrng | busybox wc -c", "64");
}

static void network_moves_much_data(void)
{
    check_bulk_network(&a);
}

static void has_a_console(void)
{
    check_console(&a);
}

static void gives_free_pages_back(void)
{
    check_reported_pages(&a, TEMPLATE);
}

/* Linux tells by whose way it was booted: its PVH entry sets 11, we would set 15. */
static void boots_by_pvh(void)
{
    machine_start(&c, &(MachineOptions){
                          .name = "e",
                          .memory = "/tmp/pvh.memory",
                          .memory_size = MEMORY_SIZE,
                          .kernel = "/vmlinux",
                          .initrd = "/initrd",
                          .command_line = "console=ttyS0 panic=-1 quiet",
                          .cpus = 1,
                      });
    machine_shell(&c, "true", NULL, BOOT_SECONDS);
    report_figure("nested boot by PVH to the first answer", now() - c.started, "s");
    expect_shell(&c, "echo $(($(cat /proc/sys/kernel/bootloader_type) >> 4))", "11");
    expect_answer(&c, "{\"execute\": \"quit\"}", "\"return\": {}");
    EXPECT(machine_wait(&c, ANSWER_SECONDS) == 0, "it did not end well");
    unlink("/tmp/pvh.memory");
}

static void keeps_what_was_synced(void)
{
    check_killed_overlay("/overlay.qcow2", "/base.raw");
}

static void log_has_the_console(void)
{
    expect_shell(&a, "echo said-on-the-serial-port >/dev/ttyS0; busybox sleep 0.1", "");
    EXPECT(machine_log_has(&a, "said-on-the-serial-port"), "the log lacks it");
}

static double balloon_mib(Machine *machine)
{
    const char *answer = machine_command(machine, "{\"execute\": \"query-balloon\"}");
    const char *actual = strstr(answer, "\"actual\": ");
    EXPECT(actual, "%s", answer);
    return atof(actual + 10) / (1 << 20);
}

static void wait_for_balloon(Machine *machine, double mib)
{
    for (double end = now() + ANSWER_SECONDS; balloon_mib(machine) != mib;) {
        EXPECT(now() < end, "the balloon stays at %.0f MiB", balloon_mib(machine));
        machine_shell(machine, "busybox sleep 0.2", NULL, ANSWER_SECONDS);
    }
}

static void balloon_takes_and_gives_memory(void)
{
    expect_answer(&a, "{\"execute\": \"balloon\", \"arguments\": {\"value\": 134217728}}",
                  "\"return\": {}");
    wait_for_balloon(&a, 128);
    EXPECT(strstr(a.events, "BALLOON_CHANGE"), "no event of it");
    machine_command(&a, "{\"execute\": \"balloon\", \"arguments\": {\"value\": 201326592}}");
    wait_for_balloon(&a, 192);
}

static void has_little_memory_of_its_own(void)
{
    double kib = jail_memory(&a, GUESTS);
    report_figure("memory beyond the guest's own", kib, "KiB");
    EXPECT(kib < 3072, "%.0f KiB", kib);
}

static void is_jailed(void)
{
    check_jail(&a, MEMORY_SIZE);
}

/* --- the template and its clones --- */

static void is_saved(void)
{
    machine_shell(&a, "echo template >/tmp/name", NULL, ANSWER_SECONDS);
    int fd = open(STATE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    expect_answer(&a, "{\"execute\": \"stop\"}", "\"return\": {}");
    machine_send_fd(&a, "state", fd);
    close(fd);
    double start = now();
    expect_answer(&a, "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": \"state\"}}",
                  "\"return\": {}");
    report_figure("saving a snapshot", (now() - start) * 1e3, "ms");
    struct stat status;
    EXPECT(stat(STATE, &status) == 0 && status.st_size > 0, "no state");
    report_figure("size of the state", (double)status.st_size / 1024, "KiB");
    expect_answer(&a, "{\"execute\": \"quit\"}", "\"return\": {}");
    EXPECT(machine_wait(&a, ANSWER_SECONDS) == 0, "it did not end well");
}

static MachineOptions clone_options(const char *name, const char *disk, const char *address)
{
    return (MachineOptions){
        .name = name,
        .memory = TEMPLATE,
        .memory_size = MEMORY_SIZE,
        .is_private = true,
        .state = STATE,
        .kernel = "/vmlinuz",
        .initrd = "/initrd",
        .command_line = "console=ttyS0 panic=-1 quiet",
        .disk = disk,
        .address = address,
        .cpus = 2,
    };
}

static void restore(Machine *machine, const char *name, const char *disk, const char *address)
{
    MachineOptions options = clone_options(name, disk, address);
    copy_file(DISK, disk);
    machine_start(machine, &options);
}

static void clones_answer_alike(void)
{
    copy_file(DISK, "/tmp/disk-b");
    MachineOptions options = clone_options("b", "/tmp/disk-b", "10.99.0.1/24");
    check_clones(&options, "template");
}

static void clones_answer(void)
{
    restore(&b, "b", "/tmp/disk-b", "10.99.0.1/24");
    expect_shell(&b, "cat /tmp/name", "template");
    report_figure("clone to the first answer", (now() - b.started) * 1e3, "ms");
    restore(&c, "c", "/tmp/disk-c", "10.98.0.1/24");
    expect_shell(&c, "cat /tmp/name", "template");
    report_figure("clone's memory of its own", jail_memory(&b, GUESTS), "KiB");
}

static void clones_do_not_see_each_other(void)
{
    expect_shell(&b,
                 "echo bee >/tmp/name; echo -n bee | busybox dd of=/dev/vda conv=fsync "
                 "2>/dev/null; cat /tmp/name",
                 "bee");
    expect_shell(&c, "cat /tmp/name; busybox head -c 5 /dev/vda", "template\nhello");
}

static void clone_has_devices(void)
{
    expect_shell_has(&b, "busybox ping -c 1 -W 5 10.99.0.1", "1 packets received");
    expect_shell(&b, "busybox head -c 8 /dev/hwrng | busybox wc -c", "8");
    expect_shell(&b, "busybox nproc", "2");
    expect_shell(&b, "busybox sleep 0.3 && echo slept", "slept");
    expect_answer(&b, "{\"execute\": \"balloon\", \"arguments\": {\"value\": 134217728}}",
                  "\"return\": {}");
    wait_for_balloon(&b, 128);
}

static void power_button_ends_it(void)
{
    expect_answer(&b, "{\"execute\": \"system_powerdown\"}", "\"return\": {}");
    machine_wait_event(&b, "\"SHUTDOWN\", \"data\": {\"guest\": true", ANSWER_SECONDS);
    EXPECT(machine_wait(&b, ANSWER_SECONDS) == 0, "it did not end well");
}

static void reset_boots_again(void)
{
    machine_say(&c, "busybox reboot -f");
    machine_wait_event(&c, "\"RESET\", \"data\": {\"guest\": true", ANSWER_SECONDS);
    machine_shell(&c, "true", NULL, BOOT_SECONDS);
    expect_shell(&c, "test -e /tmp/name || echo gone", "gone");
}

static void second_snapshot_of_a_private_guest(void)
{
    int state = open("/tmp/c.state", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int memory = open("/tmp/c.memory", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    machine_send_fd(&c, "state", state);
    machine_send_fd(&c, "memory", memory);
    close(state);
    close(memory);
    machine_shell(&c, "echo child >/tmp/name", NULL, ANSWER_SECONDS);
    expect_answer(&c,
                  "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": \"state\", "
                  "\"memory\": \"memory\"}}",
                  "\"return\": {}");
    expect_shell(&c, "cat /tmp/name", "child");
    machine_kill(&c);
    machine_start(&c, &(MachineOptions){
                          .name = "d",
                          .memory = "/tmp/c.memory",
                          .memory_size = MEMORY_SIZE,
                          .is_private = true,
                          .state = "/tmp/c.state",
                          .disk = "/tmp/disk-c",
                          .address = "10.98.0.1/24",
                          .cpus = 2,
                      });
    expect_shell(&c, "cat /tmp/name", "child");
    expect_answer(&c, "{\"execute\": \"quit\"}", "\"return\": {}");
    EXPECT(machine_wait(&c, ANSWER_SECONDS) == 0, "it did not end well");
}

static const struct {
    const char *name;
    void (*check)(void);
} CHECKS[] = {
    {"boots a stock Debian kernel", boots},
    {"has two vCPUs and kvmclock", has_two_vcpus},
    {"the kernel has no complaint", kernel_has_no_complaint},
    {"has a disk", has_a_disk},
    {"moves much data", moves_much_data},
    {"has a network", has_a_network},
    {"moves much data over the network", network_moves_much_data},
    {"has random numbers", has_random_numbers},
    {"has a console", has_a_console},
    {"logs the serial port", log_has_the_console},
    {"balloon takes and gives memory", balloon_takes_and_gives_memory},
    {"gives free pages back", gives_free_pages_back},
    {"has little memory of its own", has_little_memory_of_its_own},
    {"is jailed", is_jailed},
    {"is saved", is_saved},
    {"clones answer alike", clones_answer_alike},
    {"clones answer", clones_answer},
    {"clones do not see each other", clones_do_not_see_each_other},
    {"a clone's devices work", clone_has_devices},
    {"the power button ends it", power_button_ends_it},
    {"a reset boots again", reset_boots_again},
    {"a clone is saved and restored", second_snapshot_of_a_private_guest},
    {"boots an ELF kernel by its PVH entry", boots_by_pvh},
    {"keeps what was synced when it is killed", keeps_what_was_synced},
    {"starts fast", starts_fast},
    {"restores fast", restores_fast},
};

/* All of them, or those that the command line names: the last ones stand alone. */
static bool is_wanted(const char *name, int argc, char **argv)
{
    bool found = argc < 2;
    for (int i = 1; i < argc; i++)
        found = found || strcmp(argv[i], name) == 0;
    return found;
}

/* A machine that does nothing, while this program lives. With the last machine KVM switches SVM off
 * and with the first one on again, on every CPU; emulated CPUs hang at it once in some hundred
 * times, and a host that runs machines seldom does it. */
static void keep_kvm_on(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0)
        printf("no machine keeps KVM on: %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
    keep_kvm_on();
    for (size_t i = 0; i < sizeof CHECKS / sizeof *CHECKS; i++)
        if (is_wanted(CHECKS[i].name, argc, argv))
            run_check(CHECKS[i].name, CHECKS[i].check);
    machine_kill(&a);
    machine_kill(&b);
    machine_kill(&c);
    return 0;
}
