/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of single devices, with a stock kernel's drivers. See checks.c, which calls them. */
#pragma once

#include "machine.h"

/* Runs a command in the guest, which must succeed and print that, and no more but ends of lines. */
void expect_shell(Machine *machine, const char *command, const char *output);
/* The same, and that is a part of what it prints. */
void expect_shell_has(Machine *machine, const char *command, const char *part);

/* Both ways, in segments that the host cuts up or puts together. */
void check_bulk_network(Machine *machine);

void check_console(Machine *machine);

/* What the guest does not use any more goes back to the host: the memory file shrinks. */
void check_reported_pages(Machine *machine, const char *memory);

/* A file system on a copy-on-write disk has what was synced, whatever happens to the monitor. */
void check_killed_overlay(const char *overlay, const char *base);
