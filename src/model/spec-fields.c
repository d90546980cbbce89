/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a spec: every field that a stead.yaml can have, one row each. What a row says is
 * all there is to say about a field; see field.h for what is made of it.
 */
#include "model/spec-fields.h"

#include <string.h>

#include "model/check.h"
#include "model/format.h"

#define MAX_PORT 65535
#define MAX_USERS 64
#define MAX_KEYS 64
#define MAX_PACKAGES 1000
#define MIN_DISK (G_GUINT64_CONSTANT(1) << 20)
#define DEFAULT_MEMORY (G_GUINT64_CONSTANT(1) << 30)
#define SECONDS G_GUINT64_CONSTANT(1000)
#define READY_TIMEOUT (600 * SECONDS)
#define MAX_READY_TIMEOUT (24 * 3600 * SECONDS)

#define NOW .effect = STEAD_EFFECT_NOW
#define RESTART .effect = STEAD_EFFECT_RESTART
#define RECREATE .effect = STEAD_EFFECT_RECREATE
#define RANGE(from, to) .min = (from), .max = (to)

#define BOOL(s, m, name, ...) STEAD_ROW(BOOL, s, m, gboolean, name, __VA_ARGS__)
#define UINT(s, m, name, ...) STEAD_ROW(UINT, s, m, guint, name, __VA_ARGS__)
#define SIZE(s, m, name, ...) STEAD_ROW(SIZE, s, m, guint64, name, __VA_ARGS__)
#define DURATION(s, m, name, ...) STEAD_ROW(DURATION, s, m, guint64, name, __VA_ARGS__)
#define ENUM(s, m, name, type, words, ...)                                                         \
    STEAD_ROW(ENUM, s, m, type, name, .names = &(words), __VA_ARGS__)
