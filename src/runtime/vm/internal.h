/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the vm driver, shared by its files and by nobody else.
 */
#pragma once

#include "host/xml.h"
#include "runtime/vm/vm.h"

typedef struct {
    SteadLibvirt *libvirt;
    const SteadPaths *paths;

    /* Whoever waits for something to happen to a domain waits for `happened`, which every event
     * and the end of every cancellation signals. */
    GMutex lock;
    GCond happened;
    GHashTable *known; /* id → Known, for the domains of this root; `lock` */
    guint events;      /* counts; `lock` */

    /* Main loop only. */
    gboolean closed;
    SteadActualFunc func;
    gpointer data;
    guint watch;        /* at the connection */
    gpointer listening; /* events.c */
} SteadVm;

/* How long a wait goes on before it looks for itself: events are lost with the connection. */
#define STEAD_VM_LOOK_MS 1000

/* The domain of an instance. NOT_FOUND when there is none. Owned by the caller. */
virDomainPtr stead_vm_lookup(SteadVm *vm, virConnectPtr conn, const char *id, GError **error);
/* As above, over a connection of its own. */
virDomainPtr stead_vm_find(SteadVm *vm, const char *id, GError **error);
/* Whether it runs (or is paused); FALSE also upon failure. */
gboolean stead_vm_is_active(virDomainPtr domain);
/* Its state and how it got there; -1 upon failure. */
int stead_vm_state(virDomainPtr domain, int *reason);
/* Its XML, parsed. flags: virDomainXMLFlags. Owned by the caller. */
xmlDocPtr stead_vm_describe(virDomainPtr domain, guint flags, GError **error);

/* What `state` and `reason` of libvirt mean. The result is owned by the caller. */
SteadActual *stead_vm_actual_new(const char *id, const char *name, int state, int reason);

/*
 * Waits until something happens, `deadline` (monotonic time) has come, STEAD_VM_LOOK_MS have passed
 * or it is cancelled. CANCELLED in the last case. `seen` is vm->events as the caller last saw it
 * before it looked: what has happened since then is not waited for again.
 */
gboolean stead_vm_wait(SteadVm *vm, guint seen, gint64 deadline, GCancellable *cancellable,
                       GError **error);
guint stead_vm_events_seen(SteadVm *vm);

/* ---- events.c ---- */

/* Main loop: listens at this connection and at all that follow. */
void stead_vm_events_start(SteadVm *vm);
void stead_vm_events_stop(SteadVm *vm);
/* From now on events of this domain are told. */
void stead_vm_know(SteadVm *vm, const char *id);
void stead_vm_forget(SteadVm *vm, const char *id);
/* Waits until libvirt is done with what others, a dead daemon too, have asked it to do with a
 * domain that is active. */
gboolean stead_vm_await_calls(virDomainPtr domain, GError **error);
/* Between these two, what happens to the domain is our own doing and not told; at the end its state
 * is told once. `changed`: our doing led to events, whose last one is waited for, so that none
 * comes late. Calls do not nest. */
void stead_vm_mute(SteadVm *vm, const char *id);
void stead_vm_unmute(SteadVm *vm, const char *id, gboolean changed);
SteadVm *stead_vm_ref(SteadVm *vm);
void stead_vm_unref(gpointer vm);

/* ---- The slots, named as in SteadDriver ---- */

gboolean stead_vm_prepare(gpointer self, const SteadMachine *machine, GError **error);
gboolean stead_vm_start(gpointer self, const SteadMachine *machine, GError **error);
gboolean stead_vm_stop(gpointer self, const char *id, guint64 timeout_ms, GCancellable *cancellable,
                       GError **error);
gboolean stead_vm_kill(gpointer self, const char *id, GError **error);
gboolean stead_vm_pause(gpointer self, const char *id, GCancellable *cancellable, GError **error);
gboolean stead_vm_resume(gpointer self, const char *id, GError **error);
gboolean stead_vm_destroy(gpointer self, const char *id, GError **error);
JsonNode *stead_vm_snapshot(gpointer self, const SteadMachine *machine, const char *snapshot_id,
                            gboolean memory, SteadProgressFunc progress, gpointer data,
                            GCancellable *cancellable, GError **error);
gboolean stead_vm_restore(gpointer self, SteadMachine *machine, const char *snapshot_id,
                          JsonNode *layers, GError **error);
gboolean stead_vm_snapshot_remove(gpointer self, const SteadMachine *machine,
                                  const char *snapshot_id, JsonNode *layers, GError **error);
GStrv stead_vm_disks(gpointer self, const char *id, GError **error);
SteadExecResult *stead_vm_exec(gpointer self, const char *id, const char *const argv[],
                               const char *input, guint64 timeout_ms, GCancellable *cancellable,
                               GError **error);
gboolean stead_vm_agent_ping(gpointer self, const char *id, GError **error);
GStrv stead_vm_addresses(gpointer self, const char *id, GError **error);
gboolean stead_vm_stats(gpointer self, const char *id, SteadStats *stats, GError **error);
JsonNode *stead_vm_display(gpointer self, const char *id, GError **error);
gboolean stead_vm_attach_disk(gpointer self, const char *id, const SteadMachineDisk *disk,
                              GError **error);
gboolean stead_vm_detach_disk(gpointer self, const char *id, const char *path, GError **error);
gboolean stead_vm_resize_disk(gpointer self, const char *id, const char *path, guint64 size,
                              GError **error);
GPtrArray *stead_vm_list(gpointer self, GError **error);

/* ---- define.c ---- */

/* Defines the domain of `machine`, whose disks must name the current files. */
gboolean stead_vm_define(SteadVm *vm, virConnectPtr conn, const SteadMachine *machine,
                         GError **error);
/* Gives QEMU's user its way into the instance's folders. */
gboolean stead_vm_open_dirs(SteadVm *vm, const SteadMachine *machine, GError **error);
/* A copy of the machine whose disks name the files that libvirt has as current. `domain` may be
 * NULL: there is none yet. */
SteadMachine *stead_vm_current(const SteadMachine *machine, virDomainPtr domain, GError **error);

/* ---- disks.c ---- */

/* Target ("vda") of the disk on `path`, or NULL. Owned by the caller. */
char *stead_vm_target_of(xmlDocPtr doc, const char *path);
/* The file and the format that the disk with that target is on; FALSE when there is none. */
gboolean stead_vm_source_of(xmlDocPtr doc, const char *target, char **path, char **format);

/* ---- files.c ---- */

/* The file that a snapshot keeps under a suffix ("mem", "nvram"); the firmware's variables. Owned
 * by the caller. */
char *stead_vm_snapshot_file(const SteadMachine *machine, const char *snapshot_id,
                             const char *suffix);
char *stead_vm_nvram_file(const SteadMachine *machine);
/* Copies a small file; success when there is none. */
gboolean stead_vm_copy_if_any(const char *from, const char *to, GError **error);
/* Removes the files in a folder whose names begin so, also those that a killed daemon was writing.
 * Success when there is no such folder. */
gboolean stead_vm_remove_prefixed(const char *folder, const char *prefix, GError **error);
