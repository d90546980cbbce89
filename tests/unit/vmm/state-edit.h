/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a snapshot's state as somebody would who knows its format. */
#pragma once

#include <glib.h>

#define STATE_HEADER 32 /* bytes before the first section */
#define STATE_VERSION 8 /* offsets in the header */

/* What a file holds. Owned by the caller. */
GByteArray *state_read(int fd);
/* Where the section of that name has its first byte behind its own header; fails the test if it is
 * not there. */
guint8 *state_section(const GByteArray *state, const char *name);
/* Makes header and content agree again. */
void state_mend(GByteArray *state);
