/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of one object of a spec: its fields against one another. They run where each field is
 * right in itself, so a check never has to ask that again.
 */
#include "model/spec-fields.h"

#include "base/units.h"
#include "model/check.h"

void stead_spec_check_memory(gconstpointer object, const SteadWhere *where)
{
    const SteadMemorySpec *memory = object;
    if (memory->reserve <= memory->max)
        return;
    g_autofree char *reserve = stead_format_size_exact(memory->reserve);
    g_autofree char *max = stead_format_size_exact(memory->max);
    stead_problem(where, "reserve", "memory.reserve (%s) is more than memory.max (%s)", reserve,
                  max);
}

void stead_spec_check_disk(gconstpointer object, const SteadWhere *where)
{
    const SteadDiskSpec *disk = object;
    if (disk->volume && disk->size > 0)
        stead_problem(where, "size",
                      "a disk has a volume or a size, not both: a volume's size is its own");
    else if (!disk->volume && disk->size == 0)
        stead_problem(where, "", "a disk needs a volume or a size");
    if (disk->volume && disk->pool)
        stead_problem(where, "pool", "a volume's pool is its own; leave the disk's out");
}

static void check_hugepages(const SteadInstanceSpec *spec, const SteadWhere *where)
{
    static const guint64 sizes[STEAD_N_HUGEPAGES] = {
        [STEAD_HUGEPAGES_OFF] = 1, [STEAD_HUGEPAGES_2M] = 2 << 20, [STEAD_HUGEPAGES_1G] = 1 << 30};
    if (spec->memory.max % sizes[spec->hugepages] == 0)
        return;
    g_autofree char *max = stead_format_size_exact(spec->memory.max);
    stead_problem(where, "memory", "memory (%s) must be a multiple of hugepages (%s)", max,
                  stead_name_of(&stead_hugepages_names, (int)spec->hugepages));
}

static void check_pinning(const SteadInstanceSpec *spec, const SteadWhere *where)
{
    guint n = g_strv_length(spec->cpu_pinning);
    if (n > spec->cpus)
        stead_problem(where, "cpu-pinning", "cpu-pinning has %u items for %u cpus", n, spec->cpus);
    if (spec->numa.mode != STEAD_NUMA_STRICT && !spec->numa.nodes)
        stead_problem(where, "numa", "numa.mode needs numa.nodes");
}

static gboolean keys_name_files(const GStrv keys)
{
    for (char **key = keys; key && *key; key++)
        if (stead_ssh_key_is_file(*key))
            return TRUE;
    return FALSE;
}

gboolean stead_instance_spec_names_files(const SteadInstanceSpec *spec)
{
    if (spec->user_data_file || keys_name_files(spec->ssh_keys))
        return TRUE;
    for (guint i = 0; i < spec->users->len; i++) {
        const SteadUserSpec *user = spec->users->pdata[i];
        if (keys_name_files(user->ssh_keys))
            return TRUE;
    }
    return FALSE;
}

static void check_first_boot(const SteadInstanceSpec *spec, const SteadWhere *where)
{
    if (spec->user_data && spec->user_data_file)
        stead_problem(where, "user-data-file", "give user-data or user-data-file, not both");
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < spec->users->len; i++) {
        SteadUserSpec *user = spec->users->pdata[i];
        g_autofree char *sub = g_strdup_printf("users[%u]", i);
        if (!g_hash_table_add(names, user->name))
            stead_problem(where, sub, "the user '%s' is given twice", user->name);
    }
}

/* What only one instance can have cannot stand where there are several. */
static void check_count(const SteadInstanceSpec *spec, const SteadWhere *where)
{
    static const char why[] = "is for one instance, and count is";
    if (spec->count == 1)
        return;
    for (guint i = 0; i < spec->networks->len; i++) {
        const SteadNicSpec *nic = spec->networks->pdata[i];
        g_autofree char *address = g_strdup_printf("networks[%u].address", i);
        g_autofree char *mac = g_strdup_printf("networks[%u].mac", i);
        if (nic->address)
            stead_problem(where, address, "a static address %s %u", why, spec->count);
        if (nic->mac)
            stead_problem(where, mac, "a MAC address %s %u", why, spec->count);
    }
    for (guint i = 0; i < spec->disks->len; i++) {
        const SteadDiskSpec *disk = spec->disks->pdata[i];
        g_autofree char *sub = g_strdup_printf("disks[%u]", i);
        if (disk->volume)
            stead_problem(where, sub, "a volume %s %u", why, spec->count);
    }
    if (spec->ports->len > 0)
        stead_problem(where, "ports", "a published port %s %u", why, spec->count);
    if (spec->hostname)
        stead_problem(where, "hostname", "hostname %s %u", why, spec->count);
}