#define STRING(s, m, name, form, ...)                                                              \
    STEAD_ROW(STRING, s, m, char *, name, .format = &stead_text_##form, __VA_ARGS__)
#define STRINGS(s, m, name, form, ...)                                                             \
    STEAD_ROW(STRINGS, s, m, GStrv, name, .format = &stead_text_##form, __VA_ARGS__)
#define OBJECT(s, m, name, type, tab, ...)                                                         \
    STEAD_ROW(OBJECT, s, m, type, name, .table = &(tab), __VA_ARGS__)
#define OBJECTS(s, m, name, tab, ...)                                                              \
    STEAD_ROW(OBJECTS, s, m, GPtrArray *, name, .table = &(tab), __VA_ARGS__)
#define MAP(s, m, m_names, name, tab, ...)                                                         \
    STEAD_ROW(MAP, s, m, GPtrArray *, name, .table = &(tab),                                       \
              .names_offset = G_STRUCT_OFFSET(s, m_names), __VA_ARGS__)

/* Defines the table `symbol` of a struct over `symbol_fields`, and the function that frees one. */
#define TABLE(symbol, struct_, ...)                                                                \
    static void symbol##_destroy(gpointer object);                                                 \
    __VA_ARGS__;                                                                                   \
    static void symbol##_destroy(gpointer object)                                                  \
    {                                                                                              \
        stead_object_free(&symbol, object);                                                        \
    }
#define COMMON(symbol, struct_)                                                                    \
    .fields = symbol##_fields, .n = G_N_ELEMENTS(symbol##_fields), .size = sizeof(struct_),        \
    .destroy = symbol##_destroy

static const SteadField memory_fields[] = {
    SIZE(SteadMemorySpec, max, "max", .def = DEFAULT_MEMORY,
         RANGE(STEAD_MIN_MEMORY, STEAD_MAX_MEMORY), RESTART, .example = "2G",
         .doc = "What the guest sees."),
    SIZE(SteadMemorySpec, reserve, "reserve", RANGE(0, STEAD_MAX_MEMORY), RESTART, .example = "1G",
         .doc = "What the host keeps free for it; at most max."),
};

TABLE(memory, SteadMemorySpec,
      static const SteadStruct memory = {
          COMMON(memory, SteadMemorySpec), .what = "a memory size", .id = "memory", .brief = "max",
          .doc = "Memory; a size alone is its maximum.", .check = stead_spec_check_memory})

static const SteadField disk_fields[] = {
    STRING(SteadDiskSpec, volume, "volume", name, RECREATE, .example = "data",
           .doc = "A volume, of this file or made before; it outlives the instance."),
    SIZE(SteadDiskSpec, size, "size", RANGE(MIN_DISK, STEAD_MAX_DISK), RECREATE, .example = "10G",
         .doc = "Instead of a volume: a disk of that size, which goes away with the instance."),
    STRING(SteadDiskSpec, pool, "pool", name, RECREATE, .example = "fast",
           .doc = "The pool of a disk that is given by its size; unset: the default pool."),
    BOOL(SteadDiskSpec, read_only, "read-only", RECREATE, .example = "true",
         .doc = "The guest cannot write to it.", .also = "readonly ro"),
};

TABLE(disk, SteadDiskSpec,
      static const SteadStruct disk = {
          COMMON(disk, SteadDiskSpec), .what = "a disk", .id = "disk", .brief = "volume",
          .doc = "A disk beside the root disk; a name alone is a volume.",
          .check = stead_spec_check_disk})

static const SteadField nic_fields[] = {
    STRING(SteadNicSpec, network, "network", name, RECREATE, .def_text = STEAD_DEFAULT_NETWORK,
           .flags = STEAD_FIELD_ALWAYS, .example = "lab", .doc = "The network's name.",
           .also = "name"),
    STRING(SteadNicSpec, address, "address", ipv4, RECREATE, .example = "10.77.0.10",
           .doc = "A static address of the network's subnet; unset: DHCP gives one.",
           .also = "ip static-address ipv4"),
    STRING(SteadNicSpec, mac, "mac", mac, RECREATE, .example = "52:54:00:12:34:56",
           .doc = "The interface's MAC address; unset: one that stays the same for the instance.",
           .also = "mac-address hwaddr"),
};

TABLE(nic, SteadNicSpec,
      static const SteadStruct nic = {COMMON(nic, SteadNicSpec), .what = "a network interface",
                                      .id = "interface", .brief = "network",
                                      .doc = "An interface; a name alone is the network it is on."})

static const SteadField port_fields[] = {
    STRING(SteadPortSpec, host_address, "host-address", ipv4, NOW, .example = "127.0.0.1",
           .doc = "The host's address that listens; unset: all of them.", .also = "address ip"),
    UINT(SteadPortSpec, host, "host", RANGE(1, MAX_PORT), NOW, .flags = STEAD_FIELD_REQUIRED,
         .example = "8080", .doc = "The port on the host.", .also = "host-port published"),
    UINT(SteadPortSpec, guest, "guest", RANGE(1, MAX_PORT), NOW, .flags = STEAD_FIELD_REQUIRED,
         .example = "80", .doc = "The port in the guest.", .also = "guest-port target container"),
    ENUM(SteadPortSpec, protocol, "protocol", SteadProtocol, stead_protocol_names, NOW,
         .example = "udp", .doc = "The protocol.", .also = "proto"),
};

/* A port number up to `end`; 0 when it is none. */
static guint read_port(const char *text, const char *end)
{
    guint64 port = 0;
    g_autofree char *digits = g_strndup(text, (gsize)(end - text));
    if (*digits == '0' || !g_ascii_string_to_unsigned(digits, 10, 1, MAX_PORT, &port, NULL))
        return 0;
    return (guint)port;
}

/* [ADDRESS:]HOST:GUEST[/PROTOCOL] */
static gboolean parse_port(const char *text, gpointer object)
{
    SteadPortSpec *port = object;
    const char *slash = strchr(text, '/');
    const char *end = slash ? slash : text + strlen(text);
    const char *guest = g_strrstr_len(text, end - text, ":");
    if (!guest)
        return FALSE;
    const char *host = g_strrstr_len(text, guest - text, ":");
    g_autofree char *address = host ? g_strndup(text, (gsize)(host - text)) : NULL;
    int protocol = slash ? stead_value_of(&stead_protocol_names, slash + 1) : STEAD_PROTOCOL_TCP;
    guint32 ignored;
    if (protocol < 0 || (address && !stead_ipv4_parse(address, &ignored)))
        return FALSE;
    port->protocol = (SteadProtocol)protocol;
    port->host = read_port(host ? host + 1 : text, guest);
    port->guest = read_port(guest + 1, end);
    g_free(port->host_address);
    port->host_address = g_steal_pointer(&address);
    return port->host > 0 && port->guest > 0;
}

static char *write_port(gconstpointer object)
{
    const SteadPortSpec *port = object;
    return g_strdup_printf("%s%s%u:%u%s", port->host_address ? port->host_address : "",
                           port->host_address ? ":" : "", port->host, port->guest,
                           port->protocol == STEAD_PROTOCOL_UDP ? "/udp" : "");
}

TABLE(port, SteadPortSpec,
      static const SteadStruct port = {COMMON(port, SteadPortSpec), .what = "a published port",
                                       .id = "port", .parse = parse_port, .write = write_port,
                                       .brief_format = &stead_text_port,
                                       .doc = "A port of the guest that the host publishes; also "
                                              "written [ADDRESS:]HOST:GUEST[/PROTOCOL]."})

static const SteadField user_fields[] = {
    STRING(SteadUserSpec, name, "name", user, RECREATE, .flags = STEAD_FIELD_REQUIRED,
           .example = "admin", .doc = "The user's name."),
    STRINGS(SteadUserSpec, ssh_keys, "ssh-keys", ssh_key, RECREATE, .max = MAX_KEYS,
            .example = "[ssh-ed25519 AAAA... me@example.org]",
            .doc = "Public keys that may log in as this user.",
            .also = "ssh-authorized-keys ssh-key keys authorized-keys"),
    STRING(SteadUserSpec, password_hash, "password-hash", password_hash, RECREATE,
           .flags = STEAD_FIELD_SECRET, .example = "$y$j9T$...",
           .doc = "A password as crypt(5) stores it, from mkpasswd(1). Unset: no password.",
           .also = "password passwd hashed-passwd"),
    STRING(SteadUserSpec, shell, "shell", path, RECREATE, .example = "/bin/bash",
           .doc = "The login shell; unset: the image's default."),
    BOOL(SteadUserSpec, sudo, "sudo", RECREATE, .def = TRUE, .example = "false",
         .doc = "Whether the user may become root without a password.", .also = "admin root"),
};

TABLE(user, SteadUserSpec,
      static const SteadStruct user = {COMMON(user, SteadUserSpec), .what = "a user", .id = "user",
                                       .brief = "name",
                                       .doc = "A user of the guest; a name alone is enough."})

static const SteadField proxy_fields[] = {
    STRING(SteadProxySpec, http, "http", proxy, RECREATE, .example = "http://proxy:3128",
           .doc = "For http addresses.", .also = "http-proxy"),
    STRING(SteadProxySpec, https, "https", proxy, RECREATE, .example = "http://proxy:3128",
           .doc = "For https addresses.", .also = "https-proxy"),
    STRING(SteadProxySpec, no_proxy, "no", no_proxy, RECREATE, .example = "localhost,10.0.0.0/8",
           .doc = "What is reached without a proxy.", .also = "no-proxy"),
};

TABLE(proxy, SteadProxySpec,
      static const SteadStruct proxy = {COMMON(proxy, SteadProxySpec), .what = "a proxy setting",
                                        .id = "proxy", .doc = "The proxies that the guest uses."})

static const SteadField numa_fields[] = {
    STRING(SteadNumaSpec, nodes, "nodes", cpus, RESTART, .example = "0",
           .doc = "The host's NUMA nodes that the guest's memory comes from.", .also = "node"),
    ENUM(SteadNumaSpec, mode, "mode", SteadNumaMode, stead_numa_mode_names, RESTART,
         .example = "preferred", .doc = "What happens where these nodes are full."),
};

TABLE(numa, SteadNumaSpec,
      static const SteadStruct numa = {COMMON(numa, SteadNumaSpec), .what = "a NUMA setting",
                                       .id = "numa", .brief = "nodes",
                                       .doc = "NUMA placement; a list alone names the nodes."})

enum { READY_AGENT, READY_CLOUD_INIT, READY_PORT, READY_CONSOLE };

static const SteadField ready_fields[] = {
    [READY_AGENT] =
        BOOL(SteadReadySpec, agent, "agent", NOW, .def = TRUE, .flags = STEAD_FIELD_ALWAYS,
             .example = "false", .def_text = "true, and false where another rule is given",
             .doc = "The guest agent answers.", .also = "guest-agent"),
    [READY_CLOUD_INIT] = BOOL(SteadReadySpec, cloud_init, "cloud-init", NOW, .example = "true",
                              .doc = "cloud-init has finished.", .also = "cloudinit"),
    [READY_PORT] = UINT(SteadReadySpec, port, "port", RANGE(1, MAX_PORT), NOW, .example = "22",
                        .doc = "A TCP port of the guest accepts connections.", .also = "tcp"),
    [READY_CONSOLE] = STRING(
        SteadReadySpec, console, "console", regex, NOW, .example = "\"login:\"",
        .doc = "A line of the console matches this regular expression.", .also = "log regex"),
    DURATION(SteadReadySpec, timeout, "timeout", .def = READY_TIMEOUT,
             RANGE(SECONDS, MAX_READY_TIMEOUT), NOW, .example = "5m",
             .doc = "How long that may take before it counts as failed."),
};

/* The agent is the rule where no other is given. */
static void complete_ready(gpointer object, guint64 given)
{
    SteadReadySpec *ready = object;
    guint64 others = 1 << READY_CLOUD_INIT | 1 << READY_PORT | 1 << READY_CONSOLE;
    if (!(given & 1 << READY_AGENT) && given & others)
        ready->agent = FALSE;
}

TABLE(ready, SteadReadySpec,
      static const SteadStruct ready = {
          COMMON(ready, SteadReadySpec), .what = "a readiness rule", .id = "ready",
          .complete = complete_ready,
          .doc = "When a running instance counts as ready: every part that is given must hold."})

#define I(kind, member, ...) kind(SteadInstanceSpec, member, __VA_ARGS__)

static const SteadField stead_instance_spec_table_fields[] = {
    I(ENUM, kind, "kind", SteadKind, stead_kind_names, RECREATE, .example = "vm",
      .doc = "What runs it; auto: stead chooses, and show says why.", .also = "type"),
    I(STRING, image, "image", image, RECREATE, .def_text = STEAD_DEFAULT_IMAGE,
      .flags = STEAD_FIELD_ALWAYS, .example = "ubuntu:24.04",
      .doc = "The image that its root disk is a copy of.", .also = "box base os distro from"),
    I(STRING, kernel, "kernel", path, RECREATE, .example = "/boot/vmlinuz",
      .doc = "A kernel file of the host that a microvm boots in place of its image's: bzImage, or "
             "ELF with a PVH entry. Without an image it stands alone, as unikernels do.",
      .also = "vmlinuz unikernel"),
    I(STRING, initrd, "initrd", path, RECREATE, .example = "/boot/initrd.img",
      .doc = "The initramfs for that kernel, a file of the host.", .also = "initramfs"),
    I(STRING, cmdline, "cmdline", line, RESTART, .example = "console=ttyS0",
      .doc = "The kernel's command line; unset: what the root disk and the console need.",
      .also = "append kernel-args kernel-command-line"),
    I(UINT, count, "count", .def = 1, RANGE(1, STEAD_MAX_COUNT), NOW, .example = "3",
      .doc = "How many; above 1 they are called NAME-1 to NAME-count.",
      .also = "replicas number instances"),
    I(UINT, cpus, "cpus", .def = 2, RANGE(1, STEAD_MAX_CPUS), RESTART, .example = "4",
      .doc = "Virtual CPUs.", .also = "vcpus cores vcpu processors"),
    I(OBJECT, memory, "memory", SteadMemorySpec, memory, RESTART, .example = "2G", .doc = "Memory.",
      .also = "ram mem"),
    I(SIZE, disk, "disk", RANGE(MIN_DISK, STEAD_MAX_DISK), NOW, .example = "20G",
      .doc = "Size of the root disk, which can grow and never shrinks; unset: as the image's.",
      .also = "root-disk storage disk-size"),
    I(STRING, pool, "pool", name, RECREATE, .example = "fast",
      .doc = "The pool of the root disk; unset: the default pool.", .also = "storage-pool"),
    I(OBJECTS, disks, "disks", disk, .max = STEAD_MAX_DISKS, RECREATE, .example = "[data]",
      .doc = "Further disks.", .also = "volumes"),
    I(OBJECTS, networks, "networks", nic, .max = STEAD_MAX_NICS, RECREATE,
      .flags = STEAD_FIELD_DEFAULT_ITEM, .def_text = "[" STEAD_DEFAULT_NETWORK "]",
      .example = "[lab]", .doc = "Its interfaces, first one first; [] for none.",
      .also = "nics interfaces nic network"),
    I(OBJECTS, ports, "ports", port, .max = STEAD_MAX_PORTS, NOW, .example = "[\"8080:80\"]",
      .doc = "Ports that the host publishes.", .also = "publish forward port-forwards expose"),
    I(STRING, hostname, "hostname", host_name, RECREATE, .example = "web.example.org",
      .doc = "The guest's host name; unset: the instance's name.", .also = "host-name fqdn"),
    I(OBJECTS, users, "users", user, .max = MAX_USERS, RECREATE, .example = "[admin]",
      .doc = "Users that are made at first boot.", .also = "user accounts"),
    I(STRINGS, ssh_keys, "ssh-keys", ssh_key, .max = MAX_KEYS, RECREATE,
      .example = "[ssh-ed25519 AAAA... me@example.org]",
      .doc = "Public keys that may log in as the image's default user.",
      .also = "ssh-authorized-keys ssh-key keys"),
    I(STRINGS, packages, "packages", package, .max = MAX_PACKAGES, RECREATE, .example = "[nginx]",
      .doc = "Packages that are installed at first boot.", .also = "apt install"),
    I(STRINGS, commands, "commands", command, RECREATE, .example = "[systemctl enable --now nginx]",
      .doc = "Commands that the guest's shell runs as root at the end of the first boot.",
      .also = "runcmd run cmd command script"),
    I(STRING, user_data, "user-data", user_data, RECREATE, .example = "\"#cloud-config\"",
      .doc = "cloud-init user-data, given to the guest byte for byte.", .also = "userdata"),
    I(STRING, user_data_file, "user-data-file", line, RECREATE, .example = "cloud.yaml",
      .doc = "A file with user-data, relative to the spec.", .also = "userdata-file"),
    I(OBJECT, proxy, "proxy", SteadProxySpec, proxy, RECREATE, .doc = "Proxies."),
    I(ENUM, firmware, "firmware", SteadFirmware, stead_firmware_names, RECREATE, .example = "bios",
      .doc = "The firmware of a vm.", .also = "boot efi uefi bios"),
    I(STRINGS, cpu_pinning, "cpu-pinning", cpus, .max = STEAD_MAX_CPUS, RESTART,
      .example = "[0-1, 2-3]",
      .doc = "Host CPUs for each virtual CPU in turn; the last item is for all further ones.",
      .also = "pinning cpuset affinity"),
    I(OBJECT, numa, "numa", SteadNumaSpec, numa, RESTART, .example = "0", .doc = "NUMA placement.",
      .also = "numa-nodes"),
    I(ENUM, hugepages, "hugepages", SteadHugepages, stead_hugepages_names, RESTART, .example = "2M",
      .doc = "Huge pages of the host that back the memory.", .also = "huge-pages"),
    I(ENUM, restart, "restart", SteadRestart, stead_restart_names, NOW, .example = "on-failure",
      .doc = "When stead starts it again after it ended by itself.", .also = "restart-policy"),
    I(OBJECT, ready, "ready", SteadReadySpec, ready, NOW, .doc = "The readiness rule.",
      .also = "readiness health healthcheck wait"),
    I(STRINGS, depends_on, "depends-on", name, .max = STEAD_MAX_INSTANCES, NOW, .example = "[db]",
      .doc = "Instances of this file that must be ready before this one starts.",
      .also = "requires needs after depends"),
};

static gboolean is_given(const char *name, guint64 given)
{
    for (guint i = 0; i < G_N_ELEMENTS(stead_instance_spec_table_fields); i++)
        if (g_str_equal(stead_instance_spec_table_fields[i].name, name))
            return (given & G_GUINT64_CONSTANT(1) << i) != 0;
    return FALSE;
}

/* A kernel alone has no image, and nobody knows of an agent in it. */
static void complete_instance(gpointer object, guint64 given)
{
    SteadInstanceSpec *spec = object;
    if (spec->kernel == NULL || is_given("image", given))
        return;
    g_clear_pointer(&spec->image, g_free);
    if (!is_given("ready", given))
        spec->ready.agent = FALSE;
}

TABLE(stead_instance_spec_table, SteadInstanceSpec,
      const SteadStruct stead_instance_spec_table = {
          COMMON(stead_instance_spec_table, SteadInstanceSpec), .what = "an instance",
          .id = "instance", .doc = "An instance.", .complete = complete_instance,
          .check = stead_spec_check_instance})

#define N(kind, member, ...) kind(SteadNetworkSpec, member, __VA_ARGS__)

static const SteadField stead_network_spec_table_fields[] = {
    N(ENUM, mode, "mode", SteadNetworkMode, stead_network_mode_names, RECREATE,
      .example = "isolated",
      .doc = "How it reaches the world: through the host's address (nat), not at all (isolated), "
             "by routes (routed), or as part of an existing bridge (bridge).",
      .also = "type forward"),
    N(STRING, subnet, "subnet", subnet, RECREATE, .example = "10.77.0.0/24",
      .doc = "Its IPv4 subnet; the host has the first address. Unset: a free one is chosen.",
      .also = "cidr range ip-range"),
    N(STRING, bridge, "bridge", bridge, RECREATE, .example = "br0",
      .doc = "The host's bridge, for the mode bridge."),
    N(STRING, dhcp_start, "dhcp-start", ipv4, RECREATE, .example = "10.77.0.100",
      .doc = "The first address that DHCP gives out; unset: chosen."),
    N(STRING, dhcp_end, "dhcp-end", ipv4, RECREATE, .example = "10.77.0.199",
      .doc = "The last address that DHCP gives out; unset: chosen."),
    N(STRING, domain, "domain", host_name, RECREATE, .example = "lab.internal",
      .doc = "The DNS domain of its instances; unset: the network's name.", .also = "dns-domain"),
};

TABLE(stead_network_spec_table, SteadNetworkSpec,
      const SteadStruct stead_network_spec_table = {
          COMMON(stead_network_spec_table, SteadNetworkSpec), .what = "a network", .id = "network",
          .doc = "A network.", .check = stead_spec_check_network})

static const SteadField stead_volume_spec_table_fields[] = {
    SIZE(SteadVolumeSpec, size, "size", RANGE(MIN_DISK, STEAD_MAX_DISK), NOW,
         .flags = STEAD_FIELD_REQUIRED, .example = "10G",
         .doc = "Its size, which can grow and never shrinks."),
    STRING(SteadVolumeSpec, pool, "pool", name, RECREATE, .example = "fast",
           .doc = "Its pool; unset: the default pool."),
};

TABLE(stead_volume_spec_table, SteadVolumeSpec,
      const SteadStruct stead_volume_spec_table = {
          COMMON(stead_volume_spec_table, SteadVolumeSpec), .what = "a volume", .id = "volume",
          .brief = "size", .doc = "A disk that outlives instances; a size alone is enough."})

static const SteadField stead_spec_table_fields[] = {
    STRING(SteadSpec, name, "name", name, .example = "lab",
           .doc = "The project that all of this belongs to; unset: the file's name.",
           .also = "project"),
    MAP(SteadSpec, instances, instance_names, "instances", stead_instance_spec_table,
        .max = STEAD_MAX_INSTANCES, .doc = "The instances, by name.",
        .also = "services machines vms nodes"),
    MAP(SteadSpec, networks, network_names, "networks", stead_network_spec_table,
        .doc = "Networks that are made for this file, by name.", .also = "nets"),
    MAP(SteadSpec, volumes, volume_names, "volumes", stead_volume_spec_table,
        .doc = "Volumes that are made for this file, by name. They stay when instances go.",
        .also = "disks"),
};

TABLE(stead_spec_table, SteadSpec,
      const SteadStruct stead_spec_table = {COMMON(stead_spec_table, SteadSpec), .what = "a spec",
                                            .id = "spec",
                                            .doc = "What a host shall run: instances, networks and "
                                                   "volumes.",
                                            .check = stead_spec_check_file, .check_always = TRUE})
