/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges that the host has already, which networks of mode `bridge` join. */
#pragma once

#include <glib.h>

#define STEAD_SYS_CLASS_NET "/sys/class/net"

/* NOT_FOUND, with the nearest bridge as the hint, when the host has no bridge of that name.
 * `sys_class_net` is STEAD_SYS_CLASS_NET but in tests. */
gboolean stead_host_bridge_check(const char *sys_class_net, const char *name, GError **error);

/* How many interfaces (taps of running instances, others) are in the bridge; 0 when there is none
 * of that name. */
guint stead_host_bridge_ports(const char *sys_class_net, const char *name);
