/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's content in one file, whatever its format. All functions but map may block and are
 * called by one thread at a time, the disk's worker; map is called by the loop meanwhile.
 *
 * The caller keeps ranges inside [0, size). Functions return 0 or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/error.h"
#include "vmm/parts.h"

#define VMM_IMAGE_PARTS_MAX 264 /* of one request: a chain's, and a few */

typedef struct VmmImage VmmImage;

/* A stretch of a disk's content and where it lies. */
typedef struct {
    int fd; /* -1: it reads as zeros */
    uint64_t offset;
    uint64_t length;
} VmmExtent;

typedef struct {
    /* Finds the first stretch of the range, without blocking: for reading where its bytes are, for
     * writing where they can be overwritten in place. False when that needs the other functions. */
    bool (*map)(VmmImage *image, uint64_t offset, uint64_t length, bool is_write,
                VmmExtent *extent);
    int (*read)(VmmImage *image, uint64_t offset, const struct iovec *parts, unsigned n);
    int (*write)(VmmImage *image, uint64_t offset, const struct iovec *parts, unsigned n);
    /* Makes the range read as zeros; with `unmap` its room may be given back. */
    int (*zero)(VmmImage *image, uint64_t offset, uint64_t length, bool unmap);
    /* The content is not needed any more; what it reads as then is open. */
    int (*discard)(VmmImage *image, uint64_t offset, uint64_t length);
    /* What was written before survives the host's end. */
    int (*flush)(VmmImage *image);
    /* Writes what is not in the file yet, waiting for the medium only where order asks for it, and
     * frees the image and those below it. The descriptors stay open. */
    int (*close)(VmmImage *image);
} VmmImageOps;

struct VmmImage {
    const VmmImageOps *ops;
    uint64_t size; /* bytes */
    bool is_read_only;
    bool flush_is_sync; /* of `fd`, and nothing else */
    int fd;
};

/* The descriptor stays the caller's and open for the image's life. */
int vmm_raw_open(VmmImage **image, int fd, bool is_read_only, VmmError *error);

/* `fds[0]` is the image, each next one what backs the one before, read-only; the last one's format
 * and the others' is what the image before it says. */
int vmm_qcow2_open(VmmImage **image, const int *fds, unsigned n_fds, bool is_read_only,
                   VmmError *error);

void vmm_image_close(VmmImage *image); /* NULL is fine */

/* Helpers for formats. They go on after short transfers; what lies beyond a file's end reads as
 * zeros. */
int vmm_image_pread(int fd, uint64_t offset, const struct iovec *parts, unsigned n);
int vmm_image_pwrite(int fd, uint64_t offset, const struct iovec *parts, unsigned n);
int vmm_image_pread_bytes(int fd, uint64_t offset, void *bytes, uint64_t length);
int vmm_image_pwrite_bytes(int fd, uint64_t offset, const void *bytes, uint64_t length);
int vmm_image_pwrite_zeros(int fd, uint64_t offset, uint64_t length);
