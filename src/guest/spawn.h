/* SPDX-License-Identifier: Apache-2.0 */
/* A process for an EXEC. */
#pragma once

#include "guest/agent.h"

/* GuestOps.spawn and .sync. The process is the leader of a session of its own, has no signal
 * blocked and no descriptor but 0, 1 and 2. */
int guest_spawn(const GuestExec *exec, GuestProcess *process, const char **text);
int guest_spawn_sync(void);

/* Part of GuestOps.settle: the agent's memory, which was shared with the process of a sync that has
 * ended, is its own again. */
void guest_spawn_own_pages(void);
