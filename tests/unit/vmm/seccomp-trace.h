/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the threads of a process ask the kernel for once they are sealed, by ptrace: which calls of
 * the list (seccomp.h), by which kind of thread, with which of the values that an argument may
 * have.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "vmm/seccomp.h"

#define TRACE_CALLS_MAX 64
#define TRACE_VALUES_MAX 64
#define TRACE_THREADS_MAX 32
#define TRACE_KINDS 4

extern const VmmThread trace_kinds[TRACE_KINDS];
extern const char *const trace_kind_names[TRACE_KINDS];

typedef struct {
    struct {
        pid_t number;
        unsigned kind; /* in trace_kinds */
    } sealed[TRACE_THREADS_MAX];
    unsigned n_sealed;
    guint16 lengths[TRACE_KINDS];               /* of the filters, by which they are told */
    guint64 used[TRACE_CALLS_MAX][TRACE_KINDS]; /* a bit for each value */
} Trace;

/* Learns the filters. */
void trace_init(Trace *trace);

/* In a child: waits to be followed. */
void trace_me(void);
/* Follows all threads of a child that said so until it ends; its exit status. May be done for
 * several children, one after the other. */
int trace_follow(Trace *trace, pid_t child);
