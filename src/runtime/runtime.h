/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one interface between the engine and whatever runs an instance.
 *
 * The engine resolves a record into a machine: a spec together with the resources that were made
 * for it (disks, seed, interfaces, folders). A machine is plain data that a job's thread owns; a
 * driver keeps no reference to it. Each operation is blocking, idempotent where its comment says
 * so, and may be repeated after a daemon was killed in the middle of it.
 *
 * Nobody calls a driver's slot directly: the stead_runtime_...() functions check that the driver
 * offers it, add what was being done to errors, and trace the call.
 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "base/paths.h"
#include "base/progress.h"
#include "model/instance.h"
#include "runtime/stream.h"

typedef struct {
    char *path;   /* on the host */
    char *format; /* "qcow2" or "raw" */
    char *serial; /* what the guest sees: the volume's name; NULL: none */
    gboolean read_only;
    GStrv backing; /* the files that it stands on, topmost first; NULL: unknown, or none */
} SteadMachineDisk;

typedef struct {
    char *network; /* libvirt network's name; NULL: `bridge` is a bridge of the host */
    char *bridge;  /* the bridge that carries it */
    char *mac;
} SteadMachineNic;

typedef struct {
    char *id;     /* the instance's UUID */
    char *name;   /* the instance's name */
    char *domain; /* the name on the host: "stead-web", or with the root's tag "stead-1a2b3c-web" */
    char *dir;    /* state folder of the instance; exists */
    char *run_dir;       /* run folder of the instance; exists */
    char *seed;          /* NoCloud ISO; NULL: none */
    char *accel;         /* "kvm" or "tcg" */
    char *engine;        /* what runs it: "libvirt", "qemu" or "stead-vmm"; NULL: not chosen yet */
    char *engine_reason; /* why that, for people; NULL */
    char *kernel;        /* for kinds that boot one directly; NULL */
    char *initrd;        /* NULL: none */
    char *cmdline;       /* the kernel's command line; NULL: none */
    char *frozen;        /* folder of a frozen machine that this run goes on from; NULL: it boots */
    gboolean itself;     /* that machine is this one, at an earlier time, and not a template */
    SteadInstanceSpec *spec;
    GPtrArray *disks;  /* SteadMachineDisk; the first is the root disk */
    GPtrArray *nics;   /* SteadMachineNic */
    gboolean prepared; /* for starting: it was prepared as it is, nothing changed since */
} SteadMachine;

/* Empty, but with its arrays; freeing frees all that it holds, `spec` too. */
SteadMachine *stead_machine_new(void);
void stead_machine_free(SteadMachine *machine);
void stead_machine_disk_free(SteadMachineDisk *disk);
void stead_machine_nic_free(SteadMachineNic *nic);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadMachine, stead_machine_free)

/* Where a driver sees an instance: its state on the host, whatever the records say. */
typedef struct {
    char *id;
    char *domain;
    SteadKind kind;     /* in a list: which runtime's it is */
    SteadState state;   /* STOPPED, RUNNING, PAUSED or STOPPING (shutting down) */
    gboolean silent;    /* its engine does not answer: it runs, or is paused */
    gboolean failed;    /* it ended by a crash or by an error of its engine */
    gboolean rebooting; /* it ended because the guest reboots: it is to be started again */
    gboolean agent;     /* the news is that the agent in the guest answers */
    gboolean nameless; /* and that nothing in the guest but `renew` tells it its name and address */
} SteadActual;

void stead_actual_free(SteadActual *actual);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadActual, stead_actual_free)

/* Who did not say what it should: these figures are unknown. */
typedef enum {
    STEAD_SILENT_NOBODY,
    STEAD_SILENT_GUEST,  /* memory_used */
    STEAD_SILENT_ENGINE, /* that, memory_max and the disks */
} SteadSilence;

typedef struct {
    guint64 cpu_ns;          /* CPU time used since the start */
    guint64 memory_used;     /* bytes that the guest uses, as its balloon tells; else resident */
    guint64 memory_max;      /* bytes that the guest sees */
    guint64 memory_resident; /* bytes of host memory */
    guint64 disk_read, disk_written; /* bytes, all disks */
    guint64 net_received, net_sent;  /* bytes, all interfaces */
    SteadSilence silent;
} SteadStats;

