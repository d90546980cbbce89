/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domain XML against golden files. STEAD_GOLDEN_UPDATE=1 rewrites them.
 */
#include "runtime/vm/domain_xml.h"

#include <string.h>

#include "base/error.h"
#include "host/xml.h"
#include "runtime/vm/snapshot_doc.h"

static const SteadDomainOptions uefi = {
    .root = "/var/lib/stead",
    .firmware_code = "/usr/share/OVMF/OVMF_CODE_4M.fd",
    .firmware_vars = "/usr/share/OVMF/OVMF_VARS_4M.fd",
    .vnc_password = "s3cr3t-_",
};
static const SteadDomainOptions bios = {.root = "/srv/a/lib", .vnc_password = "s3cr3t-_"};

static void add_disk(SteadMachine *machine, const char *path, const char *format,
                     const char *serial, gboolean read_only)
{
    SteadMachineDisk *disk = g_new0(SteadMachineDisk, 1);
    disk->path = g_strdup(path);
    disk->format = g_strdup(format);
    disk->serial = g_strdup(serial);
    disk->read_only = read_only;
    g_ptr_array_add(machine->disks, disk);
}

static void add_nic(SteadMachine *machine, const char *network, const char *bridge, const char *mac)
{
    SteadMachineNic *nic = g_new0(SteadMachineNic, 1);
    nic->network = g_strdup(network);
    nic->bridge = g_strdup(bridge);
    nic->mac = g_strdup(mac);
    g_ptr_array_add(machine->nics, nic);
}

static SteadMachine *plain_machine(void)
{
    SteadMachine *machine = stead_machine_new();
    machine->id = g_strdup("1a2b3c4d-0000-4000-8000-000000000001");
    machine->name = g_strdup("web");
    machine->domain = g_strdup("stead-web");
    machine->dir = g_strdup("/var/lib/stead/instances/1a2b3c4d-0000-4000-8000-000000000001");
    machine->run_dir = g_strdup("/run/stead/instances/1a2b3c4d-0000-4000-8000-000000000001");
    machine->seed = g_build_filename(machine->dir, "seed.iso", NULL);
    machine->accel = g_strdup("tcg");
    machine->spec = stead_instance_spec_new();
    machine->spec->cpus = 2;
    machine->spec->memory.max = G_GUINT64_CONSTANT(1) << 30;
    add_disk(machine, "/var/lib/stead/volumes/web-1a2b3c4d.qcow2", "qcow2", NULL, FALSE);
    add_nic(machine, "stead-default", NULL, "52:54:00:12:34:56");
    return machine;
}

static void check_golden(const char *name, const SteadMachine *machine,
                         const SteadDomainOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = stead_vm_domain_xml(machine, options, &error);
    g_assert_no_error(error);
    if (g_getenv("STEAD_GOLDEN_DIR") == NULL) {
        g_test_skip("STEAD_GOLDEN_DIR does not say where the golden files are");
        return;
    }
    g_autofree char *file = g_build_filename(g_getenv("STEAD_GOLDEN_DIR"), name, NULL);
    if (g_getenv("STEAD_GOLDEN_UPDATE")) {
        g_assert_true(g_file_set_contents(file, xml, -1, NULL));
        return;
    }
    g_autofree char *golden = NULL;
    g_assert_true(g_file_get_contents(file, &golden, NULL, &error));
    g_assert_cmpstr(xml, ==, golden);
}

static void test_emulated(void)
{
    g_autoptr(SteadMachine) machine = plain_machine();
    check_golden("emulated.xml", machine, &uefi);
}

static void test_kvm_bios(void)
{
    g_autoptr(SteadMachine) machine = plain_machine();
    g_free(machine->accel);
    machine->accel = g_strdup("kvm");
    machine->spec->firmware = STEAD_FIRMWARE_BIOS;
    check_golden("kvm-bios.xml", machine, &bios);
}

