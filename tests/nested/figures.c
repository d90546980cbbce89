/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it takes from a process's start to its guest's first instruction: a kernel of a few
 * instructions that writes to the serial port for ever, and the time to the first byte of it. The
 * same kernel on QEMU's microvm machine, where QEMU was packed along.
 */
#include "figures.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"

#define KERNEL "/tiny.elf"
#define ROUNDS 9
#define QEMU_ROUNDS 3
#define SERIAL "/tmp/figure.serial"
#define MEMORY "/tmp/figure.memory"
#define STATE "/tmp/figure.state"
#define RESTORED_SIZE (512ULL << 20)
#define QEMU "/bin/qemu-system-x86_64"

typedef struct {
    pid_t child;
    int output;
    double milliseconds; /* from the start to the first byte */
} Started;

static void first_byte(Started *started, double since)
{
    char byte;
    EXPECT(read(started->output, &byte, 1) == 1, "the guest says nothing");
    started->milliseconds = (now() - since) * 1e3;
}

static void end(Started *started)
{
    kill(started->child, SIGKILL);
    waitpid(started->child, NULL, 0);
    close(started->output);
}

/* The client is there before the program: the first byte finds it. */
static Started start_vmm(const char *const *arguments)
{
    char serial[16];
    const char *words[24] = {"/bin/stead-vmm", "--serial", serial};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SERIAL};
    Started started;
    unlink(SERIAL);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    started.output = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 1) < 0 ||
        connect(started.output, (struct sockaddr *)&address, sizeof address) < 0)
        fail("%s: %s", SERIAL, strerror(errno));
    snprintf(serial, sizeof serial, "fd=%d", listener);
    for (size_t i = 0; i < 20 && arguments[i]; i++)
        words[i + 3] = arguments[i];
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
    Started started;
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

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}

static double median_of_vmm(const char *const *arguments)
{
    double taken[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        Started started = start_vmm(arguments);
        taken[i] = started.milliseconds;
        end(&started);
    }
    return median(taken, ROUNDS);
}

/* Kept open without close-on-exec: a started program inherits it. */
static const char *inherited(const char *path, int flags, const char *format, char text[32])
{
    int fd = open(path, flags, 0600);
    EXPECT(fd >= 0, "%s: %s", path, strerror(errno));
    snprintf(text, 32, "%s%d", format, fd);
    return text;
}

void starts_fast(void)
{
    char kernel[32];
    const char *arguments[] = {"--memory", "128M", "--kernel",
                               inherited(KERNEL, O_RDONLY, "fd=", kernel), NULL};
    double ours = median_of_vmm(arguments), theirs[QEMU_ROUNDS];
    report_figure("start to the first guest instruction", ours, "ms");
    if (access(QEMU, X_OK) < 0)
        return;
    for (size_t i = 0; i < QEMU_ROUNDS; i++) {
        Started started = start_qemu();
        theirs[i] = started.milliseconds;
        end(&started);
    }
    double qemu = median(theirs, QEMU_ROUNDS);
    report_figure("the same of QEMU microvm", qemu, "ms");
    report_figure("QEMU's start to ours", qemu / ours, "times");
    /* Emulation makes all alike; where nothing emulates, the factor is larger. */
    EXPECT(qemu > 2 * ours, "only %.1f times faster", qemu / ours);
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
    report_figure("restore of 512 MiB to the first guest instruction", median_of_vmm(arguments),
                  "ms");
    unlink(MEMORY);
}
