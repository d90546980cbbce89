/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vCPU tells of itself: all that KVM offers, but for virtualization and performance
 * counters, and with a topology of one package whose cores have one thread each. A vCPU's number is
 * its APIC's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/x86.h"

#define LEAF1_ECX_VMX (1U << 5)
#define LEAF1_ECX_TSC_DEADLINE (1U << 24)
#define LEAF1_ECX_HYPERVISOR (1U << 31)
#define LEAF1_EDX_HTT (1U << 28)
#define EXT1_ECX_LEGACY_CORES (1U << 1)
#define EXT1_ECX_SVM (1U << 2)
#define LEAF_TOPOLOGY 0xb
#define LEAF_TOPOLOGY_2 0x1f
#define TOPOLOGY_THREADS 0x100
#define TOPOLOGY_CORES 0x201
#define TOPOLOGY_LEVELS 2
#define CACHE_LEVEL_3 3

typedef struct {
    unsigned index, n;
    unsigned bits; /* of an APIC's number that tell cores apart */
    bool has_deadline;
} Topology;

static uint32_t with_field(uint32_t word, unsigned shift, unsigned width, uint32_t value)
{
    uint32_t mask = ((1U << width) - 1) << shift;
    return (word & ~mask) | (value << shift & mask);
}

static void set_basic(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    leaf->ebx = with_field(leaf->ebx, 24, 8, topology->index);
    leaf->ebx = with_field(leaf->ebx, 16, 8, topology->n);
    leaf->ecx = (leaf->ecx | LEAF1_ECX_HYPERVISOR) & ~LEAF1_ECX_VMX;
    if (topology->has_deadline)
        leaf->ecx |= LEAF1_ECX_TSC_DEADLINE;
    leaf->edx = topology->n > 1 ? leaf->edx | LEAF1_EDX_HTT : leaf->edx & ~LEAF1_EDX_HTT;
}

/* Intel's leaf 4 and AMD's 0x8000001d have the same form but for the number of cores. */
static void set_cache(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    bool is_shared = (leaf->eax >> 5 & 7) >= CACHE_LEVEL_3;
    if ((leaf->eax & 0x1f) == 0)
        return; /* the end of the list */
    leaf->eax = with_field(leaf->eax, 14, 12, is_shared ? topology->n - 1 : 0);
    if (leaf->function == 4)
        leaf->eax = with_field(leaf->eax, 26, 6, topology->n - 1);
}

static void clear(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    (void)topology;
    leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
}

static void set_extended(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    leaf->ecx &= ~(EXT1_ECX_SVM | EXT1_ECX_LEGACY_CORES);
    if (topology->n > 1)
        leaf->ecx |= EXT1_ECX_LEGACY_CORES;
}

static void set_core_count(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    leaf->ecx = with_field(leaf->ecx, 0, 8, topology->n - 1);
    leaf->ecx = with_field(leaf->ecx, 12, 4, topology->bits);
}

static void set_core_number(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    leaf->eax = leaf->ebx = topology->index;
    leaf->ecx = 0;
}

static const struct {
    uint32_t function;
    void (*set)(struct kvm_cpuid_entry2 *leaf, const Topology *topology);
} CHANGES[] = {
    {0x1, set_basic},
    {0x4, set_cache},
    {0xa, clear}, /* performance counters */
    {0x80000001, set_extended},
    {0x80000008, set_core_count},
    {0x8000000a, clear}, /* SVM */
    {0x8000001d, set_cache},
    {0x8000001e, set_core_number},
};

static void change(struct kvm_cpuid_entry2 *leaf, const Topology *topology)
{
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++)
        if (CHANGES[i].function == leaf->function)
            CHANGES[i].set(leaf, topology);
}

static unsigned bits_for(unsigned n)
{
    unsigned bits = 0;
    while (1U << bits < n)
        bits++;
    return bits;
}

/* Threads, then cores, then nothing more. */
static void add_topology(struct kvm_cpuid2 *table, const Topology *topology)
{
    for (uint32_t level = 0; level <= TOPOLOGY_LEVELS; level++) {
        struct kvm_cpuid_entry2 *leaf = &table->entries[table->nent++];
        *leaf = (struct kvm_cpuid_entry2){
            .function = LEAF_TOPOLOGY,
            .index = level,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .ecx = level == 0   ? TOPOLOGY_THREADS
                   : level == 1 ? TOPOLOGY_CORES
                                : level,
            .edx = topology->index,
            .eax = level == 1 ? topology->bits : 0,
            .ebx = level == 0   ? 1
                   : level == 1 ? topology->n
                                : 0,
        };
    }
}

struct kvm_cpuid2 *x86_cpuid(const VmmMachine *machine, unsigned index)
{
    const struct kvm_cpuid2 *host = machine->arch->host_cpuid;
    unsigned n = machine->n_planned;
    Topology topology = {
        .index = index,
        .n = n,
        .bits = bits_for(n),
        .has_deadline = vmm_kvm_can(&machine->kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
    };
    struct kvm_cpuid2 *table = calloc(1, sizeof *table + (host->nent + TOPOLOGY_LEVELS + 1) *
                                                             sizeof(struct kvm_cpuid_entry2));
    if (table == NULL)
        return NULL;
    bool has_topology = false;
    for (uint32_t i = 0; i < host->nent; i++) {
        const struct kvm_cpuid_entry2 *from = &host->entries[i];
        has_topology = has_topology || from->function == LEAF_TOPOLOGY;
        if (from->function == LEAF_TOPOLOGY || from->function == LEAF_TOPOLOGY_2)
            continue;
        struct kvm_cpuid_entry2 *leaf = &table->entries[table->nent++];
        *leaf = *from;
        change(leaf, &topology);
    }
    if (has_topology)
        add_topology(table, &topology);
    return table;
}

int vmm_arch_set_cpuid(VmmVcpu *vcpu, VmmError *error)
{
    struct kvm_cpuid2 *table = x86_cpuid(vcpu->machine, vcpu->index);
    if (table == NULL)
        return vmm_error_errno(error, -ENOMEM, "no room for CPUID");
    int failed = ioctl(vcpu->fd, KVM_SET_CPUID2, table) < 0 ? -errno : 0;
    free(table);
    return failed ? vmm_error_errno(error, failed, "KVM does not take CPUID") : 0;
}