static void test_tuned(void)
{
    static const char *const pinning[] = {"0-1", "2,3", NULL};
    g_autoptr(SteadMachine) machine = plain_machine();
    machine->spec->cpus = 4;
    machine->spec->memory.reserve = machine->spec->memory.max;
    machine->spec->hugepages = STEAD_HUGEPAGES_2M;
    g_strfreev(machine->spec->cpu_pinning);
    machine->spec->cpu_pinning = g_strdupv((GStrv)pinning);
    g_free(machine->spec->numa.nodes);
    machine->spec->numa.nodes = g_strdup("0-1");
    machine->spec->numa.mode = STEAD_NUMA_INTERLEAVE;
    check_golden("tuned.xml", machine, &uefi);
}

static void test_many_devices(void)
{
    g_autoptr(SteadMachine) machine = plain_machine();
    add_disk(machine, "/var/lib/stead/volumes/data-5e6f7a8b.qcow2", "qcow2", "data", FALSE);
    add_disk(machine, "/dev/vg0/logs-00112233", "raw", "logs", FALSE);
    add_disk(machine, "/srv/shared.raw", "raw", "shared", TRUE);
    add_nic(machine, NULL, "br0", NULL);
    g_clear_pointer(&machine->seed, g_free);
    check_golden("many-devices.xml", machine, &uefi);
}

/* What a spec holds stays what it is: one attribute or text, never markup. */
static void test_hostile_strings_stay_strings(void)
{
    static const char hostile[] = "'/><evil a=\"&amp;\"/>\xc3\xa9 --> ]]> <!--";
    g_autoptr(SteadMachine) machine = plain_machine();
    g_free(machine->name);
    machine->name = g_strdup(hostile);
    g_free(machine->domain);
    machine->domain = g_strdup(hostile);
    add_disk(machine, hostile, "raw", hostile, FALSE);
    add_nic(machine, hostile, NULL, hostile);
    add_nic(machine, NULL, hostile, hostile);
    SteadDomainOptions options = uefi;
    options.root = hostile;
    options.vnc_password = hostile;
    g_autofree char *xml = stead_vm_domain_xml(machine, &options, NULL);
    g_autoptr(xmlDoc) doc = stead_xml_parse("domain", xml, NULL);
    g_assert_nonnull(doc);
    g_autofree char *evil = stead_xml_string(doc, "//evil");
    g_assert_null(evil);
    static const char *const places[] = {
        "/domain/name",
        "/domain/title",
        "/domain/metadata/*/@root",
        "/domain/metadata/*/@name",
        "/domain/devices/disk[2]/source/@file",
        "/domain/devices/disk[2]/serial",
        "/domain/devices/interface[2]/source/@network",
        "/domain/devices/interface[2]/mac/@address",
        "/domain/devices/interface[3]/source/@bridge",
        "/domain/devices/graphics/@passwd",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *value = stead_xml_string(doc, places[i]);
        g_assert_cmpstr(value, ==, hostile);
    }
}

