/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that stead runs on, while a guest's console is on it. One terminal a process.
 */
#pragma once

#include <glib.h>

/*
 * Hands every key to the program and every byte to the screen, as they are, until
 * stead_terminal_restore() or the end of the process, whichever way it ends (short of SIGKILL);
 * while the process is stopped (SIGTSTP) the terminal is as it was. `keep_signals`: Ctrl-C, Ctrl-Z
 * and Ctrl-\ still raise theirs. INVALID when `fd` is no terminal.
 */
gboolean stead_terminal_raw(int fd, gboolean keep_signals, GError **error);

/* As it was before stead_terminal_raw(). Idempotent. */
void stead_terminal_restore(void);

/* FALSE when `fd` is no terminal, or one without a size. */
gboolean stead_terminal_size(int fd, guint *rows, guint *columns);

#define STEAD_KEY_NONE (-1)

/* A key as people write it: "^]", "^A", one printable ASCII character, or "none". INVALID for
 * anything else. */
gboolean stead_key_parse(const char *text, int *key, GError **error);

/* The same, backwards. Owned by the caller. */
char *stead_key_name(int key);
