/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock on a file that ends with its holder. It is one of fcntl(2), which belongs to the process:
 * a child that was forked and has not yet executed its program has the descriptor, but not the
 * lock, so a daemon that is killed in that moment keeps nobody out. Such a lock does not tell the
 * threads of one process apart; so those ask here for it by its path, and nobody but the holder
 * opens the file, since closing any descriptor of it would let it go.
 */
#pragma once

#include <glib.h>

typedef struct _SteadFileLock SteadFileLock;

/* Opens the file, which is made (0600) where there is none, and locks it without waiting. BUSY when
 * somebody has it, in this process or another. Any thread. */
SteadFileLock *stead_file_lock(const char *path, GError **error);

/* Open for reading and writing, from its begin; the lock's own. */
int stead_file_lock_fd(const SteadFileLock *lock);

/* Lets go of it and closes it; NULL is fine. */
void stead_file_lock_free(SteadFileLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadFileLock, stead_file_lock_free)
