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
 *
 * Restoring is destroying the domain, new layers on the frozen ones, a definition that names them,
 * and loading the memory. Whatever fails before the last step leaves the former layers current.
 */
#include <string.h>

#include "base/error.h"
#include "runtime/vm/domain_xml.h"
#include "runtime/vm/internal.h"
#include "runtime/vm/layers.h"
#include "runtime/vm/snapshot_doc.h"

#define CONVERGE_MS 20000
#define PROGRESS_MS 250
/* How long an aborted or finishing job of libvirt is waited for. */
#define JOB_TIMEOUT_MS 60000

static char *file_of(const SteadMachine *machine, const char *snapshot_id, const char *suffix)
{
    return g_strdup_printf("%s/snapshots/%s.%s", machine->dir, snapshot_id, suffix);
}

static char *nvram_of(const SteadMachine *machine)
{
    return g_build_filename(machine->dir, "nvram.fd", NULL);
}

/* Copies a small file; success when there is none. */
static gboolean copy_if_any(const char *from, const char *to, GError **error)
{
    g_autofree char *bytes = NULL;
    gsize length = 0;
    g_autoptr(GError) reason = NULL;
    if (g_file_get_contents(from, &bytes, &length, &reason))
        return stead_write_file(to, bytes, (gssize)length, 0600, error);
    if (g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

/* ---- taking ---- */

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
    layers->memory = memory ? file_of(current, snapshot_id, "mem") : NULL;
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
    g_autofree char *nvram = nvram_of(current);
    layers->nvram = file_of(current, request->snapshot_id, "nvram");
    if (!copy_if_any(nvram, layers->nvram, error))
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

/* ---- restoring ---- */

/* Puts a new layer on each frozen one; `next` then names them. */
static gboolean branch(SteadMachine *next, const SteadLayers *layers, GError **error)
{
    for (guint i = 0; i < next->disks->len; i++) {
        SteadMachineDisk *disk = next->disks->pdata[i];
        const SteadFrozenDisk *frozen = stead_layers_of(layers, disk->path);
        if (disk->read_only || frozen == NULL)
            continue;
        if (!g_file_test(frozen->frozen, G_FILE_TEST_EXISTS)) {
            stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "%s, which holds it, is gone",
                            frozen->frozen);
            return FALSE;
        }
        g_autofree char *id = g_uuid_string_random();
        g_autofree char *path = stead_layer_path(frozen->frozen, id);
        if (!stead_layer_create(path, frozen->frozen, frozen->format, error))
            return FALSE;
        g_free(disk->path);
        g_free(disk->format);
        disk->path = g_steal_pointer(&path);
        disk->format = g_strdup("qcow2");
    }
    return TRUE;
}

static gboolean load_memory(virConnectPtr conn, const SteadMachine *next, const char *memory,
                            GError **error)
{
    char *saved = virDomainSaveImageGetXMLDesc(conn, memory, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE);
    if (saved == NULL)
        return stead_libvirt_error(error, "reading %s", memory);
    g_autofree char *xml = stead_vm_move_disks(saved, next, error);
    free(saved);
    if (xml == NULL)
        return FALSE;
    if (virDomainRestoreFlags(conn, memory, xml, VIR_DOMAIN_SAVE_RUNNING) == 0)
        return TRUE;
    return stead_libvirt_error(error, "loading the memory");
}

static gboolean sweep_all(const SteadMachine *machine, GError **error)
{
    for (guint i = 0; i < machine->disks->len; i++) {
        const SteadMachineDisk *disk = machine->disks->pdata[i];
        if (!disk->read_only && !stead_layer_sweep(disk->path, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean go_back(SteadVm *vm, virConnectPtr conn, const SteadMachine *next,
                        const SteadLayers *layers, GError **error)
{
    g_autofree char *nvram = nvram_of(next);
    if (layers->nvram && !copy_if_any(layers->nvram, nvram, error))
        return FALSE;
    return stead_vm_define(vm, conn, next, error) &&
           (layers->memory == NULL || load_memory(conn, next, layers->memory, error));
}

static gboolean restore(SteadVm *vm, SteadMachine *machine, const SteadLayers *layers,
                        GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(vm->libvirt, error);
    if (conn == NULL || !stead_vm_open_dirs(vm, machine, error))
        return FALSE;
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(conn, machine->id);
    g_autoptr(SteadMachine) current = stead_vm_current(machine, domain, error);
    g_autoptr(SteadMachine) next = current ? stead_vm_current(current, NULL, error) : NULL;
    if (next == NULL || !stead_vm_kill(vm, machine->id, error))
        return FALSE;
    if (!branch(next, layers, error) || !go_back(vm, conn, next, layers, error)) {
        /* Back to where it was; the new layers are leftovers now. */
        if (stead_vm_define(vm, conn, current, NULL))
            sweep_all(current, NULL);
        return FALSE;
    }
    g_ptr_array_unref(machine->disks);
    machine->disks = g_ptr_array_ref(next->disks);
    return sweep_all(machine, error);
}

gboolean stead_vm_restore(gpointer self, SteadMachine *machine, const char *snapshot_id,
                          JsonNode *node, GError **error)
{
    g_autoptr(SteadLayers) layers = stead_layers_from_json(node, error);
    if (layers == NULL)
        return FALSE;
    stead_vm_mute(self, machine->id);
    g_autoptr(virDomain) domain = stead_vm_find(self, machine->id, NULL);
    gboolean changes = layers->memory || (domain && stead_vm_is_active(domain));
    gboolean done = restore(self, machine, layers, error);
    stead_vm_unmute(self, machine->id, changes && done);
    return done;
}

/* ---- removing ---- */

/* A snapshot that a dead daemon was taking: libvirt may still be at it. */
static gboolean end_job(SteadVm *vm, virDomainPtr domain, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + JOB_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    for (;;) {
        guint seen = stead_vm_events_seen(vm);
        virDomainJobInfo info = {0};
        if (virDomainGetJobInfo(domain, &info) < 0 || info.type == VIR_DOMAIN_JOB_NONE ||
            info.type == VIR_DOMAIN_JOB_COMPLETED)
            return TRUE;
        virDomainAbortJob(domain);
        if (g_get_monotonic_time() > deadline) {
            stead_set_error(error, STEAD_ERROR_BUSY, NULL, "libvirt is busy with it");
            return FALSE;
        }
        stead_vm_wait(vm, seen, deadline, NULL, NULL);
    }
}

static gboolean await_block_job(SteadVm *vm, virDomainPtr domain, const char *target,
                                GError **error)
{
    for (;;) {
        guint seen = stead_vm_events_seen(vm);
        virDomainBlockJobInfo info;
        int n = virDomainGetBlockJobInfo(domain, target, &info, 0);
        if (n == 0)
            return TRUE;
        if (n < 0)
            return stead_libvirt_error(error, "asking for the merge of %s", target);
        stead_vm_wait(vm, seen, G_MAXINT64, NULL, NULL);
    }
}

/* The current layer of a running guest absorbs what it stands on, down to `base`. */
static gboolean absorb_in_guest(SteadVm *vm, virDomainPtr domain, const char *path,
                                const char *base, GError **error)
{
    g_autoptr(xmlDoc) doc = stead_vm_describe(domain, 0, error);
    g_autofree char *target = doc ? stead_vm_target_of(doc, path) : NULL;
    if (target == NULL) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "it has no disk on %s", path);
        return FALSE;
    }
    /* One that an earlier daemon began is as good. */
    if (!await_block_job(vm, domain, target, error))
        return FALSE;
    if (virDomainBlockRebase(domain, target, base, 0, 0) < 0)
        return stead_libvirt_error(error, "merging %s", path);
    return await_block_job(vm, domain, target, error);
}

/* One disk of a snapshot that is being removed. */
typedef struct {
    SteadVm *vm;
    virDomainPtr domain; /* NULL: there is none */
    const char *current;
    const char *frozen;
} Removal;

static gboolean absorb(const Removal *removal, const char *child, GError **error)
{
    gboolean is_current = g_str_equal(child, removal->current);
    if (!is_current || removal->domain == NULL || !stead_vm_is_active(removal->domain))
        return stead_layer_absorb(child, is_current, error);
    g_autofree char *base = NULL, *format = NULL;
    return stead_layer_backing(removal->frozen, &base, &format, error) &&
           absorb_in_guest(removal->vm, removal->domain, child, base, error);
}

static gboolean remove_layer(const Removal *removal, GError **error)
{
    if (g_str_equal(removal->frozen, removal->current))
        return stead_layer_freeze(removal->current, FALSE, error);
    if (!g_file_test(removal->frozen, G_FILE_TEST_EXISTS))
        return TRUE;
    g_autoptr(GPtrArray) children = stead_layer_children(removal->frozen, error);
    for (guint i = 0; children && i < children->len; i++)
        if (!absorb(removal, children->pdata[i], error))
            return FALSE;
    g_autoptr(GPtrArray) left = children ? stead_layer_children(removal->frozen, error) : NULL;
    if (left == NULL)
        return FALSE;
    if (left->len > 0) {
        stead_set_error(error, STEAD_ERROR_BUSY, "Try again.", "%s still stands on %s",
                        (const char *)left->pdata[0], removal->frozen);
        return FALSE;
    }
    return stead_layer_delete(removal->frozen, error);
}

/* Of a half-made snapshot nobody knows the files, but the new layer's name follows from its id. */
static gboolean remove_half_made(Removal *removal, const char *snapshot_id, GError **error)
{
    g_autofree char *layer = stead_layer_path(removal->current, snapshot_id);
    if (!g_file_test(layer, G_FILE_TEST_EXISTS))
        return TRUE;
    if (!g_str_equal(layer, removal->current))
        return stead_layer_delete(layer, error) &&
               stead_layer_freeze(removal->current, FALSE, error);
    g_autofree char *frozen = NULL, *format = NULL;
    if (!stead_layer_backing(layer, &frozen, &format, error))
        return FALSE;
    removal->frozen = frozen;
    return frozen == NULL || !stead_layer_same_family(frozen, layer) ||
           remove_layer(removal, error);
}

static gboolean remove_files(const SteadMachine *machine, const char *snapshot_id, GError **error)
{
    g_autofree char *memory = file_of(machine, snapshot_id, "mem");
    g_autofree char *nvram = file_of(machine, snapshot_id, "nvram");
    return stead_layer_delete(memory, error) && stead_layer_delete(nvram, error);
}

gboolean stead_vm_snapshot_remove(gpointer self, const SteadMachine *machine,
                                  const char *snapshot_id, JsonNode *node, GError **error)
{
    SteadVm *vm = self;
    g_autoptr(SteadLayers) layers = node ? stead_layers_from_json(node, error) : NULL;
    g_autoptr(virConnect) conn = node && !layers ? NULL : stead_libvirt_get(vm->libvirt, error);
    if (conn == NULL)
        return FALSE;
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(conn, machine->id);
    if (domain && !end_job(vm, domain, error))
        return FALSE;
    g_autoptr(SteadMachine) current = stead_vm_current(machine, domain, error);
    for (guint i = 0; current && i < current->disks->len; i++) {
        const SteadMachineDisk *disk = current->disks->pdata[i];
        const SteadFrozenDisk *frozen = layers ? stead_layers_of(layers, disk->path) : NULL;
        Removal removal = {vm, domain, disk->path, frozen ? frozen->frozen : NULL};
        if (disk->read_only)
            continue;
        if (frozen ? !remove_layer(&removal, error)
                   : !layers && !remove_half_made(&removal, snapshot_id, error))
            return FALSE;
    }
    return current && remove_files(machine, snapshot_id, error);
}
