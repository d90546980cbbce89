/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it takes from a process's start to its guest's first instruction: a kernel of a few
 * instructions that writes to the serial port for ever, and the time to the first byte of it. The
 * same kernel on QEMU's microvm machine; the two take turns, so that whatever else the machine has
 * to do meets both. A host whose KVM is emulated has no milliseconds to promise: what is promised
 * there is a ratio.
 */
#include "figures.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "devices.h"
#include "machine.h"

#define KERNEL "/tiny.elf"
#define WARM_UPS 2 /* emulation translates what runs first */
#define ROUNDS 9
#define TIMES_FASTER 5         /* than QEMU */
#define RESTORE_TIMES_FASTER 2 /* than QEMU starts with nothing */
#define CLONES 20
#define CLONE_MS 6000
#define SERIAL "/tmp/figure.serial"
#define MEMORY "/tmp/figure.memory"
#define STATE "/tmp/figure.state"
#define RESTORED_SIZE (512ULL << 20)
#define QEMU "/bin/qemu-system-x86_64"

typedef struct {
    pid_t child;
    int pid_file; /* where the number of the monitor itself stands; -1: it is the child */
    int output;
    double milliseconds; /* from the start to the first byte */
} Started;

static void first_byte(Started *started, double since)
{
    char byte;
    EXPECT(read(started->output, &byte, 1) == 1, "the guest says nothing");
    started->milliseconds = (now() - since) * 1e3;
}

/* The child waits for the monitor: nothing of one start is under way in the next. */
static void end(Started *started)
{
    char text[16] = "";
    if (started->pid_file >= 0)
        EXPECT(pread(started->pid_file, text, sizeof text - 1, 0) > 0, "no number of a process");
    kill(started->pid_file < 0 ? started->child : (pid_t)atoi(text), SIGKILL);
    waitpid(started->child, NULL, 0);
    close(started->output);
    if (started->pid_file >= 0)
        close(started->pid_file);
}

/* The client is there before the program: the first byte finds it. */
static Started start_vmm(const char *const *arguments)
{
    char serial[16], pid[16];
    const char *words[24] = {"/bin/stead-vmm", "--serial", serial, "--pid", pid};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SERIAL};
    Started started;
    unlink(SERIAL);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    started.output = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 1) < 0 ||
        connect(started.output, (struct sockaddr *)&address, sizeof address) < 0)
        fail("%s: %s", SERIAL, strerror(errno));
    started.pid_file = memfd_create("pid", 0);
    snprintf(serial, sizeof serial, "fd=%d", listener);
    snprintf(pid, sizeof pid, "fd=%d", started.pid_file);
    for (size_t i = 0; i < 18 && arguments[i]; i++)
        words[i + 5] = arguments[i];
    double since = now();
    started.child = fork();
    if (started.child == 0) {
        execv(words[0], (char *const *)words);
        _exit(127);
    }
    close(listener);
    first_byte(&started, since);
    return started;
}

