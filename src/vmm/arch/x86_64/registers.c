/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the first instruction finds the CPU. Linux's 64-bit protocol wants long mode with the first
 * GiB mapped to itself and the zero page in RSI; PVH wants flat 32-bit protected mode with the
 * start_info in EBX. The other vCPUs wait for the first one's INIT and SIPI.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"

#define CR0_PE 0x1
#define CR0_ET 0x10
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define RFLAGS_FIXED 0x2
#define PAGE_TABLE 0x3  /* present, writable */
#define PAGE_LARGE 0x83 /* and 2 MiB */
#define TYPE_CODE 0xb
#define TYPE_DATA 0x3
#define TYPE_TASK 0xb
#define LVT_LINT0 0x350
#define LVT_LINT1 0x360
#define DELIVER_NMI 0x400
#define DELIVER_EXTERNAL 0x700
#define MSR_MISC_ENABLE 0x1a0
#define MISC_FAST_STRINGS 0x1
#define MSR_MTRR_DEFAULT 0x2ff
#define MTRR_ON_WRITE_BACK 0x806

static uint64_t descriptor(const struct kvm_segment *segment)
{
    uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;
    uint64_t base = segment->base;
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)segment->type << 40 |
           (uint64_t)segment->s << 44 | (uint64_t)segment->dpl << 45 |
           (uint64_t)segment->present << 47 | (limit >> 16 & 0xf) << 48 |
           (uint64_t)segment->l << 53 | (uint64_t)segment->db << 54 | (uint64_t)segment->g << 55 |
           (base >> 24 & 0xff) << 56;
}

static int write_gdt(VmmMemory *memory, struct kvm_sregs *sregs)
{
    uint64_t gdt[X86_TASK / 8 + 2] = {0};
    gdt[X86_CODE / 8] = descriptor(&sregs->cs);
    gdt[X86_DATA / 8] = descriptor(&sregs->ds);
    gdt[X86_TASK / 8] = descriptor(&sregs->tr);
    sregs->gdt = (struct kvm_dtable){.base = X86_GDT, .limit = sizeof gdt - 1};
    sregs->idt = (struct kvm_dtable){0};
    return vmm_memory_write(memory, X86_GDT, gdt, sizeof gdt);
}

/* The first GiB, with large pages. */
static int write_page_tables(VmmMemory *memory)
{
    uint64_t *pml4 = vmm_memory_at(memory, X86_PML4, VMM_MEMORY_PAGE);
    uint64_t *pdpt = vmm_memory_at(memory, X86_PDPT, VMM_MEMORY_PAGE);
    uint64_t *pd = vmm_memory_at(memory, X86_PD, VMM_MEMORY_PAGE);
    if (pml4 == NULL || pdpt == NULL || pd == NULL)
        return -EFAULT;
    memset(pml4, 0, VMM_MEMORY_PAGE);
    memset(pdpt, 0, VMM_MEMORY_PAGE);
    pml4[0] = X86_PDPT | PAGE_TABLE;
    pdpt[0] = X86_PD | PAGE_TABLE;
    for (uint64_t i = 0; i < VMM_MEMORY_PAGE / sizeof *pd; i++)
        pd[i] = i << 21 | PAGE_LARGE;
    return 0;
}

static void set_flat_segments(struct kvm_sregs *sregs, bool is_long)
{
    struct kvm_segment data = {
        .limit = 0xffffffff,
        .selector = X86_DATA,
        .type = TYPE_DATA,
        .present = 1,
        .s = 1,
        .g = 1,
        .db = 1,
    };
    sregs->ds = sregs->es = sregs->ss = sregs->fs = sregs->gs = data;
    sregs->cs = data;
    sregs->cs.selector = X86_CODE;
    sregs->cs.type = TYPE_CODE;
    sregs->cs.l = is_long;
    sregs->cs.db = !is_long;
    sregs->tr = (struct kvm_segment){
        .limit = 0x67,
        .selector = X86_TASK,
        .type = TYPE_TASK,
        .present = 1,
    };
    sregs->ldt = (struct kvm_segment){.unusable = 1};
}

static int enter_long_mode(VmmMemory *memory, struct kvm_sregs *sregs)
{
    set_flat_segments(sregs, true);
    sregs->cr0 = CR0_PE | CR0_ET | CR0_PG;
    sregs->cr3 = X86_PML4;
    sregs->cr4 = CR4_PAE;
    sregs->efer = EFER_LME | EFER_LMA;
    int failed = write_page_tables(memory);
    return failed ? failed : write_gdt(memory, sregs);
}

static int enter_protected_mode(VmmMemory *memory, struct kvm_sregs *sregs)
{
    set_flat_segments(sregs, false);
    sregs->cr0 = CR0_PE | CR0_ET;
    sregs->cr3 = sregs->cr4 = sregs->efer = 0;
    return write_gdt(memory, sregs);
}

/* The lines that firmware leaves for the old interrupt controller and for NMIs. */
static int set_local_apic(const VmmVcpu *vcpu)
{
    struct kvm_lapic_state lapic;
    uint32_t external = DELIVER_EXTERNAL, nmi = DELIVER_NMI;
    if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
        return -errno;
    memcpy(lapic.regs + LVT_LINT0, &external, sizeof external);
    memcpy(lapic.regs + LVT_LINT1, &nmi, sizeof nmi);
    return ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0 ? -errno : 0;
}

/* All memory can be cached, as a kernel expects that firmware said. */
static int set_boot_msrs(const VmmVcpu *vcpu)
{
    X86FewMsrs few = {.msrs.nmsrs = 2};
    few.msrs.entries[0] =
        (struct kvm_msr_entry){.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS};
    few.msrs.entries[1] =
        (struct kvm_msr_entry){.index = MSR_MTRR_DEFAULT, .data = MTRR_ON_WRITE_BACK};
    int done = ioctl(vcpu->fd, KVM_SET_MSRS, &few);
    return done < 0 ? -errno : done == 2 ? 0 : -EIO;
}

static int set_entry(const VmmVcpu *vcpu, const X86Kernel *kernel)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = kernel->entry, .rflags = RFLAGS_FIXED, .rsp = X86_STACK};
    if (kernel->is_pvh)
        regs.rbx = X86_START_INFO;
    else
        regs.rsi = X86_ZERO_PAGE;
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        return -errno;
    VmmMemory *memory = vcpu->machine->memory;
    int failed =
        kernel->is_pvh ? enter_protected_mode(memory, &sregs) : enter_long_mode(memory, &sregs);
    if (failed)
        return failed;
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return -errno;
    return 0;
}

int x86_set_boot_registers(VmmMachine *machine, const X86Kernel *kernel, VmmError *error)
{
    int failed = 0;
    for (unsigned i = 0; !failed && i < machine->n_vcpus; i++) {
        failed = set_local_apic(&machine->vcpus[i]);
        if (!failed)
            failed = set_boot_msrs(&machine->vcpus[i]);
    }
    if (!failed)
        failed = set_entry(&machine->vcpus[0], kernel);
    return failed ? vmm_error_errno(error, failed, "KVM does not take the registers") : 0;
}

int x86_set_real_mode(VmmMachine *machine, uint16_t address, VmmError *error)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = address, .rflags = RFLAGS_FIXED, .rsp = address};
    const VmmVcpu *vcpu = &machine->vcpus[0];
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        return vmm_error_errno(error, -errno, "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return vmm_error_errno(error, -errno, "KVM does not take the registers");
    return 0;
}
