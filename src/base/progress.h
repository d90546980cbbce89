/* SPDX-License-Identifier: Apache-2.0 */
/* How work that takes long tells how far it is. */
#pragma once

#include <glib.h>

/*
 * Called in the thread that does the work. `stage` is a short present participle or noun that a
 * user reads ("downloading", "file system"), valid during the call only; `fraction` is the part of
 * this stage that is done, 0 to 1, or -1 where it cannot be known.
 */
typedef void (*SteadProgressFunc)(const char *stage, double fraction, gpointer data);
