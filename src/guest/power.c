/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd is asked by its real-time signals, which need neither D-Bus nor a program; they are
 * counted from glibc's SIGRTMIN, whatever library this is built with. Other inits bring the
 * programs poweroff, reboot and halt.
 */
#include "guest/power.h"

#include <errno.h>
#include <linux/reboot.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/spawn.h"
#include "guest/text.h"

#define GLIBC_SIGRTMIN 34
#define PATIENCE_SECONDS 5 /* of those who are told to end, and then of those who are made to */
#define MOUNTS_MAX 65536
#define UNMOUNT_ROUNDS 8

static const struct {
    int systemd_signal;
    const char *program;
    int reboot;
} ways[] = {
    [GUEST_POWEROFF] = {GLIBC_SIGRTMIN + 4, "poweroff", LINUX_REBOOT_CMD_POWER_OFF},
    [GUEST_REBOOT] = {GLIBC_SIGRTMIN + 5, "reboot", LINUX_REBOOT_CMD_RESTART},
    [GUEST_HALT] = {GLIBC_SIGRTMIN + 3, "halt", LINUX_REBOOT_CMD_HALT},
};

bool guest_is_systemd(void)
{
    struct stat about;
    return lstat("/run/systemd/system", &about) == 0 && S_ISDIR(about.st_mode);
}

int guest_power_ask(GuestShutdownHow how)
{
    if (guest_is_systemd()) /* the kernel, as glibc's kill() would have it */
        return syscall(SYS_kill, 1, ways[how].systemd_signal) < 0 ? -errno : 0;
    GuestExec exec = {.flags = GUEST_EXEC_NO_STDIN | GUEST_EXEC_MERGE_STDERR,
                      .user = "",
                      .cwd = "/",
                      .n_args = 1,
                      .args = {ways[how].program, NULL}};
    GuestProcess process;
    const char *text = "";
    return guest_spawn(&exec, &process, &text);
}

/* Until no process is left but this one, or it has taken too long. Whatever others leave behind
 * when they end becomes our child. */
static bool wait_for_all(void)
{
    struct timespec end, now, left = {.tv_sec = 1};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += PATIENCE_SECONDS;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0)
            return errno == ECHILD;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= end.tv_sec)
            return false;
        if (pid == 0)
            sigtimedwait(&child, NULL, &left);
    }
}

/* The last field but those behind it: "DEVICE PLACE TYPE OPTIONS 0 0". Spaces are \040 there. */
static bool unmount_line(char *line)
{
    char *place = line + strcspn(line, " ");
    place += *place == ' ';
    place[strcspn(place, " ")] = '\0';
    char *out = place;
    for (const char *in = place; *in; out++) {
        bool is_escape = in[0] == '\\' && in[1] && in[2] && in[3];
        *out = is_escape ? (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0')) : *in;
        in += is_escape ? 4 : 1;
    }
    *out = '\0';
    static const char *const kernels[] = {"/proc", "/sys", "/dev"};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        size_t length = strlen(kernels[i]);
        if (strncmp(place, kernels[i], length) == 0 && (place[length] == '/' || !place[length]))
            return false;
    }
    return strcmp(place, "/") != 0 && umount2(place, 0) == 0;
}

/* The newest stand last and lie on top: rounds, until one changes nothing. */
static void unmount_all(void)
{
    static char content[MOUNTS_MAX];
    for (int round = 0; round < UNMOUNT_ROUNDS; round++) {
        bool is_changed = false;
        if (guest_read_file("/proc/self/mounts", content, sizeof content) < 0)
            break;
        for (char *line = content; *line;) {
            char *end = line + strcspn(line, "\n");
            bool is_last = *end == '\0';
            *end = '\0';
            is_changed |= unmount_line(line);
            line = is_last ? end : end + 1;
        }
        if (!is_changed)
            break;
    }
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

int guest_power_end(GuestShutdownHow how)
{
    kill(-1, SIGTERM);
    kill(-1, SIGHUP); /* shells at a terminal heed only this */
    kill(-1, SIGCONT);
    if (!wait_for_all()) {
        kill(-1, SIGKILL);
        wait_for_all();
    }
    sync();
    unmount_all();
    sync();
    return reboot(ways[how].reboot) < 0 ? -errno : 0;
}
