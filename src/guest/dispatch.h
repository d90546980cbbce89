/* SPDX-License-Identifier: Apache-2.0 */
/* What each frame of the host's does. */
#pragma once

#include "guest/agent.h"

/* Acts on a frame; the outbox has room for an answer of any size. */
void guest_dispatch(GuestAgent *agent, GuestFrame *frame);

/* Answers what was no frame. */
void guest_dispatch_bad(GuestAgent *agent);
