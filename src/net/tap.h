/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: the host's end of a guest's network interface, for engines that stead starts itself. A tap
 * lives as long as somebody has its descriptor open, so that none is left behind by an engine that
 * was killed.
 */
#pragma once

#include <glib.h>

/*
 * Makes a tap and puts it on a bridge (NULL: on none yet), up. `id` (a UUID) and `index` name it:
 * "st1a2b3c4d-0". Its frames carry a virtio_net header. The descriptor is owned by the caller; -1
 * upon failure: DENIED where this process may not, NOT_FOUND when there is no such bridge, BUSY
 * while another tap has that name.
 */
int stead_tap_open(const char *bridge, const char *id, guint index, GError **error);

/* Puts a tap that was made without a bridge on one; success when it is there. BUSY when it is on
 * another. */
gboolean stead_tap_join(const char *bridge, const char *id, guint index, GError **error);

/* What a tap has carried, by the host's count: bytes that the guest sent and received. FALSE when
 * there is none. Does not block. */
gboolean stead_tap_count(const char *id, guint index, guint64 *sent, guint64 *received);
