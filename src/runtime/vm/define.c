/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a machine known to libvirt: the way in for QEMU's user, the firmware, a fresh password for
 * VNC, the definition. And the one question that a new definition has to ask the old one: which
 * layer each disk is on, since a snapshot may have moved it since the record was written.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "runtime/vm/domain_xml.h"
#include "runtime/vm/internal.h"
#include "runtime/vm/layers.h"

/* The protocol uses 8 characters and no more. */
#define VNC_PASSWORD_LENGTH 8

static gboolean make_password(char password[VNC_PASSWORD_LENGTH + 1], GError **error)
{
    /* 64 characters, so that each has the same chance. */
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char random[VNC_PASSWORD_LENGTH];
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "no random bytes: %s",
                        g_strerror(errno));
        return FALSE;
    }
    for (int i = 0; i < VNC_PASSWORD_LENGTH; i++)
        password[i] = letters[random[i] % 64];
    password[VNC_PASSWORD_LENGTH] = '\0';
    return TRUE;
}

static gboolean open_dir(const char *path, guint gid, GError **error)
{
    if (!stead_make_dir(path, 0750, error))
        return FALSE;
    if (chown(path, (uid_t)-1, gid) == 0 && chmod(path, 0750) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_DENIED, NULL, "giving QEMU's group %s: %s", path,
                    g_strerror(errno));
    return FALSE;
}

gboolean stead_vm_open_dirs(SteadVm *vm, const SteadMachine *machine, GError **error)
{
    guint uid = 0, gid = 0;
    if (!stead_libvirt_qemu_ids(vm->libvirt, &uid, &gid, error))
        return FALSE;
    g_autofree char *snapshots = g_build_filename(machine->dir, "snapshots", NULL);
    return open_dir(machine->dir, gid, error) && open_dir(machine->run_dir, gid, error) &&
           open_dir(snapshots, gid, error);
}

gboolean stead_vm_define(SteadVm *vm, virConnectPtr conn, const SteadMachine *machine,
                         GError **error)
{
    char password[VNC_PASSWORD_LENGTH + 1];
    SteadDomainOptions options = {.root = vm->paths->state, .vnc_password = password};
    if (!make_password(password, error) ||
        (machine->spec->firmware == STEAD_FIRMWARE_UEFI &&
         !stead_vm_find_firmware(&options.firmware_code, &options.firmware_vars, error)))
        return FALSE;
    g_autofree char *xml = stead_vm_domain_xml(machine, &options, error);
    if (xml == NULL)
        return FALSE;
    g_autoptr(virDomain) domain = virDomainDefineXML(conn, xml);
    if (domain == NULL)
        return stead_libvirt_error(error, "defining the domain %s", machine->domain);
    stead_vm_know(vm, machine->id);
    return TRUE;
}

static SteadMachineDisk *copy_disk(const SteadMachineDisk *disk)
{
    SteadMachineDisk *copy = g_new0(SteadMachineDisk, 1);
    copy->path = g_strdup(disk->path);
    copy->format = g_strdup(disk->format);
    copy->serial = g_strdup(disk->serial);
    copy->read_only = disk->read_only;
    return copy;
}

static SteadMachineNic *copy_nic(const SteadMachineNic *nic)
{
    SteadMachineNic *copy = g_new0(SteadMachineNic, 1);
    copy->network = g_strdup(nic->network);
    copy->bridge = g_strdup(nic->bridge);
    copy->mac = g_strdup(nic->mac);
    return copy;
}

static SteadMachine *copy_machine(const SteadMachine *machine)
{
    SteadMachine *copy = stead_machine_new();
    copy->id = g_strdup(machine->id);
    copy->name = g_strdup(machine->name);
    copy->domain = g_strdup(machine->domain);
    copy->dir = g_strdup(machine->dir);
    copy->run_dir = g_strdup(machine->run_dir);
    copy->seed = g_strdup(machine->seed);
    copy->accel = g_strdup(machine->accel);
    copy->spec = stead_instance_spec_copy(machine->spec);
    for (guint i = 0; i < machine->disks->len; i++)
        g_ptr_array_add(copy->disks, copy_disk(machine->disks->pdata[i]));
    for (guint i = 0; i < machine->nics->len; i++)
        g_ptr_array_add(copy->nics, copy_nic(machine->nics->pdata[i]));
    return copy;
}

SteadMachine *stead_vm_current(const SteadMachine *machine, virDomainPtr domain, GError **error)
{
    g_autoptr(SteadMachine) current = copy_machine(machine);
    if (domain == NULL)
        return g_steal_pointer(&current);
    g_autoptr(xmlDoc) doc = stead_vm_describe(domain, 0, error);
    if (doc == NULL)
        return NULL;
    for (guint i = 0; i < current->disks->len; i++) {
        SteadMachineDisk *disk = current->disks->pdata[i];
        g_autofree char *target = stead_vm_target_of(doc, disk->path);
        g_autofree char *path = NULL, *format = NULL;
        if (target == NULL || !stead_vm_source_of(doc, target, &path, &format) ||
            !g_file_test(path, G_FILE_TEST_EXISTS))
            continue;
        g_free(disk->path);
        g_free(disk->format);
        disk->path = g_steal_pointer(&path);
        disk->format = format ? g_steal_pointer(&format) : g_strdup("qcow2");
    }
    return g_steal_pointer(&current);
}
