/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and memory that are given back when their scope ends. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

static inline void vmm_cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void vmm_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline int vmm_steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#define VMM_AUTOCLOSE __attribute__((cleanup(vmm_cleanup_close)))
#define VMM_AUTOFREE __attribute__((cleanup(vmm_cleanup_free)))
