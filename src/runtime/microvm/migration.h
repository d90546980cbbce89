/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's migration stream, taken apart (docs/devel/migration.rst, migration/ram.c): the pages of
 * the guest's memory go to a file at their place, and everything else, which is a few dozen KiB,
 * stays a stream that QEMU loads in a machine that has this memory already.
 *
 * Both ends have the capability x-ignore-shared set, which makes the stream say that memory may
 * come by other means.
 */
#pragma once

#include <gio/gio.h>

/* Of what is not memory; more is an error. */
#define STEAD_MIGRATION_STATE_MAX (64 * 1024 * 1024)

/*
 * Reads a stream from `from` to its end. Pages of the block `block` are written to `memory`, which
 * is empty and of the guest's size `size`; the rest to `state`. INVALID when the stream makes no
 * sense: it comes from a process that serves a guest.
 */
gboolean stead_migration_split(int from, const char *block, guint64 size, int memory, int state,
                               GError **error);
