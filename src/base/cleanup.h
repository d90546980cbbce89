/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup attributes that GLib 2.72 does not have: stead_autofd for file descriptors and
 * stead_autounlink for a path that must not outlive a failed function.
 */
#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

static inline void stead_clear_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Hands the descriptor over: returns it and leaves -1 behind. */
static inline int stead_steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

static inline void stead_clear_unlink(char **path)
{
    if (*path != NULL)
        g_unlink(*path);
    g_free(*path);
    *path = NULL;
}

#define stead_autofd __attribute__((cleanup(stead_clear_fd))) int
/* A heap-allocated path, unlinked and freed on scope exit unless it was stolen. */
#define stead_autounlink __attribute__((cleanup(stead_clear_unlink))) char *
