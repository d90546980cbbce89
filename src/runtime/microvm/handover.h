/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that an engine will use, opened by the daemon, and the numbers under which the engine
 * has it. The sockets are listening before it runs, so that whoever connects early waits in their
 * queue and not in a loop.
 */
#pragma once

#include "runtime/microvm/engine.h"

typedef struct {
    GArray *fds; /* int; closed with it, and open in the engine from STEAD_HANDOVER_FIRST on */
    SteadEngineFds numbers;
    int state; /* of a frozen machine, which is handed over once it asks; -1 */
    int said;  /* the end of the console's pipe that is read from; -1 */
} SteadHandover;

#define STEAD_HANDOVER_FIRST 3

/* Opens all that `program` needs for `machine`; cleared by stead_handover_clear() in any case. */
gboolean stead_handover_open(SteadHandover *handover, const SteadEngineProgram *program,
                             SteadMicrovm *microvm, const SteadMachine *machine, GError **error);
void stead_handover_clear(SteadHandover *handover);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SteadHandover, stead_handover_clear)
