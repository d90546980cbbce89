/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that measure; see figures.c. */
#pragma once

#include "machine.h"

void starts_fast(void);
void restores_fast(void);

/* Starts twenty clones, one after the other: each has the text in /tmp/name, and none takes long to
 * say so. */
void check_clones(const MachineOptions *options, const char *name);
