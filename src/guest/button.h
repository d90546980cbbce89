/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's power button, as the kernel's drivers `button` and `evdev` show it. Where there are
 * none of them, there is no button.
 */
#pragma once

#include <stdbool.h>

#define GUEST_BUTTONS_MAX 4 /* a machine may have two, by two of ACPI's ways */

/* Opens those that can be pressed now; their number. They do not block. */
unsigned guest_button_open(int fds[GUEST_BUTTONS_MAX]);

/* Reads all that happened; whether one of it was a press. */
bool guest_button_was_pressed(int fd);
