/* SPDX-License-Identifier: Apache-2.0 */
/* What process 1 does before anything else in a guest without an init. */
#pragma once

#define GUEST_MODULES_LIST "/lib/modules/stead.modules"
#define GUEST_MODULES_MAX 64

/* Makes the file systems that programs expect, takes the host name from /etc/hostname, loads the
 * modules of GUEST_MODULES_LIST (one path a line, in their order), brings loopback up, and asks for
 * SIGINT upon ctrl-alt-del. What fails is said on stderr and passed over: a guest without it may
 * do. */
void guest_init_system(void);

/* In the root that stays: /etc/hostname, /etc/machine-id and /etc/resolv.conf, where they are plain
 * files, lie in memory from now on (below /run/identity), with the content that they have. The host
 * tells at each start who this machine is. */
void guest_init_told(void);

/* Descriptors 0, 1 and 2 are open from now on, on /dev/null where they were not; those that were
 * inherited beyond are passed on to nobody (from Linux 5.11 on). */
void guest_init_descriptors(void);

/* One line on stderr: what, and what became of it. */
void guest_complain(const char *what, const char *of, int error);
