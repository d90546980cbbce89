/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a snapshot's state, in a machine of two vCPUs with one of each device and without a
 * KVM: as a whole file; as the sections behind its header, whose checksum would keep a fuzzer out;
 * and, where they begin with an E, as changes of sections that are right, three bytes each: where,
 * and what is turned over there. What is taken, the devices work with.
 */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "fuzz.h"
#include "vmm/arch/x86_64/x86.h"
#include "vmm/snapshot.h"
#include "zoo.h"

#define VCPUS 2
#define LEAVES 3
#define MSRS 4
#define EDIT 3 /* bytes */

/* --- the machine --- */

typedef struct {
    VmmVm vm;
    VmmVcpu vcpus[VCPUS];
    Animal *zoo[ZOO_N];
} Fixture;

static void set_nothing(void *owner, bool level)
{
    (void)owner;
    (void)level;
}

static void add_arch(VmmMachine *machine, VmmSerial *serial)
{
    VmmArch *arch = calloc(1, sizeof *arch);
    arch->serial = serial;
    arch->power.set_interrupt = set_nothing;
    arch->host_cpuid =
        calloc(1, sizeof(struct kvm_cpuid2) + LEAVES * sizeof(struct kvm_cpuid_entry2));
    arch->host_cpuid->nent = LEAVES;
    for (uint32_t i = 0; i < LEAVES; i++)
        arch->host_cpuid->entries[i].function = i;
    machine->arch = arch;
}

static void fixture_init(Fixture *fixture)
{
    *fixture = (Fixture){0};
    VmmMachine *machine = &fixture->vm.machine;
    machine->kvm = (VmmKvm){.device = -1, .vm = -1};
    machine->n_vcpus = machine->n_planned = VCPUS;
    machine->vcpus = fixture->vcpus;
    add_arch(machine, &fixture->vm.serial);
    for (unsigned i = 0; i < VCPUS; i++)
        fixture->vcpus[i] = (VmmVcpu){.machine = machine, .index = i, .fd = -1};
    for (unsigned i = 0; i < ZOO_N; i++) {
        fixture->zoo[i] = animal_new(i);
        fixture->vm.slots[i].mmio = fixture->zoo[i]->rig->mmio;
    }
    fixture->vm.n_slots = ZOO_N;
    fixture->vm.memory = fixture->zoo[0]->rig->memory;
}

static void fixture_clear(Fixture *fixture)
{
    for (unsigned i = 0; i < ZOO_N; i++)
        animal_free(fixture->zoo[i]);
    vmm_arch_free(&fixture->vm.machine);
}

/* --- sections that are right --- */

static void put_kvm(const VmmMachine *machine, VmmStateWriter *writer)
{
    X86State *state = x86_state_new(machine);
    for (uint32_t i = 0; i < KVM_NR_IRQCHIPS; i++)
        state->chips[i].chip_id = i;
    for (unsigned i = 0; i < VCPUS; i++) {
        state->vcpus[i].msrs = x86_new_msrs(MSRS);
        state->vcpus[i].msrs->nmsrs = MSRS;
    }
    x86_state_put(state, writer);
    x86_state_free(state);
}

static void put_all(const Fixture *fixture, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "machine", 1);
    vmm_state_put_u64(writer, vmm_memory_size(fixture->vm.memory));
    vmm_state_put_u32(writer, VCPUS);
    vmm_state_put_u32(writer, ZOO_N);
    for (unsigned i = 0; i < ZOO_N; i++)
        vmm_state_put_u32(writer, vmm_mmio_device(fixture->vm.slots[i].mmio)->ops->id);
    vmm_state_end(writer);
    put_kvm(&fixture->vm.machine, writer);
    vmm_serial_save(&fixture->vm.serial, writer);
    vmm_power_save(&fixture->vm.machine.arch->power, writer);
    for (unsigned i = 0; i < ZOO_N; i++) {
        vmm_mmio_pause(fixture->vm.slots[i].mmio);
        g_assert_cmpint(vmm_mmio_save(fixture->vm.slots[i].mmio, writer), ==, 0);
    }
    g_assert_cmpint(writer->failed, ==, 0);
    g_assert_cmpuint(writer->length, <=, G_MAXUINT16);
}

/* --- attempts --- */

static void check_reader(const VmmStateReader *reader)
{
    g_assert_cmpuint(reader->at, <=, reader->length);
    g_assert_true((reader->failed == 0) == (reader->why.text[0] == '\0'));
}

static void check_taken(const Fixture *fixture)
{
    const X86State *loaded = fixture->vm.machine.arch->loaded;
    VmmSerial serial = fixture->vm.serial;
    uint8_t value = 0;
    for (unsigned i = 0; i < VCPUS; i++)
        g_assert_cmpuint(loaded->vcpus[i].msrs->nmsrs, <=, X86_MSRS_MAX);
    g_assert_cmpuint(serial.fifo_used, <=, VMM_SERIAL_FIFO);
    while (vmm_serial_room(&serial) < VMM_SERIAL_FIFO)
        vmm_serial_ops.read(&serial, 0, &value, 1), serial.line_control = 0;
    for (unsigned i = 0; i < ZOO_N; i++) {
        vmm_mmio_resume(fixture->vm.slots[i].mmio);
        animal_run(fixture->zoo[i]);
    }
}

static int try_sections(Fixture *fixture, const uint8_t *data, size_t size)
{
    VmmStateReader reader;
    vmm_state_reader_init(&reader, data, size);
    int failed = vmm_snapshot_read(&fixture->vm, &reader);
    check_reader(&reader);
    if (!failed)
        check_taken(fixture);
    return failed;
}

static void try_edits(Fixture *fixture, const uint8_t *data, size_t size)
{
    VmmStateWriter writer = {0};
    gboolean are_right = size < EDIT;
    put_all(fixture, &writer);
    for (; size >= EDIT; data += EDIT, size -= EDIT)
        writer.bytes[(data[0] | data[1] << 8) % writer.length] ^= data[2];
    int failed = try_sections(fixture, writer.bytes, writer.length);
    g_assert_true(!are_right || failed == 0);
    vmm_state_writer_free(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VmmStateReader reader;
    VmmError error = {""};
    Fixture fixture;
    if (vmm_snapshot_open(&reader, data, size, &error) == 0)
        check_reader(&reader);
    else
        g_assert_cmpstr(error.text, !=, "");
    fixture_init(&fixture);
    if (size > 0 && data[0] == 'E')
        try_edits(&fixture, data + 1, size - 1);
    else
        try_sections(&fixture, data, size);
    fixture_clear(&fixture);
    return 0;
}
