/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the engine, shared by its files and by nobody else.
 *
 * How an operation is built: a function on the main loop checks the request, puts its intent on
 * record and submits a job; the job's body blocks in the lower layers, with copies of what it
 * needs; whenever it has to read or change records it hops to the main loop (stead_job_sync). A
 * body may be cut off by a kill at any line: what stands in the records is then finished or undone
 * by recover.c, so each step is repeatable.
 */
#pragma once

#include "console/match.h"
#include "console/stages.h"
#include "engine/engine.h"
#include "engine/table.h"
#include "host/checks.h"
#include "host/kvm.h"
#include "host/libvirt.h"
#include "image/store.h"

/* What is known of an instance beyond its record. Main loop only. */
typedef struct {
    SteadEngine *engine;
    char *id;
    SteadConsole *console; /* NULL until somebody needs it */
    guint reader;          /* ours at the console, for stages and the console rule; 0: none */
    SteadStages *stages;
    SteadMatch *rule;         /* the spec's console rule, until it has matched; NULL: none */
    guint ready_timer;        /* while it runs and is not ready */
    gboolean probing;         /* a readiness probe is under way */
    gboolean late;            /* this run is not ready within its rule's time, and that was told */
    gint64 run_started;       /* monotonic, microseconds; 0: not running */
    guint restart_timer;      /* the restart policy waits */
    gboolean settled;         /* what an earlier daemon left of it was taken up */
    GQueue asked;             /* SteadAsk, borrowed: actions that wait for their turn */
    gboolean asked_unwritten; /* what the record shows of them is not what was written last */
    gint64 changed;           /* when the state last changed; monotonic, microseconds */
} SteadLive;

struct _SteadEngine {
    const SteadPaths *paths;
    SteadStore *store;
    SteadEvents *events;
    SteadJobs *jobs;
    SteadLibvirt *libvirt;
    SteadRuntime *runtimes[STEAD_N_KINDS]; /* NULL: none of that kind */
    SteadImageStore *image_store;
    SteadKvm *kvm;
    SteadTable *instances, *snapshots, *networks, *volumes, *images, *templates;
    GHashTable *live;    /* instance id → SteadLive */
    GHashTable *heard;   /* instance id → SteadActual: the host's last word while a job had it */
    GThreadPool *probes; /* readiness */
    GMutex change_mutex; /* with change_cond and changes: bodies wait for states to change */
    GCond change_cond;
    guint changes;
    GPtrArray *warm; /* warm.c */
    guint warm_timer;
    GMutex slots_mutex; /* with slots_cond and slots_taken: clones that go on from their template */
    GCond slots_cond;
    guint slots_taken;
    guint reconcile_timer;
    gint64 opened;    /* monotonic, microseconds */
    gboolean closing; /* what was promised stays on record */
    gboolean adopted; /* the first reconciliation after a start is done */
};

/* ---- engine.c ---- */

/* The runtime of a kind; never NULL for a kind that a record can have. */
SteadRuntime *stead_engine_runtime(SteadEngine *engine, SteadKind kind);

/* "kvm" or "tcg". */
const char *stead_engine_accel(SteadEngine *engine);
/* "KVM is usable", "KVM is unusable: ...". Owned by the caller. */
char *stead_engine_accel_reason(SteadEngine *engine);
/* Writes down what the next run of an instance is run by, and why. */
void stead_engine_note_choice(SteadInstance *instance, const SteadMachine *machine);

/* ---- records.c ---- */

gboolean stead_engine_load_records(SteadEngine *engine, GError **error);
/* Logs the records that could not be read, and tells them as events. */
void stead_engine_tell_damage(SteadEngine *engine);
/* The doctor's word on them; owned by the caller. */
SteadCheckResult *stead_engine_check_records(SteadEngine *engine);
/* BUSY while the record of an instance that may use the network (`what`) cannot be read. */
gboolean stead_engine_check_users_known(SteadEngine *engine, const char *what, const char *name,
                                        GError **error);
/* Whether all digests that are in use are known. */
gboolean stead_engine_knows_images(SteadEngine *engine);

/* ---- instance.c: changes of a record, each written before it is told ---- */

/* Goes to a state, if it may (STATE error); tells it. `message` is why it failed, else NULL. */
gboolean stead_engine_set_state(SteadEngine *engine, SteadInstance *instance, SteadState state,
                                const char *message, GError **error);
