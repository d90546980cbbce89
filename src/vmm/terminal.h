/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the serial port is connected to: a log, a client that may come and go, both or neither. The
 * guest never waits for them: output that a slow client does not take is lost for it, but stands in
 * the log.
 */
#pragma once

#include "vmm/channel.h"
#include "vmm/log.h"
#include "vmm/serial.h"

typedef struct VmmTerminal VmmTerminal;

/* The port's owner from now on. `listener` is -1 for none, `log` may be NULL; both stay the
 * caller's. 0 or a negative errno. */
int vmm_terminal_new(VmmTerminal **terminal, VmmLoop *loop, VmmSerial *serial, int listener,
                     VmmLog *log);
/* Writes what is left. NULL is fine. */
void vmm_terminal_free(VmmTerminal *terminal);

/* Tells when output comes faster than it goes out, and when that is over. */
void vmm_terminal_on_congestion(VmmTerminal *terminal,
                                void (*congested)(void *owner, bool is_congested), void *owner);

/* Output waits a moment for more of it; this ends the wait. */
void vmm_terminal_flush(VmmTerminal *terminal);
