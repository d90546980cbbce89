/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel reads before it runs anything of its own: ACPI, the memory map, CPUID. */
#include <glib.h>
#include <string.h>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"
#include "vmm/vm.h"

#define SMALL (16ULL << 20)

typedef struct {
    VmmMachine machine;
    VmmArch arch;
} Rig;

/* No KVM: only what the tables are made from. */
static void rig_init(Rig *rig, uint64_t memory, unsigned n_vcpus)
{
    *rig = (Rig){.machine = {.n_vcpus = n_vcpus, .n_planned = n_vcpus, .kvm = {-1, -1, 0}}};
    rig->machine.arch = &rig->arch;
    g_assert_cmpint(vmm_memory_new(&rig->machine.memory, memory, -1, false), ==, 0);
}

static void rig_free(Rig *rig)
{
    vmm_memory_free(rig->machine.memory);
}

static uint64_t get(const Rig *rig, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    g_assert_cmpint(vmm_memory_read(rig->machine.memory, gpa, &value, size), ==, 0);
    return value;
}

static uint8_t sum(const Rig *rig, uint64_t gpa, uint64_t length)
{
    const uint8_t *bytes = vmm_memory_at(rig->machine.memory, gpa, length);
    uint8_t total = 0;
    for (uint64_t i = 0; i < length; i++)
        total = (uint8_t)(total + bytes[i]);
    return total;
}

/* The table's length; asserts its signature and checksum. */
static uint64_t check_table(const Rig *rig, uint64_t gpa, const char *signature)
{
    uint64_t length = get(rig, gpa + 4, 4);
    g_assert_cmpmem(vmm_memory_at(rig->machine.memory, gpa, 4), 4, signature, 4);
    g_assert_cmpuint(length, >=, 36);
    g_assert_cmpuint(sum(rig, gpa, length), ==, 0);
    return length;
}

static unsigned count(const Rig *rig, uint64_t gpa, uint64_t length, const char *text)
{
    const uint8_t *bytes = vmm_memory_at(rig->machine.memory, gpa, length);
    unsigned n = 0;
    for (uint64_t i = 0; i + strlen(text) <= length; i++)
        n += memcmp(bytes + i, text, strlen(text)) == 0;
    return n;
}

static void test_acpi_tables_are_whole(void)
{
    Rig rig;
    VmmError error;
    rig_init(&rig, SMALL, 3);
    g_assert_cmpint(x86_write_acpi(&rig.machine, 5, &error), ==, 0);
    g_assert_cmpuint(sum(&rig, X86_ACPI, 20), ==, 0);
    g_assert_cmpuint(sum(&rig, X86_ACPI, 36), ==, 0);
    uint64_t xsdt = get(&rig, X86_ACPI + 24, 8);
    g_assert_cmpuint(check_table(&rig, xsdt, "XSDT"), ==, 36 + 2 * 8);
    uint64_t fadt = get(&rig, xsdt + 36, 8), madt = get(&rig, xsdt + 44, 8);
    g_assert_cmpuint(check_table(&rig, fadt, "FACP"), ==, 276);
    g_assert_cmpuint(check_table(&rig, madt, "APIC"), ==, 44 + 3 * 8 + 12 + 10 + 6);
    uint64_t dsdt = get(&rig, fadt + 140, 8);
    uint64_t length = check_table(&rig, dsdt, "DSDT");
    g_assert_cmpuint(count(&rig, dsdt, length, "LNRO0005"), ==, 5);
    g_assert_cmpuint(count(&rig, dsdt, length, "_S5_"), ==, 1);
    g_assert_cmphex(get(&rig, fadt + 40, 4), ==, dsdt);
    g_assert_cmphex(get(&rig, fadt + 36, 4) % 64, ==, 0);
    rig_free(&rig);
}

static void test_acpi_has_room_for_the_largest_machine(void)
{
    Rig rig;
    VmmError error;
    rig_init(&rig, SMALL, VMM_CPUS_MAX);
    g_assert_cmpint(x86_write_acpi(&rig.machine, VMM_VIRTIO_MAX, &error), ==, 0);
    rig_free(&rig);
}

static void test_byte_code_does_not_outgrow_its_room(void)
{
    uint8_t bytes[16];
    Aml aml = {.bytes = bytes, .room = sizeof bytes};
    size_t scope = aml_scope(&aml, "_SB_");
    aml_string(&aml, "longer than it should be");
    g_assert_true(aml.is_full);
    aml_end(&aml, scope);
    g_assert_cmpuint(aml.length, <=, sizeof bytes);
}