static void test_too_many_disks_are_refused(void)
{
    g_autoptr(SteadMachine) machine = plain_machine();
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < STEAD_VM_MAX_DISKS; i++)
        add_disk(machine, "/d.qcow2", "qcow2", NULL, FALSE);
    g_assert_null(stead_vm_domain_xml(machine, &uefi, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static SteadLayers *sample_layers(void)
{
    SteadLayers *layers = stead_layers_new();
    SteadFrozenDisk *disk = g_new0(SteadFrozenDisk, 1);
    disk->target = g_strdup("vda");
    disk->frozen = g_strdup("/v/web-1a2b3c4d.qcow2");
    disk->format = g_strdup("qcow2");
    disk->current = g_strdup("/v/web-1a2b3c4d.99887766.qcow2");
    disk->size = 4096;
    g_ptr_array_add(layers->disks, disk);
    layers->memory = g_strdup("/i/s.mem");
    return layers;
}

static void test_layers_survive_json(void)
{
    g_autoptr(SteadLayers) layers = sample_layers();
    g_autoptr(JsonNode) node = stead_layers_to_json(layers);
    g_autoptr(SteadLayers) again = stead_layers_from_json(node, NULL);
    g_assert_nonnull(again);
    const SteadFrozenDisk *disk = stead_layers_of(again, "/v/web-1a2b3c4d.00000000.qcow2");
    g_assert_nonnull(disk);
    g_assert_cmpstr(disk->frozen, ==, "/v/web-1a2b3c4d.qcow2");
    g_assert_cmpuint(disk->size, ==, 4096);
    g_assert_cmpstr(again->memory, ==, "/i/s.mem");
    g_assert_null(again->nvram);
    g_assert_null(stead_layers_of(again, "/v/other-1a2b3c4d.qcow2"));
}

static void test_damaged_layers_are_refused(void)
{
    static const char *const damaged[] = {
        "{}",
        "[]",
        "{\"disks\":[{}]}",
        "{\"disks\":[3]}",
        "{\"disks\":{\"a\":1}}",
        "{\"disks\":[{\"target\":1,\"frozen\":[],\"format\":{}}]}"};
    for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++) {
        g_autoptr(JsonNode) node = json_from_string(damaged[i], NULL);
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_layers_from_json(node, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    }
    g_assert_null(stead_layers_from_json(NULL, NULL));
}

static void test_saved_definitions_are_moved(void)
{
    static const char saved[] =
        "<domain><devices>"
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        "<source file='/var/lib/stead/volumes/web-1a2b3c4d.qcow2' index='3'/>"
        "<backingStore type='file'><format type='qcow2'/><source file='/image'/></backingStore>"
        "<target dev='vda'/></disk>"
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/seed.iso'/>"
        "<target dev='vdz'/></disk></devices></domain>";
    g_autoptr(SteadMachine) machine = plain_machine();
    SteadMachineDisk *disk = machine->disks->pdata[0];
    g_free(disk->path);
    disk->path = g_strdup("/var/lib/stead/volumes/web-1a2b3c4d.01234567.qcow2");
    g_autofree char *moved = stead_vm_move_disks(saved, machine, NULL);
    g_autoptr(xmlDoc) doc = stead_xml_parse("moved", moved, NULL);
    g_autofree char *file = stead_xml_string(doc, "//disk[1]/source/@file");
    g_autofree char *format = stead_xml_string(doc, "//disk[1]/driver/@type");
    g_autofree char *chain = stead_xml_string(doc, "//backingStore");
    g_autofree char *seed = stead_xml_string(doc, "//disk[2]/source/@file");
    g_assert_cmpstr(file, ==, disk->path);
    g_assert_cmpstr(format, ==, "qcow2");
    g_assert_null(chain);
    g_assert_cmpstr(seed, ==, "/seed.iso");
}

static void test_snapshot_request(void)
{
    static const char *const left_alone[] = {"vdz", NULL};
    g_autoptr(SteadLayers) layers = sample_layers();
    g_autofree char *xml = stead_vm_snapshot_xml(layers, left_alone);
    g_autoptr(xmlDoc) doc = stead_xml_parse("request", xml, NULL);
    g_autofree char *layer = stead_xml_string(doc, "//disk[@name='vda']/source/@file");
    g_autofree char *alone = stead_xml_string(doc, "//disk[@name='vdz']/@snapshot");
    g_assert_cmpstr(layer, ==, "/v/web-1a2b3c4d.99887766.qcow2");
    g_assert_cmpstr(alone, ==, "no");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/domain-xml/emulated", test_emulated);
    g_test_add_func("/domain-xml/kvm-bios", test_kvm_bios);
    g_test_add_func("/domain-xml/tuned", test_tuned);
    g_test_add_func("/domain-xml/many-devices", test_many_devices);
    g_test_add_func("/domain-xml/hostile-strings-stay-strings", test_hostile_strings_stay_strings);
    g_test_add_func("/domain-xml/too-many-disks-are-refused", test_too_many_disks_are_refused);
    g_test_add_func("/snapshot/layers-survive-json", test_layers_survive_json);
    g_test_add_func("/snapshot/damaged-layers-are-refused", test_damaged_layers_are_refused);
    g_test_add_func("/snapshot/saved-definitions-are-moved", test_saved_definitions_are_moved);
    g_test_add_func("/snapshot/request", test_snapshot_request);
    return g_test_run();
}
