/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into a guest's serial port: QEMU's character device socket. Main loop only.
 */
#pragma once

#include <glib.h>

/* What is held for a guest that does not read its serial port, in bytes. */
#define STEAD_INPUT_MAX 65536
/* How long after the last input the connection is kept. */
#define STEAD_INPUT_IDLE_MS 100
/* How long input that was written last is held for a guest that does not take any. */
#define STEAD_INPUT_LAST_MS 3000

typedef struct _SteadInput SteadInput;

/* Called after `taken` further bytes were handed to the guest or, where the guest went away,
 * dropped: there is room again. */
typedef void (*SteadInputFunc)(gsize taken, gpointer data);

/* Never fails: connects when there is something to send. */
SteadInput *stead_input_new(const char *path, SteadInputFunc func, gpointer data);
/* What was written is still delivered, if the guest takes it; `func` is not called any more. May be
 * called from within `func`. */
void stead_input_free(SteadInput *input);

/*
 * Takes up to n bytes; fewer where the rest does not fit. -1 upon error: UNAVAILABLE when the
 * socket cannot be reached, EXHAUSTED when not one byte fits.
 */
gssize stead_input_write(SteadInput *input, const void *bytes, gsize n, GError **error);

/* Bytes that wait for the guest. */
gsize stead_input_pending(const SteadInput *input);
