/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a snapshot, whole or half-made: what stands on its frozen layers absorbs them
 * (layers.c), inside QEMU where it is the layer that a running guest writes to; then the files go.
 * Every step looks at the files first, so a removal that was cut off is just repeated.
 */
#include "base/error.h"
#include "runtime/vm/internal.h"
#include "runtime/vm/layers.h"
#include "runtime/vm/snapshot_doc.h"

/* A snapshot that a dead daemon was taking: what can be aborted is, the rest is waited for. */
static gboolean end_calls(virDomainPtr domain, GError **error)
{
    virDomainJobInfo info = {0};
    if (virDomainGetJobInfo(domain, &info) == 0 && info.type != VIR_DOMAIN_JOB_NONE &&
        info.type != VIR_DOMAIN_JOB_COMPLETED)
        virDomainAbortJob(domain);
    return stead_vm_await_calls(domain, error);
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
    /* It may have absorbed the file already, which is told from those of snapshots by being
     * writable: that it is no snapshot's any more is thus written before it goes. */
    if (frozen == NULL || !stead_layer_same_family(frozen, layer))
        return stead_layer_sweep_absorbed(layer, error);
    removal->frozen = frozen;
    return stead_layer_freeze(frozen, FALSE, error) && remove_layer(removal, error);
}

static gboolean remove_files(const SteadMachine *machine, const char *snapshot_id, GError **error)
{
    g_autofree char *folder = g_build_filename(machine->dir, "snapshots", NULL);
    g_autofree char *prefix = g_strconcat(snapshot_id, ".", NULL);
    return stead_vm_remove_prefixed(folder, prefix, error);
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
    if (domain && !end_calls(domain, error))
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
