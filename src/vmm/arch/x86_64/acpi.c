/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables by which a stock kernel finds what there is: MADT for vCPUs and interrupts, FADT for
 * the way off and the power button, DSDT for the virtio devices. The machine is not of the
 * hardware-reduced kind: PM1 with its fixed power button needs no byte code to be run, and every
 * kernel has its driver.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"

#define HEADER_SIZE 36
#define RSDP_SIZE 36
#define FADT_SIZE 276
#define FADT_REVISION 6
#define FADT_REVISION_MINOR 3
#define FACS_SIZE 64
#define FADT_FLAGS                                                                                 \
    (1U << 0 /* WBINVD */ | 1U << 2 /* C1 */ | 1U << 5 /* no sleep button */ |                     \
     1U << 6 /* no clock alarm */ | 1U << 10 /* reset register */ | 1U << 12 /* no display */)
#define BOOT_FLAGS (1U << 2 /* no VGA */ | 1U << 4 /* no ASPM */ | 1U << 5 /* no CMOS clock */)
#define MADT_HAS_PIC 1
#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2
#define MADT_LAPIC_NMI 4
#define LEVEL_ACTIVE_HIGH 0x000d
#define SPACE_PORT 1
#define ACCESS_BYTE 1

/* Where the next table goes, and the tables that the XSDT lists. */
typedef struct {
    Aml out;
    uint64_t fadt, madt;
} Tables;

static void align(Aml *out, size_t alignment)
{
    while (out->length % alignment && !out->is_full)
        aml_number(out, 0, 1);
}

static size_t begin_table(Aml *out, const char *signature, uint8_t revision)
{
    align(out, 16);
    size_t start = out->length;
    aml_bytes(out, signature, 4);
    aml_number(out, 0, 4); /* length */
    aml_number(out, revision, 1);
    aml_number(out, 0, 1); /* checksum */
    aml_bytes(out, "STEAD STEADVMM", 14);
    aml_number(out, 1, 4);
    aml_bytes(out, "STED", 4);
    aml_number(out, 1, 4);
    return start;
}

static uint8_t checksum(const uint8_t *bytes, size_t length)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

static uint64_t end_table(Aml *out, size_t start)
{
    uint32_t length = (uint32_t)(out->length - start);
    if (out->is_full)
        return 0;
    memcpy(out->bytes + start + 4, &length, sizeof length);
    out->bytes[start + 9] = checksum(out->bytes + start, length);
    return X86_ACPI + start;
}

static void add_virtio(Aml *out, unsigned number)
{
    char name[5];
    uint64_t base = 0;
    uint32_t gsi = 0;
    vmm_arch_virtio_place(number, &base, &gsi);
    snprintf(name, sizeof name, "VR%02X", number & 0xff);
    size_t device = aml_device(out, name);
    aml_name(out, "_HID");
    aml_string(out, "LNRO0005");
    aml_name(out, "_UID");
    aml_integer(out, number);
    aml_name(out, "_CRS");
    aml_resources(out, (uint32_t)base, X86_VIRTIO_SIZE, gsi);
    aml_end(out, device);
}

static uint64_t add_dsdt(Aml *out, unsigned n_virtio)
{
    size_t start = begin_table(out, "DSDT", 2);
    aml_name(out, "_S5_");
    size_t package = aml_package(out, 4);
    aml_integer(out, VMM_POWER_SLEEP_TYPE_OFF);
    for (unsigned i = 0; i < 3; i++)
        aml_integer(out, 0);
    aml_end(out, package);
    size_t scope = aml_scope(out, "_SB_");
    for (unsigned i = 0; i < n_virtio; i++)
        add_virtio(out, i);
    aml_end(out, scope);
    return end_table(out, start);
}

/* The global lock and the waking vector live here; nothing uses them. */
static uint64_t add_facs(Aml *out)
{
    align(out, FACS_SIZE);
    size_t start = out->length;
    aml_bytes(out, "FACS", 4);
    aml_number(out, FACS_SIZE, 4);
    while (out->length < start + FACS_SIZE && !out->is_full)
        aml_number(out, 0, 1);
    return X86_ACPI + start;
}

