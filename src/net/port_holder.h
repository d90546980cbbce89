/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a port of this host. */
#pragma once

#include "model/kind.h"

/* "process nginx (pid 812)"; NULL when nobody has the port or it cannot be told who. `address` 0:
 * any. Owned by the caller. */
char *stead_port_holder(SteadProtocol protocol, guint32 address, guint port);

/* The inode of the socket that has the port, in a text in the format of /proc/net/tcp, tcp6, udp or
 * udp6; 0 when there is none. Pure. */
guint64 stead_port_find_inode(const char *table, SteadProtocol protocol, guint32 address,
                              guint port);
