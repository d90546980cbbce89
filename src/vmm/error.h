/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something was refused, in words for the person who asked. Functions that can tell more than
 * an errno take a VmmError; it holds the innermost reason and is only read when they fail.
 */
#pragma once

#define VMM_ERROR_MAX 256

typedef struct {
    char text[VMM_ERROR_MAX];
} VmmError;

/* Sets the text, cut to its room, and returns `code` (a negative errno). `error` may be NULL. */
int vmm_error(VmmError *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like vmm_error(), with ": " and the errno's own words added. */
int vmm_error_errno(VmmError *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
