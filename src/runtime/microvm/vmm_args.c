/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead-vmm's command line (docs/stead-vmm.md). All it uses is open when it starts: there is no
 * name in it but the one that the list of processes shows.
 */
#include "runtime/microvm/engine.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

static void add(GPtrArray *args, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void add(GPtrArray *args, const char *name, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    g_ptr_array_add(args, g_strdup(name));
    g_ptr_array_add(args, g_strdup_vprintf(format, values));
    va_end(values);
}

static void add_boot(GPtrArray *args, const SteadMachine *machine, const SteadEngineFds *fds)
{
    guint64 mib = machine->spec->memory.max / MIB;
    if (fds->memory >= 0) {
        add(args, "--memory", "%" G_GUINT64_FORMAT "M,fd=%d,private", mib, fds->memory);
        g_ptr_array_add(args, g_strdup("--incoming"));
        /* Its kernel is in its memory; a reboot is a new start of the engine. */
        g_ptr_array_add(args, g_strdup("--no-reboot"));
        return;
    }
    add(args, "--memory", "%" G_GUINT64_FORMAT "M", mib);
    add(args, "--kernel", "fd=%d", fds->kernel);
    if (fds->initrd >= 0)
        add(args, "--initrd", "fd=%d", fds->initrd);
    if (machine->cmdline)
        add(args, "--cmdline", "%s", machine->cmdline);
}

static void add_disk(GPtrArray *args, const SteadMachineDisk *disk, const SteadEngineFds *fds,
                     guint *used)
{
    guint backing = disk->backing ? g_strv_length(disk->backing) : 0;
    g_autoptr(GString) value = g_string_new(NULL);
    for (guint i = 0; i <= backing; i++)
        g_string_append_printf(value, "%sfd=%d", i == 0 ? "" : ",base-",
                               g_array_index(fds->disks, int, (*used)++));
    g_string_append_printf(value, ",format=%s", disk->format);
    if (disk->read_only)
        g_string_append(value, ",readonly");
    if (disk->serial)
        g_string_append_printf(value, ",serial=%s", disk->serial);
    add(args, "--disk", "%s", value->str);
}

static void add_devices(GPtrArray *args, const SteadMachine *machine, const SteadEngineFds *fds)
{
    guint used = 0;
    for (guint i = 0; i < machine->disks->len; i++)
        add_disk(args, machine->disks->pdata[i], fds, &used);
    if (fds->seed >= 0)
        add(args, "--disk", "fd=%d,format=raw,readonly", fds->seed);
    for (guint i = 0; i < machine->nics->len; i++) {
        const SteadMachineNic *nic = machine->nics->pdata[i];
        add(args, "--net", "fd=%d,mac=%s", g_array_index(fds->taps, int, i), nic->mac);
    }
    add(args, "--agent", "fd=%d", fds->agent);
    g_ptr_array_add(args, g_strdup("--rng"));
    g_ptr_array_add(args, g_strdup("--balloon"));
}

GStrv stead_vmm_args(const char *path, const SteadMachine *machine, const SteadEngineFds *fds)
{
    GPtrArray *args = g_ptr_array_new();
    g_ptr_array_add(args, g_strdup(path));
    add(args, "--name", "guest=%s", machine->domain);
    add(args, "--user", "%u:%u", fds->uid, fds->gid);
    add(args, "--cpus", "%u", machine->spec->cpus);
    add_boot(args, machine, fds);
    add(args, "--qmp", "fd=%d", fds->qmp);
    add(args, "--serial", "fd=%d", fds->console);
    add(args, "--log", "fd=%d", fds->log);
    add_devices(args, machine, fds);
    g_ptr_array_add(args, NULL);
    return (GStrv)g_ptr_array_free(args, FALSE);
}
