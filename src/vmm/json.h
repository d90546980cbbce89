/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one JSON value from a peer that is not trusted: no allocation, no recursion, limits on
 * length, depth and number of values. Text stays where it is; values point into it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_JSON_NODES_MAX 128
#define VMM_JSON_DEPTH_MAX 16
#define VMM_JSON_NONE -1

typedef enum {
    VMM_JSON_OBJECT,
    VMM_JSON_ARRAY,
    VMM_JSON_STRING,
    VMM_JSON_NUMBER,
    VMM_JSON_WORD, /* true, false, null */
} VmmJsonKind;

typedef struct {
    VmmJsonKind kind;
    uint32_t start, length; /* in the text; of a string without its quotes */
    uint32_t end;           /* the first node behind it and all that it holds */
} VmmJsonNode;

typedef struct {
    const char *text;
    VmmJsonNode
        nodes[VMM_JSON_NODES_MAX]; /* the first one is the whole; keys and values take turns */
    unsigned n;
} VmmJson;

/* 0; -EINVAL: not JSON, or more behind it; -E2BIG: beyond a limit. `length` is below 2^31. */
int vmm_json_parse(VmmJson *json, const char *text, size_t length);

/* The value of a key of an object, VMM_JSON_NONE where there is none. Keys are compared as they are
 * written, without looking at escapes. */
int vmm_json_get(const VmmJson *json, int object, const char *key);

/* The node as a string: 0, -EINVAL when it is none, -E2BIG when it does not fit with its NUL.
 * \uXXXX beyond ASCII and NUL are refused as -EINVAL: no name here has them. */
int vmm_json_string(const VmmJson *json, int node, char *to, size_t room);

/* As a whole number from 0. */
int vmm_json_number(const VmmJson *json, int node, uint64_t *value);

/* Writes text as the inside of a JSON string, cut to `room` with its NUL. */
void vmm_json_escape(const char *text, char *to, size_t room);
