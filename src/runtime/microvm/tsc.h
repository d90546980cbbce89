/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the host's time stamp counter runs, which is what an emulated guest sees as its own. A
 * guest on a machine without HPET and power management timer has to measure it against the PIT,
 * fails to on a busy host, and then never sees a tick: so it is told.
 */
#pragma once

#include <glib.h>

/* Begins to measure: the longer ago, the better the figure. Once, early. */
void stead_tsc_begin(void);

/* In kHz; 0 where the counter's speed is not constant, or this is no x86. Any thread. Blocks for at
 * most some 20 ms after the beginning. */
guint stead_tsc_khz(void);