static uint64_t add_fadt(Aml *out, uint64_t facs, uint64_t dsdt)
{
    enum {
        FACS = 36,
        DSDT = 40,
        INTERRUPT = 46,
        PM1_EVENT = 56,
        PM1_CONTROL = 64,
        EVENT_LENGTH = 88,
        CONTROL_LENGTH = 89,
        LATENCY_2 = 96,
        LATENCY_3 = 98,
        BOOT = 109,
        FLAGS = 112,
        RESET = 116,
        RESET_VALUE = 128,
        MINOR = 131,
        X_DSDT = 140
    };
    static const uint8_t no_latency[] = {0xff, 0xff, 0xff, 0xff};
    uint8_t table[FADT_SIZE] = {0};
    size_t start = begin_table(out, "FACP", FADT_REVISION);
    Aml fields = {.bytes = table, .room = sizeof table};
#define PUT(at, value, size) (fields.length = (at), aml_number(&fields, (value), (size)))
    PUT(FACS, facs, 4);
    PUT(DSDT, dsdt, 4);
    PUT(INTERRUPT, X86_ACPI_GSI, 2);
    PUT(PM1_EVENT, VMM_POWER_PM1_EVENT, 4);
    PUT(PM1_CONTROL, VMM_POWER_PM1_CONTROL, 4);
    PUT(EVENT_LENGTH, 4, 1);
    PUT(CONTROL_LENGTH, 2, 1);
    memcpy(table + LATENCY_2, no_latency, sizeof no_latency);
    PUT(BOOT, BOOT_FLAGS, 2);
    PUT(FLAGS, FADT_FLAGS, 4);
    PUT(RESET, SPACE_PORT, 1);
    PUT(RESET + 1, 8, 1);
    PUT(RESET + 3, ACCESS_BYTE, 1);
    PUT(RESET + 4, VMM_POWER_RESET_PORT, 8);
    PUT(RESET_VALUE, VMM_POWER_RESET_VALUE, 1);
    PUT(MINOR, FADT_REVISION_MINOR, 1);
    PUT(X_DSDT, dsdt, 8);
#undef PUT
    aml_bytes(out, table + HEADER_SIZE, sizeof table - HEADER_SIZE);
    return end_table(out, start);
}

static uint64_t add_madt(Aml *out, unsigned n_vcpus)
{
    size_t start = begin_table(out, "APIC", 5);
    aml_number(out, X86_LAPIC, 4);
    aml_number(out, MADT_HAS_PIC, 4);
    for (unsigned i = 0; i < n_vcpus; i++) {
        const uint8_t lapic[] = {MADT_LAPIC, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0};
        aml_bytes(out, lapic, sizeof lapic);
    }
    const uint8_t ioapic[] = {MADT_IOAPIC, 12, 0, 0};
    aml_bytes(out, ioapic, sizeof ioapic);
    aml_number(out, X86_IOAPIC, 4);
    aml_number(out, 0, 4); /* its first line */
    const uint8_t acpi_line[] = {MADT_OVERRIDE,     10, 0, X86_ACPI_GSI, X86_ACPI_GSI, 0, 0, 0,
                                 LEVEL_ACTIVE_HIGH, 0};
    aml_bytes(out, acpi_line, sizeof acpi_line);
    const uint8_t nmi[] = {MADT_LAPIC_NMI, 6, 0xff, 0, 0, 1};
    aml_bytes(out, nmi, sizeof nmi);
    return end_table(out, start);
}

static uint64_t add_xsdt(Aml *out, const Tables *tables)
{
    size_t start = begin_table(out, "XSDT", 1);
    aml_number(out, tables->fadt, 8);
    aml_number(out, tables->madt, 8);
    return end_table(out, start);
}

static void fill_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
    enum { OLD_SIZE = 20 };
    Aml out = {.bytes = rsdp, .room = RSDP_SIZE};
    aml_bytes(&out, "RSD PTR ", 8);
    aml_number(&out, 0, 1); /* checksum of the old part */
    aml_bytes(&out, "STEAD ", 6);
    aml_number(&out, 2, 1);
    aml_number(&out, 0, 4); /* no RSDT */
    aml_number(&out, RSDP_SIZE, 4);
    aml_number(&out, xsdt, 8);
    aml_number(&out, 0, 4);
    rsdp[8] = checksum(rsdp, OLD_SIZE);
    rsdp[32] = checksum(rsdp, RSDP_SIZE);
}

int x86_write_acpi(const VmmMachine *machine, unsigned n_virtio, VmmError *error)
{
    uint8_t *room = vmm_memory_at(machine->memory, X86_ACPI, X86_ACPI_MAX);
    if (room == NULL)
        return vmm_error(error, -EFAULT, "no memory for ACPI's tables");
    Tables tables = {.out = {.bytes = room, .room = X86_ACPI_MAX, .length = RSDP_SIZE}};
    uint64_t dsdt = add_dsdt(&tables.out, n_virtio);
    uint64_t facs = add_facs(&tables.out);
    tables.fadt = add_fadt(&tables.out, facs, dsdt);
    tables.madt = add_madt(&tables.out, machine->n_vcpus);
    uint64_t xsdt = add_xsdt(&tables.out, &tables);
    if (tables.out.is_full)
        return vmm_error(error, -ENOSPC, "ACPI's tables do not fit into their place");
    fill_rsdp(room, xsdt);
    return 0;
}
