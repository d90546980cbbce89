/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a program: where it is, and running it. */
#pragma once

#include <glib.h>

/*
 * The path of stead-daemon: $STEAD_DAEMON, else beside the running program, in the folders of an
 * installation around it (../libexec/stead, ../libexec, ../sbin, ../bin), in the build tree
 * (../api,
 * ../daemon), or in PATH. MISSING when there is none. Owned by the caller.
 */
char *stead_daemon_program(GError **error);

/* Runs it with these arguments (NULL-terminated) on the caller's standard streams, and waits.
 * *code gets its exit code. */
gboolean stead_daemon_run(const char *const arguments[], int *code, GError **error);

/* Starts it in a session of its own, with its messages in the file `log`; *pid gets its id. It is
 * a child until the caller exits. */
gboolean stead_daemon_spawn(const char *log, GPid *pid, GError **error);
