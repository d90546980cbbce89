/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that measure; see figures.c. */
#pragma once

void starts_fast(void);
void restores_fast(void);