/* What only a directly booted kernel has. */
static void check_kernel(const SteadInstanceSpec *spec, const SteadWhere *where)
{
    if (spec->kind == STEAD_KIND_VM && spec->kernel)
        stead_problem(where, "kernel", "kernel is for the kind microvm: a vm boots from its disk");
    if (spec->initrd && spec->kernel == NULL)
        stead_problem(where, "initrd", "initrd needs the 'kernel' that it is for");
    if (spec->kind == STEAD_KIND_VM && spec->cmdline)
        stead_problem(where, "cmdline", "cmdline is for the kind microvm");
}

void stead_spec_check_instance(gconstpointer object, const SteadWhere *where)
{
    const SteadInstanceSpec *spec = object;
    check_hugepages(spec, where);
    check_pinning(spec, where);
    check_first_boot(spec, where);
    check_count(spec, where);
    check_kernel(spec, where);
}

static void check_bridge(const SteadNetworkSpec *spec, const SteadWhere *where)
{
    static const char only[] = "is not for the mode bridge: the bridge's own network has it";
    if (spec->mode != STEAD_NETWORK_BRIDGE) {
        if (spec->bridge)
            stead_problem(where, "bridge", "bridge is for the mode bridge, and the mode is %s",
                          stead_name_of(&stead_network_mode_names, (int)spec->mode));
        return;
    }
    if (!spec->bridge)
        stead_problem(where, "",
                      "the mode bridge needs 'bridge': the name of a bridge on the host");
    if (spec->subnet)
        stead_problem(where, "subnet", "subnet %s", only);
    if (spec->dhcp_start)
        stead_problem(where, "dhcp-start", "dhcp-start %s", only);
    if (spec->dhcp_end)
        stead_problem(where, "dhcp-end", "dhcp-end %s", only);
    if (spec->domain)
        stead_problem(where, "domain", "domain %s", only);
}

/* An address that a guest of the subnet may have: none of its ends, nor the host's. */
static gboolean check_guest_address(const SteadSubnet *subnet, const char *field,
                                    const char *address, const SteadWhere *where)
{
    g_autofree char *wrong = stead_subnet_refuses(subnet, address);
    if (wrong)
        stead_problem(where, field, "%s: %s", field, wrong);
    return !wrong;
}

static void check_dhcp(const SteadNetworkSpec *spec, const SteadWhere *where)
{
    SteadSubnet subnet;
    guint32 start, end;
    if (spec->mode == STEAD_NETWORK_BRIDGE || (!spec->dhcp_start && !spec->dhcp_end))
        return;
    if (!spec->dhcp_start || !spec->dhcp_end) {
        stead_problem(where, spec->dhcp_start ? "dhcp-start" : "dhcp-end",
                      "dhcp-start and dhcp-end go together");
        return;
    }
    if (!spec->subnet || !stead_subnet_parse(spec->subnet, &subnet, NULL)) {
        stead_problem(where, "dhcp-start", "dhcp-start and dhcp-end need a subnet");
        return;
    }
    if (check_guest_address(&subnet, "dhcp-start", spec->dhcp_start, where) &&
        check_guest_address(&subnet, "dhcp-end", spec->dhcp_end, where) &&
        stead_ipv4_parse(spec->dhcp_start, &start) && stead_ipv4_parse(spec->dhcp_end, &end) &&
        start > end)
        stead_problem(where, "dhcp-end", "dhcp-end (%s) lies before dhcp-start (%s)",
                      spec->dhcp_end, spec->dhcp_start);
}

void stead_spec_check_network(gconstpointer object, const SteadWhere *where)
{
    const SteadNetworkSpec *spec = object;
    check_bridge(spec, where);
    check_dhcp(spec, where);
}
