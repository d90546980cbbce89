/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that a user brings along: looked at, and copied. */
#pragma once

#include <glib.h>

/* A larger file is no kernel or initramfs, in bytes. */
#define STEAD_KERNEL_MAX (G_GUINT64_CONSTANT(1) << 30)

/* Copies a regular file of the host to `folder`/`name`, 0644. INVALID when it is none, or too
 * large; NOT_FOUND. Blocking, repeatable. */
gboolean stead_kernel_take(const char *path, const char *folder, const char *name, GError **error);
