/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the layer: what format.c and inspect.c share. */
#pragma once

#include <glib.h>

/* Reads up to `wanted` bytes at `offset`; *got is less only at the end of the file. */
gboolean stead_read_some(int fd, guint64 offset, void *buffer, gsize wanted, gsize *got,
                         GError **error);

/* Whether 512 bytes are a VHD footer whose checksum holds. */
gboolean stead_vhd_footer_is_valid(const guint8 *footer);
