/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the QEMU Machine Protocol, for both engines: QEMU, and stead-vmm, which answers a
 * subset of it (docs.qemu.org, "QEMU QMP Reference Manual"). Any thread may call; the reader's
 * thread tells events.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "runtime/microvm/wire.h"

/* A longer line is no answer, in bytes. */
#define STEAD_QMP_LINE_MAX (256 * 1024)
/* How long an answer may take. */
#define STEAD_QMP_TIMEOUT_MS 20000

typedef struct _SteadQmp SteadQmp;

/* On the wires' thread. `data` is an event's data, or NULL; NULL as `event`: the connection has
 * ended, and nothing follows. */
typedef void (*SteadQmpFunc)(const char *event, JsonObject *data, gpointer user);

/*
 * Connects and negotiates, which an engine that was just started answers once it is up: TIMEOUT
 * after STEAD_QMP_TIMEOUT_MS, UNAVAILABLE when it ends before. `release` is called with `user` when
 * no call of `func` can follow, upon failure too. The caller owns one reference.
 */
SteadQmp *stead_qmp_open(SteadWires *wires, const char *path, SteadQmpFunc func, gpointer user,
                         GDestroyNotify release, GError **error);
void stead_qmp_unref(SteadQmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadQmp, stead_qmp_unref)

/* Hangs up: `func` is told the end. */
void stead_qmp_close(SteadQmp *qmp);
gboolean stead_qmp_is_open(SteadQmp *qmp);

/*
 * Executes a command and waits for its answer, the "return" member, owned by the caller.
 * `arguments` (may be NULL) is taken over; `fd` (-1: none) goes with it. INTERNAL with the engine's
 * words when it refuses, UNAVAILABLE when it ends meanwhile, TIMEOUT.
 */
JsonNode *stead_qmp_call(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                         GError **error);
/* The same, for what is not interesting. */
gboolean stead_qmp_do(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                      GError **error);
/* For whoever cannot wait for long. */
JsonNode *stead_qmp_ask(SteadQmp *qmp, const char *command, guint64 timeout_ms, GError **error);
/* And for what takes its time. */
gboolean stead_qmp_do_long(SteadQmp *qmp, const char *command, JsonObject *arguments,
                           guint64 timeout_ms, GError **error);