/* What a machine that goes on from a frozen one is given instead of the other's identity. */
typedef struct {
    const char *hostname;
    const char *machine_id; /* 32 hex digits */
    GPtrArray *nics;        /* SteadIdentityNic */
    const char *dns;        /* IPv4 address of the name server; NULL */
    const char *domain;     /* in which bare names are looked for; NULL */
    GPtrArray *keys;        /* SteadIdentityFile: SSH host keys */
} SteadIdentity;

typedef struct {
    char *was; /* the MAC that the frozen machine's interface has */
    char *mac;
    char *address; /* IPv4; NULL: as DHCP says */
    guint prefix;
    char *gateway; /* NULL: none */
    char *bridge;  /* the host's, which it joins only then */
} SteadIdentityNic;

typedef struct {
    char *path; /* in the guest */
    guint mode;
    GBytes *content; /* NULL: it is removed */
} SteadIdentityFile;

void stead_identity_nic_free(SteadIdentityNic *nic);
void stead_identity_file_free(SteadIdentityFile *file);

typedef enum {
    STEAD_FEATURE_PAUSE = 1 << 0,
    STEAD_FEATURE_SNAPSHOT = 1 << 1,
    STEAD_FEATURE_SNAPSHOT_MEMORY = 1 << 2,
    STEAD_FEATURE_EXEC = 1 << 3,
    STEAD_FEATURE_CONSOLE = 1 << 4,
    STEAD_FEATURE_VNC = 1 << 5,
    STEAD_FEATURE_HOTPLUG = 1 << 6,
    STEAD_FEATURE_TEMPLATE = 1 << 7,
    STEAD_FEATURE_BALLOON = 1 << 8,
    STEAD_FEATURE_LAYERS = 1 << 9, /* snapshots change which files hold the disks */
    STEAD_FEATURE_STREAM = 1 << 10,
} SteadFeatures;

/* Called by freeze while the guest stands still: what it puts into the folder is of the frozen
 * machine, and checked when that is used. */
typedef gboolean (*SteadCopyFunc)(gpointer data, GError **error);

/* Called on the main loop when the host's view of an instance of this root changes by itself. */
typedef void (*SteadActualFunc)(const SteadActual *actual, gpointer data);

typedef struct _SteadRuntime SteadRuntime;

