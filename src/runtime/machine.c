/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines and what drivers say about them: plain data, nothing but making and freeing.
 */
#include "runtime/runtime.h"

void stead_machine_disk_free(SteadMachineDisk *disk)
{
    if (disk == NULL)
        return;
    g_free(disk->path);
    g_free(disk->format);
    g_free(disk->serial);
    g_strfreev(disk->backing);
    g_free(disk);
}

void stead_machine_nic_free(SteadMachineNic *nic)
{
    if (nic == NULL)
        return;
    g_free(nic->network);
    g_free(nic->bridge);
    g_free(nic->mac);
    g_free(nic);
}

SteadMachine *stead_machine_new(void)
{
    SteadMachine *machine = g_new0(SteadMachine, 1);
    machine->disks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_machine_disk_free);
    machine->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_machine_nic_free);
    return machine;
}

void stead_machine_free(SteadMachine *machine)
{
    if (machine == NULL)
        return;
    g_free(machine->id);
    g_free(machine->name);
    g_free(machine->domain);
    g_free(machine->dir);
    g_free(machine->run_dir);
    g_free(machine->seed);
    g_free(machine->accel);
    g_free(machine->engine);
    g_free(machine->engine_reason);
    g_free(machine->kernel);
    g_free(machine->initrd);
    g_free(machine->cmdline);
    g_free(machine->frozen);
    stead_instance_spec_free(machine->spec);
    g_ptr_array_unref(machine->disks);
    g_ptr_array_unref(machine->nics);
    g_free(machine);
}

void stead_actual_free(SteadActual *actual)
{
    if (actual == NULL)
        return;
    g_free(actual->id);
    g_free(actual->domain);
    g_free(actual);
}

void stead_identity_nic_free(SteadIdentityNic *nic)
{
    if (nic == NULL)
        return;
    g_free(nic->was);
    g_free(nic->mac);
    g_free(nic->address);
    g_free(nic->gateway);
    g_free(nic->bridge);
    g_free(nic);
}

void stead_identity_file_free(SteadIdentityFile *file)
{
    if (file == NULL)
        return;
    g_clear_pointer(&file->content, g_bytes_unref);
    g_free(file->path);
    g_free(file);
}

void stead_exec_result_free(SteadExecResult *result)
{
    if (result == NULL)
        return;
    g_clear_pointer(&result->out, g_bytes_unref);
    g_clear_pointer(&result->err, g_bytes_unref);
    g_free(result);
}
