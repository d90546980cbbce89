/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back to a snapshot: the domain is destroyed, each disk gets a new layer on its frozen one, a
 * definition names these, and the memory is loaded. Whatever fails before the last step leaves the
 * former layers current. Only when all is done do the former current layers go.
 */
#include "base/error.h"
#include "runtime/vm/internal.h"
#include "runtime/vm/layers.h"
#include "runtime/vm/snapshot_doc.h"

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
    g_autofree char *nvram = stead_vm_nvram_file(next);
    /* A killed daemon may have left half a copy. */
    if (!stead_vm_remove_prefixed(next->dir, "nvram.fd.", error) ||
        (layers->nvram && !stead_vm_copy_if_any(layers->nvram, nvram, error)))
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
