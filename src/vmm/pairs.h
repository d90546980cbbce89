/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option values of the form "word,key=value,flag": a table says which keys there are, what their
 * values look like and where they go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/error.h"

#define VMM_PAIR_FDS_MAX 16

typedef enum {
    VMM_PAIR_FLAG,   /* bool; stands alone */
    VMM_PAIR_FD,     /* int; an open descriptor */
    VMM_PAIR_FDS,    /* VmmPairFds; may come several times */
    VMM_PAIR_NUMBER, /* uint64_t */
    VMM_PAIR_SIZE,   /* uint64_t; with K, M, G or T behind it */
    VMM_PAIR_TEXT,   /* const char *; into the text that was parsed */
    VMM_PAIR_MAC,    /* uint8_t[6] */
} VmmPairKind;

typedef struct {
    int fds[VMM_PAIR_FDS_MAX];
    unsigned n;
} VmmPairFds;

typedef struct {
    const char *key; /* "" is the word that stands first, without a key */
    VmmPairKind kind;
    size_t offset; /* in the structure that is filled */
} VmmPair;

/* Fills `into` from the text, which is cut up; 0 or -EINVAL. Keys end with one whose name is NULL.
 * What is not named keeps its value. */
int vmm_pairs_parse(char *text, const VmmPair *pairs, void *into, VmmError *error);

/* Single values, whole texts. 0 or -EINVAL. */
int vmm_parse_number(const char *text, uint64_t *value);
int vmm_parse_size(const char *text, uint64_t *value);
int vmm_parse_fd(const char *text, int *fd, VmmError *error);
