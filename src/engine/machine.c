/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a record to a machine: names of the record become names on the host.
 */
#include "base/error.h"
#include "engine/state.h"

static gboolean add_nic(SteadEngine *engine, SteadMachine *machine, const SteadNicRecord *record,
                        GError **error)
{
    const SteadNetwork *network = stead_table_by_name(engine->networks, record->network);
    if (network == NULL && !stead_table_check_readable(engine->networks, record->network, error))
        return FALSE;
    if (network == NULL) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, "Make it again: stead network create.",
                        "the network '%s' of %s is gone", record->network, machine->name);
        return FALSE;
    }
    SteadMachineNic *nic = g_new0(SteadMachineNic, 1);
    nic->network = g_strdup(network->libvirt_name);
    nic->bridge = g_strdup(network->bridge);
    nic->mac = g_strdup(record->mac);
    g_ptr_array_add(machine->nics, nic);
    return TRUE;
}

static void add_disk(SteadEngine *engine, SteadMachine *machine, const SteadDiskRecord *record)
{
    const SteadVolume *volume = stead_table_get(engine->volumes, record->volume);
    SteadMachineDisk *disk = g_new0(SteadMachineDisk, 1);
    disk->path = g_strdup(record->path);
    disk->format = g_strdup(record->format);
    disk->serial = volume ? g_strdup(volume->name) : NULL;
    disk->read_only = record->read_only;
    disk->backing = record->backing ? g_strdupv(record->backing) : NULL;
    g_ptr_array_add(machine->disks, disk);
}

SteadMachine *stead_engine_machine(SteadEngine *engine, const SteadInstance *instance,
                                   GError **error)
{
    g_autoptr(SteadMachine) machine = stead_machine_new();
    machine->id = g_strdup(instance->id);
    machine->name = g_strdup(instance->name);
    machine->domain = g_strdup_printf("stead%s-%s", engine->paths->tag, instance->name);
    machine->dir = stead_engine_instance_dir(engine, instance->id);
    machine->run_dir = stead_engine_instance_run_dir(engine, instance->id);
    if (instance->spec->image)
        machine->seed = g_build_filename(machine->dir, "seed.iso", NULL);
    gboolean runs = stead_instance_is_up(instance) && instance->accel;
    machine->accel = g_strdup(runs ? instance->accel : stead_engine_accel(engine));
    machine->engine = g_strdup(instance->engine);
    machine->engine_reason = stead_engine_accel_reason(engine);
    machine->spec = stead_instance_spec_copy(instance->spec);
    for (guint i = 0; i < instance->disks->len; i++)
        add_disk(engine, machine, instance->disks->pdata[i]);
    for (guint i = 0; i < instance->nics->len; i++)
        if (!add_nic(engine, machine, instance->nics->pdata[i], error))
            return NULL;
    return g_steal_pointer(&machine);
}
