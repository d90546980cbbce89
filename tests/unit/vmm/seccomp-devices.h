/* SPDX-License-Identifier: Apache-2.0 */
/* Devices at work in threads that are sealed as the program's are, without a guest. */
#pragma once

#include <glib.h>

/* The exit code of a child that did all of it. */
#define DEVICES_WELL 0
/* Threads of it that seal themselves. */
#define DEVICES_SEALED 6

/* In a child that is followed (seccomp-trace.h): makes the devices, with their files in that
 * folder, in which there is an empty qcow2 image, seals itself and works. */
_Noreturn void devices_work(const char *folder);
