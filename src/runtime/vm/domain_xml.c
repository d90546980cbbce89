/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual PC that every instance of kind vm is: q35, virtio throughout, a serial console that
 * virtlogd records, the guest agent's channel, VNC on loopback.
 *
 * Each string from a spec or a path goes through stead_xml_add(), which escapes all its arguments;
 * no other function appends text that is not a literal.
 *
 * Choices that look arbitrary and are not:
 * - Under emulation the CPU is a named model. A guest that was started with every feature that the
 *   emulator has (`max`) loads from a snapshot without an error and then hangs.
 * - The seed is a virtio disk, not a CD-ROM: Debian's cloud kernel has no AHCI driver.
 * - PCIe root ports are listed, so that a few are free for disks that are attached later.
 * - Option ROMs are off: UEFI and Linux have their own virtio drivers, and minimal hosts lack the
 *   ROM files.
 * - A full reservation of memory is allocated at the start; a partial one cannot be had from QEMU,
 *   and is a matter of not promising more than the host has.
 * - Disks are cached by the host but the guest's flushes are honoured, so a crash of the host loses
 *   no more than it would on real hardware.
 */
#include "runtime/vm/domain_xml.h"

#include "base/error.h"
#include "host/xml.h"

#define FREE_ROOT_PORTS 4
#define STATS_PERIOD_SECONDS 5

char *stead_vm_disk_target(guint n)
{
    return g_strdup_printf("vd%c", 'a' + (int)MIN(n, 25));
}

static void add_identity(GString *xml, const SteadMachine *machine,
                         const SteadDomainOptions *options)
{
    stead_xml_add(xml, "<domain type='%s'>\n", g_str_equal(machine->accel, "kvm") ? "kvm" : "qemu");
    stead_xml_add(xml, "  <name>%s</name>\n  <uuid>%s</uuid>\n", machine->domain, machine->id);
    stead_xml_add(xml, "  <title>%s</title>\n", machine->name);
    stead_xml_add(xml,
                  "  <metadata>\n    <stead:instance xmlns:stead='%s' root='%s' name='%s'/>\n"
                  "  </metadata>\n",
                  STEAD_VM_XMLNS, options->root, machine->name);
}

static gboolean is_reserved_whole(const SteadMemorySpec *memory)
{
    return memory->reserve >= memory->max;
}

static void add_memory(GString *xml, const SteadInstanceSpec *spec)
{
    static const guint page_kib[] = {
        [STEAD_HUGEPAGES_OFF] = 0, [STEAD_HUGEPAGES_2M] = 2048, [STEAD_HUGEPAGES_1G] = 1048576};
    G_STATIC_ASSERT(G_N_ELEMENTS(page_kib) == STEAD_N_HUGEPAGES);

    stead_xml_add(xml, "  <memory unit='KiB'>%" G_GUINT64_FORMAT "</memory>\n",
                  spec->memory.max / 1024);
    if (page_kib[spec->hugepages] == 0 && !is_reserved_whole(&spec->memory))
        return;
    stead_xml_add(xml, "  <memoryBacking>\n");
    if (page_kib[spec->hugepages])
        stead_xml_add(xml,
                      "    <hugepages>\n      <page size='%u' unit='KiB'/>\n    </hugepages>\n",
                      page_kib[spec->hugepages]);
    if (is_reserved_whole(&spec->memory))
        stead_xml_add(xml, "    <allocation mode='immediate'/>\n");
    stead_xml_add(xml, "  </memoryBacking>\n");
}

