/* SPDX-License-Identifier: Apache-2.0 */
/* What libFuzzer calls, and replay.c in its place. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Takes any bytes; returns 0, or crashes upon a defect. */
__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