/* Writes a changed record; a failure is logged, since the host has changed already. */
void stead_engine_save(SteadEngine *engine, SteadInstance *instance);
/* <state>/instances/<id> and <run>/instances/<id>. Owned by the caller. */
char *stead_engine_instance_dir(SteadEngine *engine, const char *id);
char *stead_engine_instance_run_dir(SteadEngine *engine, const char *id);
/* The guest's host name, borrowed. */
const char *stead_engine_hostname(const SteadInstance *instance);
#define STEAD_INSTANCE_LOCK "instance/"
/* "instance/<id>": the lock of all jobs on one instance. Owned by the caller. */
char *stead_engine_instance_lock(const char *id);
/* The record behind an id that a job carries; NOT_FOUND when it was removed meanwhile. */
SteadInstance *stead_engine_expect(SteadEngine *engine, const char *id, GError **error);

/* ---- ask.c: actions that were promised ---- */

typedef struct _SteadAsk SteadAsk;

/* Puts an action on record, for the job that will do it. */
SteadAsk *stead_engine_ask(SteadEngine *engine, SteadInstance *instance, SteadAction action,
                           const SteadActionOptions *options, GError **error);
/* (a SteadSyncFunc) The job begins: the record that it writes next does not show the action. */
gboolean stead_ask_begin(gpointer ask, GError **error);
/* The job has ended; if it never began, the action is taken back. NULL is fine. */
void stead_ask_free(gpointer ask);
/* Submits what an earlier daemon promised, unless something newer waits. */
void stead_engine_ask_again(SteadEngine *engine, SteadInstance *instance);

/* ---- machine.c ---- */

/* A record and what was made for it, resolved for the runtime. */
SteadMachine *stead_engine_machine(SteadEngine *engine, const SteadInstance *instance,
                                   GError **error);

/* ---- start.c ---- */

/* (body) Starts a created instance: networks, ports, runtime, record, console. `fresh`: it was
 * created by this very job, so that its definition is as the record asks. */
gboolean stead_engine_start_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                   gboolean fresh, GError **error);
/* (body) Makes the published ports be those of the record: none when it is not up. */
gboolean stead_engine_publish_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                     GError **error);
/* The same in a job of its own, for an instance that came up, or ended, by itself. */
void stead_engine_submit_ports(SteadEngine *engine, const SteadInstance *instance);
/* (body) Sees to what a running instance stands on: its run folder, networks, reservations. */
gboolean stead_engine_make_ground_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                         GError **error);
/* The first address that is reserved for one of its interfaces (SteadNicRecord), borrowed. */
const char *stead_engine_reserved_address(const GPtrArray *nics);

/* Tells a guest that has no other means its name and addresses, in a job of its own. */
void stead_engine_introduce(SteadEngine *engine, const SteadInstance *instance);

/* ---- remove.c ---- */

/* (body) Takes everything of an instance away, and then its record. */
gboolean stead_engine_remove_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                    GError **error);

/* ---- create.c ---- */

/* Submits the creation of an instance that is on record as CREATING. */
SteadJob *stead_engine_submit_create(SteadEngine *engine, const SteadInstance *instance,
                                     GError **error);

/* ---- image.c ---- */

/* The digests of all records, of images and instances; a set, owned by the caller. */
GHashTable *stead_engine_image_digests(SteadEngine *engine);

/* ---- network.c ---- */

/* (body) Makes the network `default` unless it is there. */
gboolean stead_engine_ensure_default_network(SteadEngine *engine, SteadJob *job, GError **error);
/* Makes a network that is on record again; repeatable. */
SteadJob *stead_engine_make_network_again(SteadEngine *engine, const SteadNetwork *network,
                                          GError **error);

/* ---- volume.c ---- */

/* BUSY when it is attached. */
gboolean stead_engine_check_detached(SteadEngine *engine, const SteadVolume *volume,
                                     GError **error);
/* Makes a volume that is on record again; repeatable. */
SteadJob *stead_engine_make_volume_again(SteadEngine *engine, const SteadVolume *volume,
                                         GError **error);
/* The volumes that are attached to an instance; the array is owned by the caller. */
GPtrArray *stead_engine_volumes_of(SteadEngine *engine, const char *instance_id);
/* (body, with the instance's lock) Grows the root disk, in a running guest or on the host. */
gboolean stead_engine_grow_root_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                       guint64 size, GError **error);
/* Marks a volume as an instance's; BUSY when it is another's. */
gboolean stead_engine_claim_volume(SteadEngine *engine, SteadVolume *volume, const char *id,
                                   GError **error);

/* ---- attach.c ---- */

