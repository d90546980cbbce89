/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2 image that qemu-img made, and a copy in memory of what its disk reads as. It is changed
 * at random; then qemu-img finds what the copy says, and nothing to complain about.
 */
#pragma once

#include "tool.h"

typedef struct {
    Folder *folder;
    char *path;
    int fds[4];
    unsigned n_fds;
    VmmImage *image;
    uint64_t size;
    uint8_t *shadow;  /* what the disk reads as */
    uint8_t *flushed; /* what it read as at the last flush */
    uint8_t *zeroed;  /* whether it was zeroed since: then the file may show what was in between */
} ImageFixture;

typedef struct {
    const char *cluster; /* bytes of one, as qemu-img takes them */
    uint64_t size;
    uint64_t backing;       /* bytes of what backs it; 0: nothing */
    gboolean has_middle;    /* a qcow2 image between the two */
    gboolean is_compressed; /* what is at the bottom, which is a qcow2 image then */
    gboolean is_old;        /* all that is below is of version 2 */
} ImageKind;

void image_set_up(ImageFixture *fixture, const ImageKind *kind);
void image_tear_down(ImageFixture *fixture);

/* As set_up() does, and once more after image_check(). */
void image_open(ImageFixture *fixture);

void image_read(ImageFixture *fixture, uint64_t offset, void *bytes, uint64_t length);
/* The same byte everywhere. */
void image_write(ImageFixture *fixture, uint64_t offset, uint64_t length);
/* What was discarded reads as before or as zeros, and stays so. */
void image_discard(ImageFixture *fixture, uint64_t offset, uint64_t length);
/* Reads, in both ways. */
void image_compare(ImageFixture *fixture, uint64_t offset, uint64_t length);
void image_flush(ImageFixture *fixture);

/* All of these, anywhere. */
void image_change(ImageFixture *fixture, unsigned rounds, gboolean with_discards);

/* What qemu-img reads from a qcow2 file. */
uint8_t *image_convert(ImageFixture *fixture, const char *path);
/* Closes the image; then qemu-img looks. */
void image_check(ImageFixture *fixture);

/* All of it; skips the test where there is no qemu-img. */
void image_run(const ImageKind *kind);

void image_assert_same(const uint8_t *found, const uint8_t *expected, uint64_t length);
void image_write_pattern(const char *path, uint64_t size);
/* Bytes that can be compressed well, badly and not at all, and zeros; the same each time. */
void image_write_mixture(const char *path, uint64_t size);
