/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A paused guest as two files: its memory, and the state of everything else. The state carries the
 * format's version, what machine it is of and a checksum; what does not match is refused with the
 * reason, before anything of it is used.
 *
 * A guest whose memory is a shared file has it there already. Others' is written out.
 */
#pragma once

#include "vmm/vm.h"

/* Writes the state at the beginning of the file, which is cut to it, and the memory into `memory`
 * unless that is -1. The guest stops for it and goes on afterwards if it ran. */
int vmm_snapshot_save(VmmVm *vm, int state, int memory, VmmError *error);

/* Into a machine that has not run yet, whose memory is the snapshot's already. After a failure the
 * machine is of no use. */
int vmm_snapshot_load(VmmVm *vm, int state, VmmError *error);

/* The same for bytes: what a file holds. */
int vmm_snapshot_load_bytes(VmmVm *vm, const void *bytes, size_t length, VmmError *error);

/* Checks magic, version, length and checksum; sets the reader on what follows. */
int vmm_snapshot_open(VmmStateReader *reader, const void *bytes, size_t length, VmmError *error);

/* Reads all that follows into the machine and its devices, and judges it, without KVM. Returns the
 * reader's error. */
int vmm_snapshot_read(VmmVm *vm, VmmStateReader *reader);
