/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who writes a guest's console down: stead-log (vmm/logger.c), at the other end of a pipe into
 * which the engine says all that its guest says. So the log has a bounded size whichever engine it
 * is, and an engine that a guest took over has no file that it could fill the disk with.
 *
 * It belongs to its engine and ends after it, when nobody can write into the pipe any more.
 */
#pragma once

#include "runtime/runtime.h"

/* Starts it for an engine of `machine`, to read from `pipe`, which stays the caller's. */
gboolean stead_logger_start(const SteadMachine *machine, int pipe, GError **error);

/* After the engine ended: waits until all is written down, and leaves nothing in `run_dir`. One
 * that does not get done is ended. Success when there was none. */
gboolean stead_logger_finish(const char *run_dir, GError **error);
