/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming goes from the oldest to the newest, so that a crash on the way leaves a gap in the
 * numbers and no file overwritten. A piece is never split: a file may end a little early.
 */
#include "vmm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_WITH_NUMBER (VMM_LOG_NAME_MAX + 12)

struct VmmLog {
    int where;
    bool is_folder;
    char name[VMM_LOG_NAME_MAX];
    uint64_t size;
    unsigned backups;
    int file;
    uint64_t used;
    uint64_t lost;
};

static int open_file(VmmLog *log)
{
    struct stat status;
    if (fstat(log->where, &status) < 0)
        return -errno;
    log->is_folder = S_ISDIR(status.st_mode);
    if (!log->is_folder) {
        log->file = log->where;
        log->used = (uint64_t)status.st_size;
        if (!S_ISREG(status.st_mode))
            log->size = UINT64_MAX;
        return 0;
    }
    log->file =
        openat(log->where, log->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log->file < 0)
        return -errno;
    log->used = fstat(log->file, &status) == 0 ? (uint64_t)status.st_size : 0;
    return 0;
}

int vmm_log_new(VmmLog **log, const VmmLogOptions *options)
{
    size_t length = strlen(options->name);
    if (length == 0 || length >= VMM_LOG_NAME_MAX || strchr(options->name, '/') ||
        options->backups > VMM_LOG_BACKUPS_MAX || options->size < VMM_LOG_SIZE_MIN)
        return -EINVAL;
    VmmLog *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->where = options->where;
    memcpy(made->name, options->name, length);
    made->size = options->size;
    made->backups = options->backups;
    int failed = open_file(made);
    if (failed) {
        free(made);
        return failed;
    }
    *log = made;
    return 0;
}

void vmm_log_free(VmmLog *log)
{
    if (log == NULL)
        return;
    if (log->is_folder && log->file >= 0)
        close(log->file);
    free(log);
}

static void backup_name(const VmmLog *log, unsigned number, char name[NAME_MAX_WITH_NUMBER])
{
    snprintf(name, NAME_MAX_WITH_NUMBER, "%s.%u", log->name, number);
}

static void rotate(VmmLog *log)
{
    char from[NAME_MAX_WITH_NUMBER], to[NAME_MAX_WITH_NUMBER];
    if (!log->is_folder) {
        if (ftruncate(log->file, 0) == 0)
            log->used = 0;
        return;
    }
    close(log->file);
    for (unsigned i = log->backups; i-- > 1;) {
        backup_name(log, i - 1, from);
        backup_name(log, i, to);
        renameat(log->where, from, log->where, to);
    }
    backup_name(log, 0, to);
    if (log->backups > 0)
        renameat(log->where, log->name, log->where, to);
    else
        unlinkat(log->where, log->name, 0);
    open_file(log);
}

void vmm_log_write(VmmLog *log, const uint8_t *bytes, size_t length)
{
    if (log->file < 0) /* there was no room, or no descriptor; perhaps there is by now */
        open_file(log);
    if (log->file >= 0 && log->used > 0 && log->used + length > log->size)
        rotate(log);
    while (length > 0 && log->file >= 0) {
        ssize_t n = write(log->file, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        bytes += n;
        length -= (size_t)n;
        log->used += (uint64_t)n;
    }
    log->lost += length;
}

uint64_t vmm_log_lost(const VmmLog *log)
{
    return log->lost;
}
