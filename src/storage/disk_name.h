/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of volumes in a pool. Each holds the first 8 digits of its owner's id, so that a repeated
 * attempt finds what a former one made, nobody else's volume is taken for one's own, and a volume
 * whose owner is gone is known as an orphan. Pure.
 */
#pragma once

#include <glib.h>

#define STEAD_DISK_ID_DIGITS 8

/* "web-1a2b3c4d" for n 0 (an instance's root disk, or a named volume), "web-1a2b3c4d-disk1" for an
 * instance's further ones. The suffix follows from the pool. Owned by the caller. */
char *stead_disk_stem(const char *name, const char *id, guint n);

/* The id's digits in a volume's name: of a stem, with any suffix or of a layer that a snapshot put
 * on top ("web-1a2b3c4d.s1.qcow2"). NULL for a name that stead did not make. Owned by the caller.
 */
char *stead_disk_name_id(const char *volume);

/* Whether a volume's name holds this id. */
gboolean stead_disk_name_is_of(const char *volume, const char *id);