/* A volume is where its last layer is, once no snapshot holds an earlier one. */
void stead_engine_settle_volumes(SteadEngine *engine, const SteadInstance *instance);
/* Goes on with the attaching and detaching of volumes that a killed daemon was at, and attaches to
 * a guest that was restored what it does not have. */
void stead_engine_finish_attachments(SteadEngine *engine, SteadInstance *instance);

/* ---- watch.c: running instances ---- */

/* The live part of an instance, made where there is none. */
SteadLive *stead_engine_live(SteadEngine *engine, const char *id);
void stead_live_free(gpointer data);
/* Begins to watch an instance that runs: console, stages, readiness. With `fresh` its run is about
 * to begin; otherwise it is adopted. */
void stead_engine_watch(SteadEngine *engine, SteadInstance *instance, gboolean fresh);
/* It does not run any more. */
void stead_engine_unwatch(SteadEngine *engine, const char *id);
/* (body) Waits until an instance is ready; fails when it ends, or after `timeout_ms`. */
gboolean stead_engine_wait_ready(SteadEngine *engine, SteadJob *job, const char *id,
                                 guint64 timeout_ms, GError **error);
/* Lets those look again who wait for a state. */
void stead_engine_changed(SteadEngine *engine);

/* ---- ready.c ---- */

/* Looks at the readiness rule from now on until it holds. */
void stead_engine_await_ready(SteadEngine *engine, SteadLive *live);

/* The agent of a running instance that was ready before has just done what it was asked: where the
 * rule asks for no more, it is ready. */
void stead_engine_agent_answered(SteadEngine *engine, SteadInstance *instance);

/* ---- actual.c: the host's word ---- */

/* A SteadActualFunc: an instance changed by itself. */
void stead_engine_on_actual(const SteadActual *actual, gpointer engine);
/* A SteadJobNotify: what was heard of an instance while the job had it is taken up now. */
void stead_engine_on_job_ended(SteadJob *job, gpointer engine);

/* ---- recover.c ---- */

/* Makes records and host agree after a start of the daemon or the return of libvirtd. */
void stead_engine_reconcile(SteadEngine *engine);
/* Does it now and from time to time: events can be lost. */
void stead_engine_reconcile_always(SteadEngine *engine);

/* ---- snapshot.c ---- */

/* Finishes what a killed daemon left of a snapshot: a restore goes on, anything else is undone. */
SteadJob *stead_engine_finish_snapshot(SteadEngine *engine, const SteadInstance *instance,
                                       const SteadSnapshot *snapshot, GError **error);
/* (body) Makes each volume of an instance, which does not run, one file again: removes the
 * snapshots that hold layers of it. */
gboolean stead_engine_gather_volumes_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                            GError **error);

/* ---- change.c ---- */

/* Refuses (STATE) changes that only a new instance could have. */
gboolean stead_engine_check_changes(GPtrArray *changes, const char *name, GError **error);

/* ---- helpers for bodies ---- */

/* What most bodies carry: the engine and an id; freed with stead_op_free(). */
typedef struct {
    SteadEngine *engine;
    SteadJob *job; /* set by the body */
    char *id;
    char *name;
    SteadRuntime *runtime; /* of the instance, for a job on one */
    SteadAction action;
    gboolean flag;  /* each operation's own */
    gboolean again; /* a stop: it is to be started afterwards */
    guint64 number;
    gpointer extra; /* freed with free_extra */
    GDestroyNotify free_extra;
} SteadOp;

/* Replaces a string by a copy of another; both may be NULL. */
static inline void stead_set_string(char **field, const char *value)
{
    char *old = *field;
    *field = g_strdup(value);
    g_free(old);
}

/* With copies of both texts, which may be NULL. Whoever submits it gives it away. */
SteadOp *stead_op_new(SteadEngine *engine, const char *id, const char *name);
/* Submits a job that holds the lock of an instance; takes `op` over. */
SteadJob *stead_engine_submit_on(SteadEngine *engine, const SteadInstance *instance,
                                 const char *type, SteadJobFunc body, SteadOp *op, GError **error);
/* Submits a job that holds the lock of the network, volume or image (`what`) op->name. */
SteadJob *stead_engine_submit_named(SteadEngine *engine, const char *what, const char *type,
                                    SteadJobFunc body, SteadOp *op, GError **error);
/* "network/lab". Owned by the caller. */
char *stead_engine_lock_of(const char *what, const char *name);
/* Submits a question to the host. */
SteadJob *stead_engine_submit_question(SteadEngine *engine, const char *type, SteadJobFunc body,
                                       SteadOp *op, GError **error);
void stead_op_free(gpointer op);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadOp, stead_op_free)
