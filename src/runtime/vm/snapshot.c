/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: the layer tree (layers.c) together with libvirt.
 *
 * libvirt's internal snapshots refuse guests whose UEFI variables are on raw pflash, so all
 * snapshots are external: a new layer on each disk, and a file with the memory. The pflash content
 * travels in the memory file; a copy of the variables is kept beside it for the snapshots that have
 * no memory. libvirt keeps no record of any of this (NO_METADATA): the engine does.
 *
 * With memory the guest runs on while it is copied and stops for the last part only; one that
 * dirties its memory faster than it can be written is stopped earlier (CONVERGE_MS).
 */
#include <string.h>

#include "base/error.h"
#include "runtime/vm/domain_xml.h"
#include "runtime/vm/internal.h"
#include "runtime/vm/layers.h"
#include "runtime/vm/snapshot_doc.h"

#define CONVERGE_MS 20000
#define PROGRESS_MS 250

/* What the snapshot will consist of. `left_alone` gets the targets of all other disks. */
static SteadLayers *plan(const SteadMachine *current, xmlDocPtr doc, const char *snapshot_id,
                         gboolean memory, GPtrArray *left_alone)
{
    SteadLayers *layers = stead_layers_new();
    g_auto(GStrv) targets = stead_xml_strings(doc, "/domain/devices/disk/target/@dev");
    for (char **target = targets; *target; target++)
        g_ptr_array_add(left_alone, g_strdup(*target));
    for (guint i = 0; i < current->disks->len; i++) {
        const SteadMachineDisk *disk = current->disks->pdata[i];
        g_autofree char *target = stead_vm_target_of(doc, disk->path);
        guint index = 0;
        if (disk->read_only || target == NULL ||
            !g_ptr_array_find_with_equal_func(left_alone, target, g_str_equal, &index))
            continue;
        g_ptr_array_remove_index(left_alone, index);
        SteadFrozenDisk *frozen = g_new0(SteadFrozenDisk, 1);
        frozen->target = g_steal_pointer(&target);
        frozen->frozen = g_strdup(disk->path);
        frozen->format = g_strdup(disk->format);
        frozen->current = stead_layer_path(disk->path, snapshot_id);
        g_ptr_array_add(layers->disks, frozen);
    }
    g_ptr_array_add(left_alone, NULL);
    layers->memory = memory ? stead_vm_snapshot_file(current, snapshot_id, "mem") : NULL;
    return layers;
}

/* A device of the host has no room beside it for a layer. */
static gboolean can_be_layered(const SteadMachine *machine, GError **error)
{
    for (guint i = 0; i < machine->disks->len; i++) {
        const SteadMachineDisk *disk = machine->disks->pdata[i];
        if (disk->read_only || !stead_vm_is_device(disk->path))
            continue;
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Use disks of a pool of files.",
                        "%s is a device, of which no snapshot can be taken", disk->path);
        return FALSE;
    }
    return TRUE;
}

/* libvirt's call, in a thread of its own. */
typedef struct {
    SteadVm *vm;
    virDomainPtr domain;
    char *xml;
    guint flags;
    gboolean done; /* vm->lock */
    GError *error;
} Taking;

static gpointer take_in_thread(gpointer data)
{
    Taking *taking = data;
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(taking->domain, taking->xml, taking->flags);
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    else
        stead_libvirt_error(&taking->error, "libvirt");
    g_mutex_lock(&taking->vm->lock);
    taking->done = TRUE;
    g_cond_broadcast(&taking->vm->happened);
    g_mutex_unlock(&taking->vm->lock);
    return NULL;
}

/* Waits a while for the thread; whether it is done. */
static gboolean is_taken(Taking *taking)
{
    gint64 until = g_get_monotonic_time() + PROGRESS_MS * G_TIME_SPAN_MILLISECOND;
    g_mutex_lock(&taking->vm->lock);
    while (!taking->done && g_cond_wait_until(&taking->vm->happened, &taking->vm->lock, until))
        ;
    gboolean done = taking->done;
    g_mutex_unlock(&taking->vm->lock);
    return done;
}

static void tell_progress(virDomainPtr domain, SteadProgressFunc progress, gpointer data)
{
    virDomainJobInfo info;
    if (progress == NULL || virDomainGetJobInfo(domain, &info) < 0 ||
        info.type == VIR_DOMAIN_JOB_NONE || info.memTotal == 0)
        return;
    progress("memory", CLAMP((double)info.memProcessed / (double)info.memTotal, 0, 1), data);
}

static gboolean take(SteadVm *vm, virDomainPtr domain, const char *xml, guint flags,
                     SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                     GError **error)
{
    Taking taking = {.vm = vm, .domain = domain, .xml = (char *)xml, .flags = flags};
    gint64 converge = g_get_monotonic_time() + CONVERGE_MS * G_TIME_SPAN_MILLISECOND;
    gboolean aborted = FALSE, stopped = FALSE;
    GThread *thread = g_thread_new("snapshot", take_in_thread, &taking);
    while (!is_taken(&taking)) {
        tell_progress(domain, progress, data);
        if (!aborted && g_cancellable_is_cancelled(cancellable))
            aborted = virDomainAbortJob(domain) == 0;
        if (!stopped && g_get_monotonic_time() > converge)
            stopped = virDomainSuspend(domain) == 0;
    }
    g_thread_join(thread);
    if (stopped)
        virDomainResume(domain);
    if (taking.error == NULL)
        return TRUE;
    if (aborted) {
        g_clear_error(&taking.error);
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
    } else {
        g_propagate_error(error, taking.error);
    }
    return FALSE;
}

