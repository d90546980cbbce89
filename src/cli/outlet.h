/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor that is written to as fast as it takes it, and not faster: what it does not take now
 * waits, and the main loop goes on. The descriptor may be anybody's, and is left as it is
 * (blocking).
 */
#pragma once

#include <glib.h>

typedef struct SteadOutlet SteadOutlet;

/* So many bytes were written; or -errno: none will be any more. From the main loop. */
typedef void (*SteadOutletFunc)(gssize written, gpointer data);

/* `fd` stays the caller's. */
SteadOutlet *stead_outlet_new(int fd, SteadOutletFunc func, gpointer data);
/* What was not written is lost. NULL is fine. */
void stead_outlet_free(SteadOutlet *outlet);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadOutlet, stead_outlet_free)

/* Keeps the bytes and writes what it can at once. Who sends bounds what is kept. */
void stead_outlet_write(SteadOutlet *outlet, const void *bytes, gsize n);
gboolean stead_outlet_is_empty(const SteadOutlet *outlet);
