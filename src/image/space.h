/* SPDX-License-Identifier: Apache-2.0 */
/* Free space, asked before it is needed. */
#pragma once

#include <glib.h>

/* What is left free of the file system that holds the images, so that filling the store cannot
 * stop the host. */
#define STEAD_SPACE_RESERVE (G_GUINT64_CONSTANT(256) << 20)

/* EXHAUSTED unless the file system of the open file has `needed` bytes beside the reserve. `what`
 * names what needs them ("the download"). */
gboolean stead_space_check(int fd, guint64 needed, const char *what, GError **error);
