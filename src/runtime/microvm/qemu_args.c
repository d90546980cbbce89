/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine type `microvm`: no PCI, no firmware to speak of, devices on virtio-mmio that the
 * guest finds through ACPI. The order of devices is part of a frozen machine's meaning. QEMU gets
 * descriptors and not names wherever it can: it runs as a user who may open next to nothing.
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

static void add_machine(GPtrArray *args, const SteadMachine *machine, const SteadEngineFds *fds)
{
    gboolean kvm = g_str_equal(machine->accel, "kvm");
    guint64 mib = machine->spec->memory.max / MIB;
    add(args, "-machine", "microvm,acpi=on,rtc=on,isa-serial=on,usb=off,memory-backend=ram");
    if (kvm)
        add(args, "-accel", "kvm");
    else
        add(args, "-accel", "tcg,thread=multi,tb-size=%d", STEAD_QEMU_CODE_MIB);
    add(args, "-cpu", "%s", kvm ? "host,migratable=on" : STEAD_QEMU_TCG_CPU);
    add(args, "-smp", "%u", machine->spec->cpus);
    add(args, "-m", "%" G_GUINT64_FORMAT, mib);
    if (fds->memory >= 0)
        add(args, "-object",
            "memory-backend-file,id=ram,size=%" G_GUINT64_FORMAT
            "M,mem-path=/proc/self/fd/%d,share=off",
            mib, fds->memory);
    else
        add(args, "-object", "memory-backend-ram,id=ram,size=%" G_GUINT64_FORMAT "M", mib);
    add(args, "-global", "virtio-mmio.force-legacy=false");
}

static void add_boot(GPtrArray *args, const SteadMachine *machine, const SteadEngineFds *fds)
{
    if (fds->memory >= 0) {
        add(args, "-incoming", "defer");
        /* Its kernel is in its memory; a reboot is a new start of the engine. */
        g_ptr_array_add(args, g_strdup("-no-reboot"));
        return;
    }
    if (machine->kernel)
        add(args, "-kernel", "%s", machine->kernel);
    if (machine->initrd)
        add(args, "-initrd", "%s", machine->initrd);
    if (machine->cmdline && fds->tsc_khz && machine->spec->cmdline == NULL)
        add(args, "-append", "%s tsc=reliable tsc_early_khz=%u", machine->cmdline, fds->tsc_khz);
    else if (machine->cmdline)
        add(args, "-append", "%s", machine->cmdline);
}

static void add_sockets(GPtrArray *args, const SteadEngineFds *fds)
{
    add(args, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", fds->qmp);
    add(args, "-mon", "chardev=qmp,mode=control");
    add(args, "-add-fd", "fd=%d,set=1", fds->log);
    add(args, "-chardev",
        "socket,id=console,fd=%d,server=on,wait=off,logfile=/dev/fdset/1,logappend=on",
        fds->console);
    add(args, "-serial", "chardev:console");
    add(args, "-device", "virtio-serial-device,id=ports,max_ports=2");
    add(args, "-chardev", "socket,id=agent,fd=%d,server=on,wait=off", fds->agent);
    add(args, "-device", "virtserialport,id=agent,bus=ports.0,chardev=agent,name=stead.agent.0");
}

/* One file of a chain, and what it stands on, as the inside of a JSON object. */
static void describe_file(GString *json, const char *format, const char *discard,
                          gboolean read_only, int set)
{
    g_string_append_printf(json,
                           "\"driver\":\"%s\",\"read-only\":%s,\"discard\":\"%s\","
                           "\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/%d\","
                           "\"discard\":\"%s\"}",
                           format, read_only ? "true" : "false", discard, set, discard);
}

static int next_fd(const SteadEngineFds *fds, guint *used)
{
    return g_array_index(fds->disks, int, (*used)++);
}

static void add_disk(GPtrArray *args, const SteadMachineDisk *disk, guint index,
                     const SteadEngineFds *fds, guint *used, int *set)
{
    guint backing = disk->backing ? g_strv_length(disk->backing) : 0;
    g_autoptr(GString) json = g_string_new(NULL);
    g_string_append_printf(json, "{\"node-name\":\"disk%u\",", index);
    for (guint i = 0; i <= backing; i++) {
        int fd = next_fd(fds, used);
        add(args, "-add-fd", "fd=%d,set=%d", fd, ++*set);
        if (i > 0)
            g_string_append(json, ",\"backing\":{");
        /* What is stored is qcow2 down to the image. */
        describe_file(json, i == 0 ? disk->format : "qcow2", i == 0 ? "unmap" : "ignore",
                      i > 0 || disk->read_only, *set);
    }
    /* The chain ends here, whatever the last file's header says. */
    if (backing > 0 || g_str_equal(disk->format, "qcow2"))
        g_string_append(json, ",\"backing\":null");
    for (guint i = 0; i <= backing; i++)
        g_string_append_c(json, '}');
    add(args, "-blockdev", "%s", json->str);
    add(args, "-device", "virtio-blk-device,drive=disk%u%s%s", index,
        disk->serial ? ",serial=" : "", disk->serial ? disk->serial : "");
}

static void add_disks(GPtrArray *args, const SteadMachine *machine, const SteadEngineFds *fds)
{
    guint used = 0;
    int set = 1;
    for (guint i = 0; i < machine->disks->len; i++)
        add_disk(args, machine->disks->pdata[i], i, fds, &used, &set);
    if (fds->seed < 0)
        return;
    add(args, "-add-fd", "fd=%d,set=%d", fds->seed, ++set);
    add(args, "-blockdev",
        "{\"node-name\":\"seed\",\"driver\":\"raw\",\"read-only\":true,"
        "\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/%d\"}}",
        set);
    add(args, "-device", "virtio-blk-device,drive=seed");
}

static void add_nics(GPtrArray *args, const SteadMachine *machine, const SteadEngineFds *fds)
{
    for (guint i = 0; i < machine->nics->len; i++) {
        const SteadMachineNic *nic = machine->nics->pdata[i];
        add(args, "-netdev", "tap,id=net%u,fd=%d", i, g_array_index(fds->taps, int, i));
        /* A guest that is told to announce itself would, in each clone, in its template's name. */
        add(args, "-device", "virtio-net-device,netdev=net%u,mac=%s,guest_announce=off", i,
            nic->mac);
    }
}

GStrv stead_qemu_args(const char *path, const SteadMachine *machine, const SteadEngineFds *fds)
{
    GPtrArray *args = g_ptr_array_new();
    g_ptr_array_add(args, g_strdup(path));
    add(args, "-name", "guest=%s", machine->domain);
    g_ptr_array_add(args, g_strdup("-nodefaults"));
    g_ptr_array_add(args, g_strdup("-no-user-config"));
    add(args, "-display", "none");
    add(args, "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    add_machine(args, machine, fds);
    add_boot(args, machine, fds);
    add_sockets(args, fds);
    add_disks(args, machine, fds);
    add_nics(args, machine, fds);
    add(args, "-object", "rng-random,id=random,filename=/dev/urandom");
    add(args, "-device", "virtio-rng-device,rng=random");
    add(args, "-device", "virtio-balloon-device,id=balloon,deflate-on-oom=on");
    g_ptr_array_add(args, NULL);
    return (GStrv)g_ptr_array_free(args, FALSE);
}
