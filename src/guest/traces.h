/* SPDX-License-Identifier: Apache-2.0 */
/* What programs of a clone have kept of its template, and would go on with. */
#pragma once

#include "guest/messages.h"

/* In the files that say how interfaces are set up, each old MAC becomes the new one. 0, or the
 * negative errno of the first file that could not be changed. */
int guest_rename_macs(const GuestNic *nics, uint32_t count);

/* Makes the SSH server read its host keys again, where one runs that keeps them in memory. */
void guest_tell_sshd(void);
