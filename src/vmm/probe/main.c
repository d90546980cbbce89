/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead-kvm-probe: is this host's KVM usable? Prints one JSON object and exits with 0, whatever
 * the answer; 1 when it could not find out, 2 on wrong usage.
 *
 * A broken KVM can hold a thread in the kernel where no signal reaches it. So the steps run in a
 * child, which writes its report into memory that both share, and which holds none of the caller's
 * descriptors: after TIME_LIMIT_MS this process answers with what it has, without waiting for it.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/probe/report.h"

#define TIME_LIMIT_MS 1900
#define EXIT_USAGE 2

static int usage(FILE *out, int code)
{
    fputs("Usage: stead-kvm-probe [--device PATH] [--list]\n"
          "Tells as JSON whether the host's KVM runs what a stock kernel needs.\n"
          "  --device PATH  the device to try; /dev/kvm\n"
          "  --list         only print the names of the steps\n",
          out);
    return code;
}

static int list_steps(void)
{
    for (size_t i = 0; i < probe_n_steps; i++)
        puts(probe_steps[i].name);
    return fflush(stdout) == 0 ? 0 : 1;
}

static _Noreturn void run_child(const char *device, ProbeReport *report, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    probe_run_steps(device, report);
    _exit(0);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the pipe's other end to be closed, which the child's end does. False when it takes too
 * long. The child is not reaped: it may be stuck in the kernel while it dies. */
static bool wait_for_child(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    long deadline = now_ms() + TIME_LIMIT_MS;
    for (long left = TIME_LIMIT_MS; left > 0; left = deadline - now_ms())
        if (poll(&end, 1, (int)left) > 0)
            return true;
    return false;
}

static int probe(const char *device)
{
    ProbeReport *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    if (shared == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0) {
        perror("stead-kvm-probe");
        return 1;
    }
    shared->status = PROBE_UNUSABLE;
    pid_t parent = getpid(), child = fork();
    if (child < 0) {
        perror("stead-kvm-probe: fork");
        return 1;
    }
    if (child == 0) {
        close(ends[0]);
        run_child(device, shared, parent);
    }
    close(ends[1]);
    bool is_late = !wait_for_child(ends[0]);
    ProbeReport report = *shared;
    report.detail[PROBE_DETAIL_MAX - 1] = '\0';
    if (is_late)
        kill(child, SIGKILL);
    if (!report.is_done)
        probe_report_give_up(&report, is_late ? "KVM did not come back from it"
                                              : "the process that tried it died");
    return probe_report_print(&report, stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *device = "/dev/kvm";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            device = argv[++i];
        else if (strcmp(argv[i], "--list") == 0)
            return list_steps();
        else if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, 0);
        else
            return usage(stderr, EXIT_USAGE);
    }
    return probe(device);
}
