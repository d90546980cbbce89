/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead-log: writes down what comes through a pipe, in a log of bounded size (log.h), and ends when
 * nobody can write to the pipe any more. An engine of a machine has the other end: so whatever its
 * guest says is on disk from the first byte, the disk never fills, and the engine has no file.
 *
 *     stead-log FOLDER-FD PIPE-FD NAME
 *
 * It has no capabilities, and can open nothing but through its folder.
 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/log.h"

#define PIECE 65536
#define LOG_SIZE (2U << 20) /* as virtlogd's */
#define LOG_BACKUPS 3
#define USAGE 2

static int drop_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, none) < 0)
        return -errno;
    return 0;
}

/* 0: nobody writes any more. */
static int copy(int from, VmmLog *log)
{
    static uint8_t piece[PIECE];
    for (;;) {
        ssize_t n = read(from, piece, sizeof piece);
        if (n > 0)
            vmm_log_write(log, piece, (size_t)n);
        else if (n == 0)
            return 0;
        else if (errno != EINTR)
            return -errno;
    }
}

static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return *text && *end == '\0' && value >= 0 && value <= INT16_MAX ? (int)value : -1;
}

int main(int argc, char **argv)
{
    VmmLog *log = NULL;
    int folder = argc == 4 ? number(argv[1]) : -1;
    int from = argc == 4 ? number(argv[2]) : -1;
    if (folder < 0 || from < 0) {
        fprintf(stderr, "Usage: stead-log FOLDER-FD PIPE-FD NAME\n");
        return USAGE;
    }
    const VmmLogOptions options = {
        .where = folder, .name = argv[3], .size = LOG_SIZE, .backups = LOG_BACKUPS};
    int failed = drop_privileges();
    if (!failed)
        failed = vmm_log_new(&log, &options);
    if (!failed)
        failed = copy(from, log);
    vmm_log_free(log);
    if (failed)
        fprintf(stderr, "stead-log: %s\n", strerror(-failed));
    return failed ? 1 : 0;
}
