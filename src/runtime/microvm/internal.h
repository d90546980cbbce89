/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the microVM driver, shared by its files and by nobody else.
 */
#pragma once

#include "runtime/microvm/agent.h"
#include "runtime/microvm/frozen.h"
#include "runtime/microvm/microvm.h"
#include "runtime/microvm/qmp.h"

/* What the daemon has of one running engine. Shared: the table, the wires' thread while a
 * connection lives, and whoever works with it hold a reference. */
typedef struct {
    struct SteadMicrovm *microvm;
    char *id;
    char *run_dir;
    SteadQmp *qmp;
    SteadAgent *agent;
    int process; /* pidfd; readable when it has ended */
    GMutex lock; /* of what follows */
    GCond changed;
    gboolean is_init; /* its agent is process 1 of its system */
    gboolean named;   /* it was told who it is */
    gboolean loaded;  /* the state that it goes on from is in */
    gboolean paused;
    gboolean frozen;   /* paused by ourselves, for a moment: not told */
    gboolean shut;     /* it said that the guest went down, or was told to quit */
    gboolean crashed;  /* the guest's kernel panicked */
    gboolean rebooted; /* the guest asked for a reset that only a new engine can give */
    gboolean ended;    /* the connection is gone */
} SteadMonitor;

typedef struct SteadMicrovm {
    const SteadPaths *paths;
    const SteadKvm *kvm; /* NULL: not probed */
    SteadWires *wires;
    SteadFrozenCache *frozen;
    GMutex lock; /* of what follows, up to `closed` */
    GCond attached;
    GHashTable *attaching; /* ids of engines that somebody is connecting to */
    GHashTable *monitors;  /* id → SteadMonitor */
    gboolean closed;       /* main loop only, as the rest */
    SteadActualFunc func;
    gpointer data;
} SteadMicrovm;

SteadMicrovm *stead_microvm_ref(SteadMicrovm *microvm);
void stead_microvm_unref(gpointer microvm);

/* <run>/instances/<id>/NAME. Owned by the caller. */
char *stead_microvm_path(const SteadMicrovm *microvm, const char *id, const char *name);

/* ---- monitor.c ---- */

SteadMonitor *stead_monitor_ref(SteadMonitor *monitor);
void stead_monitor_unref(gpointer monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadMonitor, stead_monitor_unref)

/* The connections to an engine that runs, made where there are none. NULL without an error when it
 * does not run. The caller owns one reference. */
SteadMonitor *stead_monitor_attach(SteadMicrovm *microvm, const char *id, GError **error);
/* The same for an engine that has to run: STATE when it does not. */
SteadMonitor *stead_monitor_find(SteadMicrovm *microvm, const char *id, GError **error);
/* Waits until the process has ended; FALSE with TIMEOUT or CANCELLED. */
gboolean stead_monitor_await_end(const SteadMonitor *monitor, gint64 deadline,
                                 GCancellable *cancellable, GError **error);
/* Whether its agent answers, but is process 1 of a system that was not told yet who it is. */
gboolean stead_monitor_is_nameless(SteadMonitor *monitor);
/* What the host sees of it. Owned by the caller. */
SteadActual *stead_monitor_actual(SteadMonitor *monitor);
/* Tells how it is now: whatever was told of an engine before it is old. */
void stead_monitor_tell(SteadMonitor *monitor);
/* Reads whether it is paused from the engine. */
gboolean stead_monitor_refresh(SteadMonitor *monitor, GError **error);
/* Waits until the state that it was given is loaded; UNAVAILABLE when it ends instead, TIMEOUT. */
gboolean stead_monitor_await_loaded(SteadMonitor *monitor, gint64 deadline, GError **error);
/* Its CPUs halt, or go on; our own doing, which is not told. */
gboolean stead_monitor_halt(SteadMonitor *monitor, gboolean halt, GError **error);

/* ---- launch.c ---- */

/* Starts the engine of a machine. Nothing is left of it upon failure. */
gboolean stead_microvm_launch(SteadMicrovm *microvm, const SteadMachine *machine, GError **error);
/* Whether the disks of the frozen machine that it goes on from, and of those that that one was made
 * of, are as they were frozen. NOT_FOUND; VERIFICATION. */
gboolean stead_microvm_check_frozen(SteadMicrovm *microvm, const SteadMachine *machine,
                                    GError **error);
/* The last line that the engine wrote to its standard error; owned by the caller. */
char *stead_microvm_last_words(const SteadMicrovm *microvm, const char *id);

/* ---- the slots, named as in SteadDriver ---- */

gboolean stead_microvm_choose(gpointer self, SteadMachine *machine, GError **error);
gboolean stead_microvm_prepare(gpointer self, const SteadMachine *machine, GError **error);
gboolean stead_microvm_start(gpointer self, const SteadMachine *machine, GError **error);
gboolean stead_microvm_stop(gpointer self, const char *id, guint64 timeout_ms,
                            GCancellable *cancellable, GError **error);
gboolean stead_microvm_kill(gpointer self, const char *id, GError **error);
gboolean stead_microvm_pause(gpointer self, const char *id, GError **error);
gboolean stead_microvm_resume(gpointer self, const char *id, GError **error);
gboolean stead_microvm_destroy(gpointer self, const char *id, GError **error);
GPtrArray *stead_microvm_list(gpointer self, GError **error);
SteadExecResult *stead_microvm_exec(gpointer self, const char *id, const char *const argv[],
                                    const char *input, guint64 timeout_ms,
                                    GCancellable *cancellable, GError **error);
SteadStream *stead_microvm_stream(gpointer self, const char *id, const SteadStreamRequest *request,
                                  GCancellable *cancellable, GError **error);
gboolean stead_microvm_agent_ping(gpointer self, const char *id, GError **error);
GStrv stead_microvm_addresses(gpointer self, const char *id, GError **error);
gboolean stead_microvm_stats(gpointer self, const char *id, SteadStats *stats, GError **error);
JsonNode *stead_microvm_snapshot(gpointer self, const SteadMachine *machine,
                                 const char *snapshot_id, gboolean memory,
                                 SteadProgressFunc progress, gpointer data,
                                 GCancellable *cancellable, GError **error);
gboolean stead_microvm_restore(gpointer self, SteadMachine *machine, const char *snapshot_id,
                               JsonNode *layers, GError **error);
gboolean stead_microvm_snapshot_remove(gpointer self, const SteadMachine *machine,
                                       const char *snapshot_id, JsonNode *layers, GError **error);
gboolean stead_microvm_freeze(gpointer self, const SteadMachine *machine, const char *dir,
                              SteadCopyFunc copy_disks, gpointer data, GError **error);
gboolean stead_microvm_renew(gpointer self, const char *id, const SteadIdentity *identity,
                             guint64 timeout_ms, GCancellable *cancellable, GError **error);
gboolean stead_microvm_balloon(gpointer self, const char *id, guint64 size, GError **error);