/* The slots. All but `name` and those marked (main) run in jobs' threads. */
typedef struct {
    const char *name;
    SteadKind kind;
    guint features; /* SteadFeatures */

    const char *engine; /* the one that it has, where it has no choice */

    /* Sets machine->engine and what goes with it (accel, engine_reason) for a start. One that goes
     * on from a frozen machine names that one's engine and accelerator already: UNSUPPORTED where
     * this host has them not. */
    gboolean (*choose)(gpointer self, SteadMachine *machine, GError **error);
    /* Makes the instance known to the host without starting it. Idempotent: replaces. */
    gboolean (*prepare)(gpointer self, const SteadMachine *machine, GError **error);
    /* Starts it, prepared anew from `machine`. Success when it runs already. */
    gboolean (*start)(gpointer self, const SteadMachine *machine, GError **error);
    /* Asks the guest to shut down, and waits until it is down: FALSE with TIMEOUT after
     * `timeout_ms`. Success when it is stopped already. */
    gboolean (*stop)(gpointer self, const char *id, guint64 timeout_ms, GCancellable *cancellable,
                     GError **error);
    /* Ends it at once. Success when it is stopped already. */
    gboolean (*kill)(gpointer self, const char *id, GError **error);
    /* Freezes the guest's CPUs, and lets them go on. Success when it is so already; NOT_FOUND when
     * the host does not know it. */
    gboolean (*pause)(gpointer self, const char *id, GCancellable *cancellable, GError **error);
    gboolean (*resume)(gpointer self, const char *id, GError **error);
    /* Removes every trace of it from the host, running or not (its folders are the engine's to
     * remove). Success when there is none. */
    gboolean (*destroy)(gpointer self, const char *id, GError **error);

    /* Freezes disks, and memory where `memory`; the guest goes on. Returns what the driver needs
     * to restore or remove it: {"disks": [...], "memory": path, "size": bytes}; others read only
     * the size, of which an estimate will do. Leaves nothing upon failure. */
    JsonNode *(*snapshot)(gpointer self, const SteadMachine *machine, const char *snapshot_id,
                          gboolean memory, SteadProgressFunc progress, gpointer data,
                          GCancellable *cancellable, GError **error);
    /* Returns the instance to the very point; running afterwards when the snapshot holds memory,
     * else stopped. On success machine->disks name the files that are now current. */
    gboolean (*restore)(gpointer self, SteadMachine *machine, const char *snapshot_id,
                        JsonNode *layers, GError **error);
    /* Removes a snapshot, whole or half-made. Success when there is none. */
    gboolean (*snapshot_remove)(gpointer self, const SteadMachine *machine, const char *snapshot_id,
                                JsonNode *layers, GError **error);

    /* The files that hold its disks now, in the order of machine->disks: snapshots change them. */
    GStrv (*disks)(gpointer self, const char *id, GError **error);

    /* Runs a program in the guest, without a shell, and waits for its end; `input` (may be NULL) is
     * its standard input. GUEST when the agent does not answer, NOT_FOUND when the guest has no
     * such program, TIMEOUT after `timeout_ms`. The result is owned by the caller. */
    SteadExecResult *(*exec)(gpointer self, const char *id, const char *const argv[],
                             const char *input, guint64 timeout_ms, GCancellable *cancellable,
                             GError **error);
    /* Begins a command, or to copy a file; returns when the guest has begun it. GUEST when the
     * agent does not answer, NOT_FOUND when the guest has no such program or file, and what else
     * keeps it from it. The stream is owned by the caller, and may outlive what runs the instance.
     */
    SteadStream *(*stream)(gpointer self, const char *id, const SteadStreamRequest *request,
                           GCancellable *cancellable, GError **error);
    /* Whether the agent in the guest answers now. */
    gboolean (*agent_ping)(gpointer self, const char *id, GError **error);
    /* Addresses as the host's leases and the agent know them: IPv4, without loopback. */
    GStrv (*addresses)(gpointer self, const char *id, GError **error);
    /* Fills *stats; what the host cannot tell is 0. Never waits long for anybody. */
    gboolean (*stats)(gpointer self, const char *id, SteadStats *stats, GError **error);
    /* {"listen": "127.0.0.1", "port": 5900, "password": "..."}: for the one who asks, never stored.
     */
    JsonNode *(*display)(gpointer self, const char *id, GError **error);
    /* Gives a running guest a disk, and takes it away again: the latter waits until the guest has
     * let go of it. */
    gboolean (*attach_disk)(gpointer self, const char *id, const SteadMachineDisk *disk,
                            GError **error);
    gboolean (*detach_disk)(gpointer self, const char *id, const char *path, GError **error);
    /* Tells a running guest that the disk at `path` now has `size` bytes (and makes it so). */
    gboolean (*resize_disk)(gpointer self, const char *id, const char *path, guint64 size,
                            GError **error);

    /* Writes the running machine's memory and the state of its devices, at one moment at which its
     * disks were copied by `copy_disks`, to `dir`, which exists; the guest goes on. Others go on
     * from it with machine->frozen. */
    gboolean (*freeze)(gpointer self, const SteadMachine *machine, const char *dir,
                       SteadCopyFunc copy_disks, gpointer data, GCancellable *cancellable,
                       GError **error);
    /* Gives a machine that has just gone on from a frozen one, or has no other means, its identity.
     * Repeatable. GUEST when the agent does not do all of it within `timeout_ms`. */
    gboolean (*renew)(gpointer self, const char *id, const SteadIdentity *identity,
                      guint64 timeout_ms, GCancellable *cancellable, GError **error);
    /* What of it is in the host's memory, for machines to go on from: bytes; and lets go of it. */
    guint64 (*frozen_resident)(gpointer self, const char *dir);
    void (*frozen_drop)(gpointer self, const char *dir);
    /* Takes memory from the guest, or gives it back, until it has `size` bytes. */
    gboolean (*balloon)(gpointer self, const char *id, guint64 size, GError **error);

    /* Every instance of this root that the host knows, as SteadActual; the array owns them. */
    GPtrArray *(*list)(gpointer self, GError **error);
    /* (main) Where state changes are told; one listener. */
    void (*watch)(gpointer self, SteadActualFunc func, gpointer data);
    /* (main) */
    void (*free)(gpointer self);
} SteadDriver;

