/* SPDX-License-Identifier: Apache-2.0 */
/* What a command in a guest has left, when it has ended. */
#pragma once

#include <glib.h>

typedef struct {
    int exit_code; /* of the command; 128 + n when signal n ended it */
    GBytes *out;   /* captured standard output */
    GBytes *err;
    gboolean truncated; /* the agent cut the output off */
} SteadExecResult;

void stead_exec_result_free(SteadExecResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadExecResult, stead_exec_result_free)