static gboolean take_running(SteadVm *vm, virDomainPtr domain, const SteadLayers *layers,
                             const char *const left_alone[], SteadProgressFunc progress,
                             gpointer data, GCancellable *cancellable, GError **error)
{
    g_autofree char *xml = stead_vm_snapshot_xml(layers, left_alone);
    guint flags = VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA;
    int state = stead_vm_state(domain, NULL);
    if (layers->memory) {
        flags |= state == VIR_DOMAIN_RUNNING ? VIR_DOMAIN_SNAPSHOT_CREATE_LIVE : 0;
        return take(vm, domain, xml, flags, progress, data, cancellable, error);
    }
    flags |= VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
    /* File systems are made clean where an agent can do it. */
    if (state == VIR_DOMAIN_RUNNING &&
        take(vm, domain, xml, flags | VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE, progress, data,
             cancellable, NULL))
        return TRUE;
    return take(vm, domain, xml, flags, progress, data, cancellable, error);
}

static gboolean take_stopped(SteadVm *vm, virConnectPtr conn, SteadMachine *current,
                             const SteadLayers *layers, GError **error)
{
    for (guint i = 0; i < layers->disks->len; i++) {
        const SteadFrozenDisk *frozen = layers->disks->pdata[i];
        if (!stead_layer_create(frozen->current, frozen->frozen, frozen->format, error))
            return FALSE;
    }
    for (guint i = 0; i < current->disks->len; i++) {
        SteadMachineDisk *disk = current->disks->pdata[i];
        const SteadFrozenDisk *frozen = stead_layers_of(layers, disk->path);
        if (frozen == NULL)
            continue;
        g_free(disk->path);
        g_free(disk->format);
        disk->path = g_strdup(frozen->current);
        disk->format = g_strdup("qcow2");
    }
    return stead_vm_define(vm, conn, current, error);
}

static gboolean freeze_all(SteadLayers *layers, GError **error)
{
    for (guint i = 0; i < layers->disks->len; i++) {
        SteadFrozenDisk *frozen = layers->disks->pdata[i];
        frozen->size = stead_layer_size(frozen->frozen);
        if (!stead_layer_freeze(frozen->frozen, TRUE, error))
            return FALSE;
    }
    return TRUE;
}

typedef struct {
    SteadVm *vm;
    const SteadMachine *machine;
    const char *snapshot_id;
    gboolean memory;
    SteadProgressFunc progress;
    gpointer data;
    GCancellable *cancellable;
} Request;

static SteadLayers *take_snapshot(const Request *request, GError **error)
{
    SteadVm *vm = request->vm;
    g_autoptr(virConnect) conn = stead_libvirt_get(vm->libvirt, error);
    g_autoptr(virDomain) domain =
        conn ? stead_vm_lookup(vm, conn, request->machine->id, error) : NULL;
    g_autoptr(SteadMachine) current =
        domain ? stead_vm_current(request->machine, domain, error) : NULL;
    g_autoptr(xmlDoc) doc = current ? stead_vm_describe(domain, 0, error) : NULL;
    if (doc == NULL || !can_be_layered(current, error) || !stead_vm_open_dirs(vm, current, error))
        return NULL;
    gboolean active = stead_vm_is_active(domain);
    if (request->memory && !active) {
        stead_set_error(error, STEAD_ERROR_STATE, "Start it, or leave the memory out.",
                        "it does not run, so it has no memory to keep");
        return NULL;
    }
    g_autoptr(GPtrArray) left_alone = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(SteadLayers) layers =
        plan(current, doc, request->snapshot_id, request->memory, left_alone);
    g_autofree char *nvram = stead_vm_nvram_file(current);
    layers->nvram = stead_vm_snapshot_file(current, request->snapshot_id, "nvram");
    if (!stead_vm_copy_if_any(nvram, layers->nvram, error))
        return NULL;
    gboolean taken =
        active ? take_running(vm, domain, layers, (const char *const *)left_alone->pdata,
                              request->progress, request->data, request->cancellable, error)
               : take_stopped(vm, conn, current, layers, error);
    return taken && freeze_all(layers, error) ? g_steal_pointer(&layers) : NULL;
}

JsonNode *stead_vm_snapshot(gpointer self, const SteadMachine *machine, const char *snapshot_id,
                            gboolean memory, SteadProgressFunc progress, gpointer data,
                            GCancellable *cancellable, GError **error)
{
    Request request = {self, machine, snapshot_id, memory, progress, data, cancellable};
    stead_vm_mute(self, machine->id);
    g_autoptr(SteadLayers) layers = take_snapshot(&request, error);
    stead_vm_unmute(self, machine->id, memory && layers);
    if (layers)
        return stead_layers_to_json(layers);
    g_autoptr(GError) reason = NULL;
    if (!stead_vm_snapshot_remove(self, machine, snapshot_id, NULL, &reason))
        g_debug("undoing a snapshot of %s: %s", machine->name, reason->message);
    return NULL;
}
