/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control of a running guest: the part of QEMU's machine protocol that both can have, in QEMU's
 * words, and what only this program does (docs/stead-vmm.md lists both). One client at a time on a
 * listening Unix socket; it may come back as often as it likes.
 *
 * With the VM's lock held, I/O thread.
 */
#pragma once

#include "vmm/vm.h"

#define VMM_QMP_LINE_MAX 16384 /* bytes of a command */

typedef struct VmmQmp VmmQmp;

/* Listens, and becomes the vm's listener for events. 0 or a negative errno. */
int vmm_qmp_new(VmmQmp **qmp, VmmVm *vm, int listener);
/* Sends what is left as far as the client takes it. NULL is fine. */
void vmm_qmp_free(VmmQmp *qmp);

/* Takes bytes as if a client had sent them; for tests. */
void vmm_qmp_feed(VmmQmp *qmp, const void *bytes, size_t length);
/* A descriptor as if it had come along with them; the control's from now on. */
void vmm_qmp_receive(VmmQmp *qmp, int fd);
/* Without a socket: what would be sent goes to the function. For tests. */
int vmm_qmp_new_detached(VmmQmp **qmp, VmmVm *vm,
                         void (*sent)(void *data, const char *bytes, size_t length), void *data);
