/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share; see arch/arch.h for what others use. */
#pragma once

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/kvm_state.h"
#include "vmm/power.h"

#define X86_CPUID_MAX 256

struct VmmArch {
    VmmPower power;
    VmmSerial *serial;
    struct kvm_cpuid2 *host_cpuid; /* what KVM can offer, asked once */
    struct kvm_msr_list *msrs;     /* those of a snapshot, asked when one is made */
    X86State *loaded;              /* of a snapshot, to be applied; NULL: nothing */
};

/* The first `length` bytes of a table of CPUID leaves, as the vCPU of that index sees them. The
 * caller frees it. NULL: no memory. */
struct kvm_cpuid2 *x86_cpuid(const VmmMachine *machine, unsigned index);

/* Where a loaded kernel begins, and in what mode. */
typedef struct {
    uint64_t entry;
    uint64_t end; /* the first address behind all that it occupies, at its start */
    bool is_pvh;  /* 32-bit protected mode with a start_info, else 64-bit with a zero page */
    uint8_t header[0x90]; /* a bzImage's setup header, zeros otherwise; from offset 0x1f1 */
} X86Kernel;

/* Loaders: 0, -ENOEXEC with no error text when the file is not of that kind, else an error. */
int x86_load_bzimage(VmmMemory *memory, int fd, X86Kernel *kernel, VmmError *error);
int x86_load_elf(VmmMemory *memory, int fd, X86Kernel *kernel, VmmError *error);

/* Reads exactly `length` bytes of the file into guest memory. -ENODATA: the file is too short;
 * -EFAULT: not the guest's memory. */
int x86_read_guest(VmmMemory *memory, int fd, uint64_t offset, uint64_t gpa, uint64_t length);

typedef struct {
    uint64_t start, length;
    bool is_reserved;
} X86Range;
#define X86_RANGES_MAX 8

/* The memory map to hand to a kernel, in order; its number of ranges. */
unsigned x86_memory_map(const VmmMemory *memory, X86Range ranges[X86_RANGES_MAX]);

/* ACPI's tables, at X86_ACPI. */
int x86_write_acpi(const VmmMachine *machine, unsigned n_virtio, VmmError *error);

/* Registers of all vCPUs: the first begins at the kernel's entry, the others wait for it. */
int x86_set_boot_registers(VmmMachine *machine, const X86Kernel *kernel, VmmError *error);
/* As after a reset, for a test's code in real mode at that address below 64 KiB. */
int x86_set_real_mode(VmmMachine *machine, uint16_t address, VmmError *error);

/* Room for two MSRs, as KVM takes them. */
typedef union {
    struct kvm_msrs msrs;
    uint8_t room[sizeof(struct kvm_msrs) + 2 * sizeof(struct kvm_msr_entry)];
} X86FewMsrs;