static void test_virtio_places_are_apart(void)
{
    uint64_t base, before = 0;
    uint32_t gsi, seen = 0;
    unsigned n = 0;
    for (; vmm_arch_virtio_place(n, &base, &gsi) == 0; n++) {
        g_assert_cmphex(base, >=, before + X86_VIRTIO_SIZE);
        g_assert_cmphex(base, >=, VMM_MEMORY_LOW_END);
        g_assert_cmphex(seen & 1U << gsi, ==, 0);
        g_assert_true(gsi != X86_SERIAL_GSI && gsi != X86_ACPI_GSI && gsi < 24);
        seen |= 1U << gsi;
        before = base;
    }
    g_assert_cmpuint(n, ==, VMM_VIRTIO_MAX);
}

static void test_memory_map_has_all_memory(void)
{
    Rig rig;
    X86Range ranges[X86_RANGES_MAX];
    rig_init(&rig, 4ULL << 30, 1);
    unsigned n = x86_memory_map(rig.machine.memory, ranges);
    g_assert_cmpuint(n, ==, 4);
    g_assert_cmphex(ranges[2].start + ranges[2].length, ==, VMM_MEMORY_LOW_END);
    g_assert_cmphex(ranges[3].start, ==, VMM_MEMORY_HIGH_START);
    g_assert_cmphex(ranges[3].length, ==, 1ULL << 30);
    uint64_t end = 0;
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(ranges[i].start, >=, end);
        end = ranges[i].start + ranges[i].length;
    }
    rig_free(&rig);
}

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid2 *table, uint32_t function,
                                           uint32_t index)
{
    for (uint32_t i = 0; i < table->nent; i++)
        if (table->entries[i].function == function && table->entries[i].index == index)
            return &table->entries[i];
    g_assert_not_reached();
}

/* A host's table with everything set that a guest must not see. */
static struct kvm_cpuid2 *host_table(void)
{
    static const uint32_t functions[] = {0x1,        0x4,        0xa,        0xb,       0x1f,
                                         0x80000001, 0x80000008, 0x8000000a, 0x8000001e};
    struct kvm_cpuid2 *table =
        g_malloc0(sizeof *table + G_N_ELEMENTS(functions) * sizeof table->entries[0]);
    for (table->nent = 0; table->nent < G_N_ELEMENTS(functions); table->nent++)
        table->entries[table->nent] = (struct kvm_cpuid_entry2){.function = functions[table->nent],
                                                                .eax = UINT32_MAX,
                                                                .ebx = UINT32_MAX,
                                                                .ecx = UINT32_MAX,
                                                                .edx = UINT32_MAX};
    return table;
}

static void test_cpu_tells_its_topology_and_no_virtualization(void)
{
    Rig rig;
    rig_init(&rig, SMALL, 3);
    rig.arch.host_cpuid = host_table();
    struct kvm_cpuid2 *table = x86_cpuid(&rig.machine, 2);
    g_assert_cmphex(leaf(table, 0x1, 0)->ebx >> 24, ==, 2);
    g_assert_cmphex(leaf(table, 0x1, 0)->ebx >> 16 & 0xff, ==, 3);
    g_assert_cmphex(leaf(table, 0x1, 0)->ecx & 1 << 5, ==, 0);
    g_assert_cmphex(leaf(table, 0x1, 0)->ecx >> 31, ==, 1);
    g_assert_cmphex(leaf(table, 0x4, 0)->eax >> 26, ==, 2);
    g_assert_cmphex(leaf(table, 0xa, 0)->eax, ==, 0);
    g_assert_cmphex(leaf(table, 0xb, 1)->eax, ==, 2);
    g_assert_cmphex(leaf(table, 0xb, 1)->ebx, ==, 3);
    g_assert_cmphex(leaf(table, 0xb, 0)->edx, ==, 2);
    g_assert_cmphex(leaf(table, 0x80000001, 0)->ecx & 1 << 2, ==, 0);
    g_assert_cmphex(leaf(table, 0x80000008, 0)->ecx & 0xf0ff, ==, 0x2002);
    g_assert_cmphex(leaf(table, 0x8000000a, 0)->edx, ==, 0);
    for (uint32_t i = 0; i < table->nent; i++)
        g_assert_cmphex(table->entries[i].function, !=, 0x1f);
    free(table);
    g_free(rig.arch.host_cpuid);
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/arch/acpi/whole", test_acpi_tables_are_whole);
    g_test_add_func("/vmm/arch/acpi/largest", test_acpi_has_room_for_the_largest_machine);
    g_test_add_func("/vmm/arch/acpi/room", test_byte_code_does_not_outgrow_its_room);
    g_test_add_func("/vmm/arch/virtio-places", test_virtio_places_are_apart);
    g_test_add_func("/vmm/arch/memory-map", test_memory_map_has_all_memory);
    g_test_add_func("/vmm/arch/cpuid", test_cpu_tells_its_topology_and_no_virtualization);
    return g_test_run();
}
