/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine boots, as the command line gives it; plain data. */
#pragma once

#include <stdbool.h>

#define VMM_COMMAND_LINE_MAX 2048 /* with its NUL; what x86 kernels take */

typedef struct {
    int kernel; /* descriptor of a bzImage or ELF file */
    int initrd; /* descriptor, or -1 */
    const char *command_line;
    unsigned n_virtio; /* virtio devices, numbered from 0 */
    bool name_virtio;  /* name them on the command line, too */
} VmmBoot;