static void add_cpu(GString *xml, const SteadMachine *machine)
{
    const SteadInstanceSpec *spec = machine->spec;
    guint pinned = spec->cpu_pinning ? g_strv_length(spec->cpu_pinning) : 0;
    stead_xml_add(xml, "  <vcpu placement='static'>%u</vcpu>\n", spec->cpus);
    if (pinned) {
        stead_xml_add(xml, "  <cputune>\n");
        for (guint i = 0; i < spec->cpus; i++)
            stead_xml_add(xml, "    <vcpupin vcpu='%u' cpuset='%s'/>\n", i,
                          spec->cpu_pinning[MIN(i, pinned - 1)]);
        stead_xml_add(xml, "  </cputune>\n");
    }
    if (spec->numa.nodes)
        stead_xml_add(xml, "  <numatune>\n    <memory mode='%s' nodeset='%s'/>\n  </numatune>\n",
                      stead_name_of(&stead_numa_mode_names, (int)spec->numa.mode),
                      spec->numa.nodes);
    if (g_str_equal(machine->accel, "kvm"))
        stead_xml_add(xml, "  <cpu mode='host-passthrough' check='none' migratable='on'>\n");
    else /* under Intel's name, kernels switch page tables at each system call (Meltdown) */
        stead_xml_add(xml,
                      "  <cpu mode='custom' match='exact' check='none'>\n"
                      "    <model fallback='forbid' vendor_id='AuthenticAMD'>Nehalem</model>\n");
    stead_xml_add(xml, "    <topology sockets='1' dies='1' cores='%u' threads='1'/>\n  </cpu>\n",
                  spec->cpus);
}

static void add_firmware(GString *xml, const SteadMachine *machine,
                         const SteadDomainOptions *options)
{
    stead_xml_add(xml, "  <os>\n    <type arch='x86_64' machine='q35'>hvm</type>\n");
    if (options->firmware_code) {
        stead_xml_add(xml, "    <loader readonly='yes' type='pflash'>%s</loader>\n",
                      options->firmware_code);
        stead_xml_add(xml, "    <nvram template='%s'>%s/nvram.fd</nvram>\n", options->firmware_vars,
                      machine->dir);
    }
    stead_xml_add(xml, "  </os>\n  <features>\n    <acpi/>\n    <apic/>\n  </features>\n");
}

static void add_clock(GString *xml, const SteadMachine *machine)
{
    stead_xml_add(xml, "  <clock offset='utc'>\n");
    if (g_str_equal(machine->accel, "kvm"))
        stead_xml_add(xml, "    <timer name='rtc' tickpolicy='catchup'/>\n"
                           "    <timer name='pit' tickpolicy='delay'/>\n"
                           "    <timer name='hpet' present='no'/>\n");
    stead_xml_add(
        xml, "  </clock>\n  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>restart</on_reboot>\n"
             "  <on_crash>destroy</on_crash>\n");
}

gboolean stead_vm_is_device(const char *path)
{
    return g_str_has_prefix(path, "/dev/");
}

static void add_disk(GString *xml, const SteadMachineDisk *disk, const char *target, guint boot)
{
    gboolean is_device = stead_vm_is_device(disk->path);
    stead_xml_add(xml, "    <disk type='%s' device='disk'>\n", is_device ? "block" : "file");
    stead_xml_add(xml, "      <driver name='qemu' type='%s' cache='writeback' discard='unmap'/>\n",
                  disk->format);
    stead_xml_add(xml, "      <source %s='%s'/>\n      <target dev='%s' bus='virtio'/>\n",
                  is_device ? "dev" : "file", disk->path, target);
    if (disk->serial)
        stead_xml_add(xml, "      <serial>%s</serial>\n", disk->serial);
    if (disk->read_only)
        stead_xml_add(xml, "      <readonly/>\n");
    if (boot)
        stead_xml_add(xml, "      <boot order='%u'/>\n", boot);
    stead_xml_add(xml, "    </disk>\n");
}

char *stead_vm_disk_xml(const SteadMachineDisk *disk, const char *target)
{
    GString *xml = g_string_new(NULL);
    add_disk(xml, disk, target, 0);
    return g_string_free(xml, FALSE);
}

static void add_disks(GString *xml, const SteadMachine *machine)
{
    for (guint i = 0; i < machine->disks->len; i++) {
        g_autofree char *target = stead_vm_disk_target(i);
        add_disk(xml, machine->disks->pdata[i], target, i == 0 ? 1 : 0);
    }
    if (machine->seed) {
        SteadMachineDisk seed = {.path = machine->seed, .format = (char *)"raw", .read_only = TRUE};
        add_disk(xml, &seed, STEAD_VM_SEED_TARGET, 0);
    }
}

