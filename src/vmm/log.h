/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log of bounded size: when the file is full it is renamed to NAME.0, that to NAME.1 and so on,
 * and the last one is dropped. Everything happens in one folder, by its descriptor. Where only an
 * open file was given it is emptied when it is full; whatever reads from a pipe bounds what it
 * keeps.
 *
 * Logging never fails for the caller: what cannot be written is lost and counted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VMM_LOG_NAME_MAX 64 /* with its NUL; without '/' */
#define VMM_LOG_BACKUPS_MAX 16
#define VMM_LOG_SIZE_MIN 4096

typedef struct {
    int where;        /* a folder, or a file open for appending or a pipe; stays the caller's */
    const char *name; /* in the folder */
    uint64_t size;    /* of a file, in bytes */
    unsigned backups; /* that are kept beside it */
} VmmLogOptions;

typedef struct VmmLog VmmLog;

/* Appends to the file that is there. 0, -EINVAL for options out of bounds, or the errno of open. */
int vmm_log_new(VmmLog **log, const VmmLogOptions *options);
void vmm_log_free(VmmLog *log); /* NULL is fine */

void vmm_log_write(VmmLog *log, const uint8_t *bytes, size_t length);
uint64_t vmm_log_lost(const VmmLog *log);
