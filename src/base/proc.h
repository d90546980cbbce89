/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes, as /proc shows them.
 *
 * "There is none" is an answer, and is told apart from not having been able to look: the functions
 * below return FALSE, NULL or -1 without an error for the one, and with an error for the other.
 * Whoever took the second for the first would start a second program beside one that runs.
 */
#pragma once

#include <glib.h>

/* What a line of /proc/PID/stat tells. */
typedef struct {
    int pid;
    char state;
    int group;
    guint64 start; /* in clock ticks since the boot */
} SteadProcStat;

/* Of a line of /proc/PID/stat; FALSE when it is none. Pure. */
gboolean stead_proc_parse(const char *text, SteadProcStat *stat);

/* FALSE when there is no such process, or it has ended and is only not buried yet. */
gboolean stead_proc_read(int pid, SteadProcStat *stat, GError **error);

/* The words of its command line, separated by blanks; NULL when there is no such process, or it has
 * none. Owned by the caller. */
char *stead_proc_command(int pid, GError **error);

/* A pidfd, which the caller closes; -1. Who it is has to be looked at after it is open. */
int stead_proc_open(int pid, GError **error);

/* Names this boot of the host. NULL upon failure; owned by the caller. */
char *stead_proc_boot(GError **error);