static void add_nics(GString *xml, const SteadMachine *machine)
{
    for (guint i = 0; i < machine->nics->len; i++) {
        const SteadMachineNic *nic = machine->nics->pdata[i];
        if (nic->network)
            stead_xml_add(xml, "    <interface type='network'>\n      <source network='%s'/>\n",
                          nic->network);
        else
            stead_xml_add(xml, "    <interface type='bridge'>\n      <source bridge='%s'/>\n",
                          nic->bridge);
        if (nic->mac)
            stead_xml_add(xml, "      <mac address='%s'/>\n", nic->mac);
        stead_xml_add(
            xml, "      <model type='virtio'/>\n      <rom enabled='no'/>\n    </interface>\n");
    }
}

static void add_console(GString *xml, const SteadMachine *machine)
{
    stead_xml_add(xml,
                  "    <serial type='unix'>\n      <source mode='bind' path='%s/console.sock'/>\n",
                  machine->run_dir);
    stead_xml_add(xml,
                  "      <log file='%s/console.log' append='on'/>\n"
                  "      <target type='isa-serial' port='0'/>\n    </serial>\n",
                  machine->dir);
    stead_xml_add(xml,
                  "    <channel type='unix'>\n"
                  "      <target type='virtio' name='org.qemu.guest_agent.0'/>\n    </channel>\n");
}

static void add_root_ports(GString *xml, const SteadMachine *machine)
{
    /* The serial bus, the random source and the balloon have one each. */
    guint ports = machine->disks->len + machine->nics->len + (machine->seed ? 1 : 0) + 3;
    stead_xml_add(xml, "    <controller type='usb' model='none'/>\n"
                       "    <controller type='pci' index='0' model='pcie-root'/>\n");
    for (guint i = 1; i <= ports + FREE_ROOT_PORTS; i++)
        stead_xml_add(xml, "    <controller type='pci' index='%u' model='pcie-root-port'/>\n", i);
}

static void add_rest(GString *xml, const SteadMachine *machine, const SteadDomainOptions *options)
{
    stead_xml_add(
        xml,
        "    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='%s'/>\n"
        "    <video>\n      <model type='vga' vram='16384'/>\n    </video>\n"
        "    <audio id='1' type='none'/>\n",
        options->vnc_password);
    stead_xml_add(xml,
                  "    <rng model='virtio'>\n      <backend model='random'>/dev/urandom</backend>\n"
                  "    </rng>\n    <panic model='isa'/>\n");
    /* Pages that the guest reports as free would be given back: not what a reservation is for. */
    stead_xml_add(xml,
                  "    <memballoon model='virtio' autodeflate='on' freePageReporting='%s'>\n"
                  "      <stats period='%d'/>\n    </memballoon>\n",
                  is_reserved_whole(&machine->spec->memory) ? "off" : "on", STATS_PERIOD_SECONDS);
}

char *stead_vm_domain_xml(const SteadMachine *machine, const SteadDomainOptions *options,
                          GError **error)
{
    if (machine->disks->len > STEAD_VM_MAX_DISKS) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%u disks, and at most %d are possible",
                        machine->disks->len, STEAD_VM_MAX_DISKS);
        return NULL;
    }
    GString *xml = g_string_new(NULL);
    add_identity(xml, machine, options);
    add_memory(xml, machine->spec);
    add_cpu(xml, machine);
    add_firmware(xml, machine, options);
    add_clock(xml, machine);
    stead_xml_add(xml, "  <devices>\n");
    add_root_ports(xml, machine);
    add_disks(xml, machine);
    add_nics(xml, machine);
    add_console(xml, machine);
    add_rest(xml, machine, options);
    stead_xml_add(xml, "  </devices>\n</domain>\n");
    return g_string_free(xml, FALSE);
}
