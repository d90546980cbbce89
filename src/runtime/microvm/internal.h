/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the microVM driver, shared by its files and by nobody else.
 */
#pragma once

#include "runtime/microvm/agent.h"
#include "runtime/microvm/frozen.h"
#include "runtime/microvm/microvm.h"
#include "runtime/microvm/qmp.h"

/* An engine's process, from when it was first seen until its end was told, whatever becomes of the
 * connections to it. Shared: the table, the main loop, and each connection hold a reference. */
typedef struct {
    struct SteadMicrovm *microvm;
    char *id;
    int pidfd;   /* readable when it has ended */
    GMutex lock; /* of what follows, up to `telling` */
    gboolean paused;
    gboolean frozen;   /* paused by ourselves, for a moment: not told */
    gboolean shut;     /* it said that the guest went down, or was told to quit */
    gboolean crashed;  /* the guest's kernel panicked */
    gboolean rebooted; /* the guest asked for a reset that only a new engine can give */
    guint open;        /* connections that may still say something of it */
    gboolean telling;  /* its state will be told */
    gboolean ended;    /* main loop only, as the rest */
    GSource *watch;    /* its end; NULL */
    guint reattach;    /* timer */
    guint losses;      /* connections that were lost while it ran */
    gint64 told_at;    /* monotonic, microseconds */
    gboolean agent;    /* told since then: that it answers */
    gboolean nameless; /* and does not know who it is */
} SteadProcess;

/* How far its engine is with writing or reading a state. */
typedef enum {
    STEAD_MIGRATION_NONE,
    STEAD_MIGRATION_UNDER_WAY,
    STEAD_MIGRATION_DONE,
    STEAD_MIGRATION_FAILED,
} SteadMigrationState;

/* The connections to an engine. Shared: the table, the wires' thread while a connection lives, and
 * whoever works with it hold a reference. */
typedef struct {
    struct SteadMicrovm *microvm;
    SteadProcess *process;
    SteadQmp *qmp;
    SteadAgent *agent;
    GMutex lock; /* of what follows */
    GCond changed;
    gboolean is_init; /* its agent is process 1 of its system */
    gboolean named;   /* it was told who it is */
    SteadMigrationState migration;
    gboolean attached; /* it was the one of the table */
    gboolean gone;     /* the connection of its QMP */
} SteadMonitor;

typedef struct SteadMicrovm {
    const SteadPaths *paths;
    const SteadKvm *kvm; /* NULL: not probed */
    SteadWires *wires;
    SteadFrozenCache *frozen;
    GThreadPool *looks; /* threads that look at engines */
    GMutex lock;        /* of what follows, up to `closed` */
    GCond attached;
    GHashTable *attaching; /* ids of engines that somebody is connecting to */
    GHashTable *monitors;  /* id → SteadMonitor */
    GHashTable *processes; /* id → SteadProcess */
    gboolean closed;       /* main loop only, as the rest */
    SteadActualFunc func;
    gpointer data;
} SteadMicrovm;

SteadMicrovm *stead_microvm_ref(SteadMicrovm *microvm);
void stead_microvm_unref(gpointer microvm);

/* <run>/instances/<id>/NAME. Owned by the caller. */
char *stead_microvm_path(const SteadMicrovm *microvm, const char *id, const char *name);

/* ---- process.c ---- */

/* The process of that pidfd, which is taken over. The caller owns one reference. */
SteadProcess *stead_process_get(SteadMicrovm *microvm, const char *id, int pidfd);
void stead_process_unref(gpointer process);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadProcess, stead_process_unref)
/* Whether it ends within that time. */
gboolean stead_process_ends(const SteadProcess *process, int timeout_ms);
/* What the host sees of it. Owned by the caller. */
SteadActual *stead_process_actual(SteadProcess *process);
/* A connection may say something of it from here on; and does not any more. `lost`: it was good,
 * and is made again while the process lives. */