static Started start_qemu(void)
{
    int ends[2];
    Started started = {.pid_file = -1};
    EXPECT(pipe2(ends, O_CLOEXEC) == 0, "pipe: %s", strerror(errno));
    double since = now();
    started.child = fork();
    if (started.child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(QEMU, QEMU, "-accel", "kvm", "-cpu", "host", "-machine", "microvm", "-m", "128",
              "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-L",
              "/qemu", "-kernel", KERNEL, NULL);
        _exit(127);
    }
    close(ends[1]);
    started.output = ends[0];
    first_byte(&started, since);
    return started;
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

typedef struct {
    double taken[ROUNDS]; /* milliseconds */
    int n;                /* rounds so far, with those to warm up */
} Series;

static void add_round(Series *series, Started started)
{
    if (series->n >= WARM_UPS)
        series->taken[series->n - WARM_UPS] = started.milliseconds;
    series->n++;
    end(&started);
}

/* The median. */
static double report_series(const char *name, Series *series)
{
    char text[128];
    qsort(series->taken, ROUNDS, sizeof *series->taken, by_size);
    snprintf(text, sizeof text, "%s (%.1f..%.1f)", name, series->taken[0],
             series->taken[ROUNDS - 1]);
    report_figure(text, series->taken[ROUNDS / 2], "ms");
    return series->taken[ROUNDS / 2];
}

/* Kept open without close-on-exec: a started program inherits it. */
static const char *inherited(const char *path, int flags, const char *format, char text[32])
{
    int fd = open(path, flags, 0600);
    EXPECT(fd >= 0, "%s: %s", path, strerror(errno));
    snprintf(text, 32, "%s%d", format, fd);
    return text;
}

/* Rounds of both in turns; fails unless ours are so many times faster. */
static void compare(const char *name, const char *const *arguments, double times)
{
    Series vmm = {.n = 0}, qemu = {.n = 0};
    EXPECT(access(QEMU, X_OK) == 0, "there is no QEMU beside it: /usr/share/qemu has no ROMs");
    while (vmm.n < WARM_UPS + ROUNDS) {
        add_round(&vmm, start_vmm(arguments));
        add_round(&qemu, start_qemu());
    }
    double ours = report_series(name, &vmm);
    double theirs = report_series("QEMU microvm's start beside it", &qemu);
    report_figure("QEMU's start to ours", theirs / ours, "times");
    EXPECT(theirs >= times * ours, "only %.1f times faster", theirs / ours);
}

void starts_fast(void)
{
    char kernel[32];
    const char *arguments[] = {"--memory", "128M", "--kernel",
                               inherited(KERNEL, O_RDONLY, "fd=", kernel), NULL};
    compare("start to the first guest instruction", arguments, TIMES_FASTER);
}

void restores_fast(void)
{
    MachineOptions options = {
        .name = "f",
        .memory = MEMORY,
        .memory_size = RESTORED_SIZE,
        .kernel = KERNEL,
        .initrd = "/dev/null",
        .command_line = "",
        .cpus = 1,
    };
    char state[32], memory[32];
    Machine template;
    machine_start(&template, &options);
    machine_command(&template, "{\"execute\": \"stop\"}");
    int fd = open(STATE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    machine_send_fd(&template, "state", fd);
    close(fd);
    const char *answer = machine_command(
        &template, "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": \"state\"}}");
    EXPECT(strstr(answer, "\"return\""), "%s", answer);
    machine_command(&template, "{\"execute\": \"quit\"}");
    EXPECT(machine_wait(&template, 10) == 0, "it did not end well");
    machine_kill(&template);
    inherited(MEMORY, O_RDONLY, "512M,private,fd=", memory);
    inherited(STATE, O_RDONLY, "fd=", state);
    /* The same devices as the template's; their sockets lead nowhere. */
    const char *arguments[] = {"--memory",  memory,
                               "--restore", state,
                               "--agent",   machine_socket("f-agent"),
                               "--console", machine_socket("f-console"),
                               "--rng",     "--balloon",
                               NULL};
    compare("restore of 512 MiB to the first guest instruction", arguments, RESTORE_TIMES_FASTER);
    unlink(MEMORY);
}

/* A clock or timer that is restored wrong makes one of them wait now and then. */
void check_clones(const MachineOptions *options, const char *name)
{
    double taken[CLONES];
    for (size_t i = 0; i < CLONES; i++) {
        Machine clone;
        machine_start(&clone, options);
        expect_shell(&clone, "cat /tmp/name; busybox usleep 10000", name);
        taken[i] = (now() - clone.started) * 1e3;
        machine_command(&clone, "{\"execute\": \"quit\"}");
        EXPECT(machine_wait(&clone, 10) == 0, "it did not end well");
        machine_kill(&clone);
    }
    qsort(taken, CLONES, sizeof *taken, by_size);
    report_figure("the fastest of 20 clones, to its answer", taken[0], "ms");
    report_figure("the median of them", taken[CLONES / 2], "ms");
    report_figure("the slowest of them", taken[CLONES - 1], "ms");
    EXPECT(taken[CLONES - 1] < CLONE_MS, "one took %.0f ms", taken[CLONES - 1]);
}