/*
 * The operations, named and behaving as the slots above. On failure each adds what was being done,
 * and to what, in front of the driver's message. UNSUPPORTED where the driver lacks the slot or the
 * feature. What is returned is owned by the caller. All block, and may be called from any thread,
 * but watch and free, which are for the main loop.
 */

/* Takes `self` over; `driver` is static. */
SteadRuntime *stead_runtime_new(const SteadDriver *driver, gpointer self);
void stead_runtime_free(SteadRuntime *runtime);
SteadKind stead_runtime_kind(const SteadRuntime *runtime);
gboolean stead_runtime_has(const SteadRuntime *runtime, SteadFeatures feature);

gboolean stead_runtime_choose(SteadRuntime *runtime, SteadMachine *machine, GError **error);
gboolean stead_runtime_prepare(SteadRuntime *runtime, const SteadMachine *machine, GError **error);
gboolean stead_runtime_start(SteadRuntime *runtime, const SteadMachine *machine, GError **error);
gboolean stead_runtime_stop(SteadRuntime *runtime, const char *id, guint64 timeout_ms,
                            GCancellable *cancellable, GError **error);
gboolean stead_runtime_kill(SteadRuntime *runtime, const char *id, GError **error);
gboolean stead_runtime_pause(SteadRuntime *runtime, const char *id, GCancellable *cancellable,
                             GError **error);
gboolean stead_runtime_resume(SteadRuntime *runtime, const char *id, GError **error);
gboolean stead_runtime_destroy(SteadRuntime *runtime, const char *id, GError **error);
JsonNode *stead_runtime_snapshot(SteadRuntime *runtime, const SteadMachine *machine,
                                 const char *snapshot_id, gboolean memory,
                                 SteadProgressFunc progress, gpointer data,
                                 GCancellable *cancellable, GError **error);
gboolean stead_runtime_restore(SteadRuntime *runtime, SteadMachine *machine,
                               const char *snapshot_id, JsonNode *layers, GError **error);
gboolean stead_runtime_snapshot_remove(SteadRuntime *runtime, const SteadMachine *machine,
                                       const char *snapshot_id, JsonNode *layers, GError **error);
GStrv stead_runtime_disks(SteadRuntime *runtime, const char *id, GError **error);
SteadExecResult *stead_runtime_exec(SteadRuntime *runtime, const char *id, const char *const argv[],
                                    const char *input, guint64 timeout_ms,
                                    GCancellable *cancellable, GError **error);
SteadStream *stead_runtime_stream(SteadRuntime *runtime, const char *id,
                                  const SteadStreamRequest *request, GCancellable *cancellable,
                                  GError **error);
gboolean stead_runtime_agent_ping(SteadRuntime *runtime, const char *id, GError **error);
GStrv stead_runtime_addresses(SteadRuntime *runtime, const char *id, GError **error);
gboolean stead_runtime_stats(SteadRuntime *runtime, const char *id, SteadStats *stats,
                             GError **error);
JsonNode *stead_runtime_display(SteadRuntime *runtime, const char *id, GError **error);
gboolean stead_runtime_attach_disk(SteadRuntime *runtime, const char *id,
                                   const SteadMachineDisk *disk, GError **error);
gboolean stead_runtime_detach_disk(SteadRuntime *runtime, const char *id, const char *path,
                                   GError **error);
gboolean stead_runtime_resize_disk(SteadRuntime *runtime, const char *id, const char *path,
                                   guint64 size, GError **error);
gboolean stead_runtime_freeze(SteadRuntime *runtime, const SteadMachine *machine, const char *dir,
                              SteadCopyFunc copy_disks, gpointer data, GCancellable *cancellable,
                              GError **error);
gboolean stead_runtime_renew(SteadRuntime *runtime, const char *id, const SteadIdentity *identity,
                             guint64 timeout_ms, GCancellable *cancellable, GError **error);
guint64 stead_runtime_frozen_resident(SteadRuntime *runtime, const char *dir);
void stead_runtime_frozen_drop(SteadRuntime *runtime, const char *dir);
gboolean stead_runtime_balloon(SteadRuntime *runtime, const char *id, guint64 size, GError **error);
GPtrArray *stead_runtime_list(SteadRuntime *runtime, GError **error);
void stead_runtime_watch(SteadRuntime *runtime, SteadActualFunc func, gpointer data);