void stead_process_opened(SteadProcess *process);
void stead_process_closed(SteadProcess *process, gboolean lost);
/* Tells how it is now: whatever was told of an engine before it is old. */
void stead_process_tell(SteadProcess *process);
/* The same for what its guest can cause: told soon, and not more often than anybody can read. */
void stead_process_tell_soon(SteadProcess *process);
/* Tells that its agent answers, and whether that does not know who it is. */
void stead_process_tell_agent(SteadProcess *process, gboolean nameless);
/* (main) Nothing is told of any more. */
void stead_process_forget_all(SteadMicrovm *microvm);

/* ---- events.c ---- */

/* What an engine says, as SteadQmpFunc; `monitor` is a SteadMonitor. */
void stead_monitor_on_event(const char *event, JsonObject *data, gpointer monitor);
/* The state is taken or given from here on. */
void stead_monitor_begin_migration(SteadMonitor *monitor);
/* Waits until a state was loaded or saved; UNAVAILABLE when its engine gives up or ends
 * instead, TIMEOUT. */
gboolean stead_monitor_await_migration(SteadMonitor *monitor, gint64 deadline, GError **error);

/* ---- monitor.c ---- */

SteadMonitor *stead_monitor_ref(SteadMonitor *monitor);
void stead_monitor_unref(gpointer monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadMonitor, stead_monitor_unref)

/* The connections to an engine that runs, made where there are none. NULL without an error when it
 * does not run; TIMEOUT when it does not answer, CANCELLED. The caller owns one reference. */
SteadMonitor *stead_monitor_attach(SteadMicrovm *microvm, const char *id, GCancellable *cancellable,
                                   GError **error);
/* The same for an engine that has to run: STATE when it does not. */
SteadMonitor *stead_monitor_find(SteadMicrovm *microvm, const char *id, GCancellable *cancellable,
                                 GError **error);
/* It has hung up. */
void stead_monitor_forget(SteadMonitor *monitor);
/* Waits until the process has ended; FALSE with TIMEOUT or CANCELLED. */
gboolean stead_monitor_await_end(const SteadMonitor *monitor, gint64 deadline,
                                 GCancellable *cancellable, GError **error);
/* Whether its agent answers, but is process 1 of a system that was not told yet who it is. */
gboolean stead_monitor_is_nameless(SteadMonitor *monitor);
/* Reads whether it is paused from the engine. */
gboolean stead_monitor_refresh(SteadMonitor *monitor, GError **error);

/* ---- halt.c ---- */

/* Its CPUs halt, which takes as long as its disks need; our own doing, which is not told. Upon
 * failure it goes on, or will. */
gboolean stead_monitor_halt(SteadMonitor *monitor, GCancellable *cancellable, GError **error);
/* And go on, unless they stood still before: over another connection where that one was lost. */
gboolean stead_monitor_go_on(SteadMonitor *monitor, GError **error);
/* The same for whoever has failed, and does not wait for it. */
void stead_monitor_let_go(SteadMonitor *monitor);
/* Halts them for good. */
gboolean stead_monitor_pause(SteadMonitor *monitor, GCancellable *cancellable, GError **error);

/* ---- look.c ---- */

/* The engine is connected to again, if it runs, and how it is is told. */
void stead_microvm_look_again(SteadMicrovm *microvm, const char *id);
/* In one of the threads of `looks`. */
void stead_microvm_run_look(gpointer look, gpointer microvm);

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
gboolean stead_microvm_pause(gpointer self, const char *id, GCancellable *cancellable,
                             GError **error);
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
                              SteadCopyFunc copy_disks, gpointer data, GCancellable *cancellable,
                              GError **error);
gboolean stead_microvm_renew(gpointer self, const char *id, const SteadIdentity *identity,
                             guint64 timeout_ms, GCancellable *cancellable, GError **error);
gboolean stead_microvm_balloon(gpointer self, const char *id, guint64 size, GError **error);
