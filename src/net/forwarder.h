/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forwarder: a process that carries a published port's traffic and belongs to no daemon. It is
 * started detached, and found again through a record file by whichever daemon comes next.
 *
 * All functions block (for at most STEAD_FORWARDER_WAIT_MS each time a process is waited for).
 */
#pragma once

#include <glib.h>

#define STEAD_FORWARDER_WAIT_MS 5000

/*
 * Starts argv (argv[0] an absolute path) and waits until it prints STEAD_FORWARDER_READY on its
 * standard error. The file `record` (its folder exists) is written before the program runs, so no
 * daemon that dies meanwhile leaves a process that its successor cannot find. On failure nothing
 * runs, there is no record, and the error is INTERNAL with the program's last line.
 */
#define STEAD_FORWARDER_READY "listening on "
gboolean stead_forwarder_start(const char *record, const char *const argv[], GError **error);

/* Whether the process of the record runs, and was started with this argv. */
gboolean stead_forwarder_is_running(const char *record, const char *const argv[]);

/* Ends exactly the process of the record and what it forked, then removes the record. Success when
 * there is none, or the process is gone. */
gboolean stead_forwarder_stop(const char *record, GError **error);
