/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe's guest: for each step a few instructions that a stock kernel executes in its first
 * second, and the handlers they need. Each step begins at its label with the state that steps.c
 * gives it and ends with PASS, FAIL or SKIP. The code is copied to guest address PROBE_CODE, so
 * that an absolute address must be written AT(label).
 */
#include "vmm/probe/layout.h"

#define AT(label) ((label) - probe_guest_start + PROBE_CODE)

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_CACHE_OFF 0x60000000
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400
#define CR4_OSXSAVE 0x40000
#define MSR_EFER 0xc0000080
#define EFER_SCE 0x1
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SYSCALL_MASK 0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102
#define CPUID_1_ECX_CX16 (1 << 13)
#define CPUID_1_ECX_XSAVE (1 << 26)
#define CPUID_EXT_EDX_LM (1 << 29)
#define XCR0_X87_SSE 3
#define USER_CALL 39

.macro DONE answer
    movl $\answer, %eax
    outb %al, $PROBE_PORT_DONE
.endm

.macro STEP name
.globl probe_\name
.hidden probe_\name
probe_\name:
.endm

    .section .rodata
    .balign 16
    .globl probe_guest_start
    .hidden probe_guest_start
probe_guest_start:

/* The CPU as it comes out of reset, but for its address: stack, call and port I/O. */
    .code16
STEP real_mode
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $PROBE_REAL_STACK, %sp
    callw 1f
1:  popw %bx
    DONE PROBE_PASS

/* As a kernel's setup code does it: GDT, CR0.PE, far jump. */
STEP protected_mode
    cli
    lgdtl AT(gdt_pointer)
    movl %cr0, %eax
    andl $~(CR0_EM | CR0_CACHE_OFF), %eax
    orl $(CR0_PE | CR0_MP), %eax
    movl %eax, %cr0
    ljmpl $PROBE_SEL_CODE32, $AT(protected)
    .code32
protected:
    movw $PROBE_SEL_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $PROBE_STACK, %esp
    call 1f
1:  popl %ebx
    DONE PROBE_PASS

/* PAE, page tables, EFER.LME, paging, far jump; then the tables of 64-bit mode. */
STEP long_mode
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $PROBE_PML4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(EFER_LME | EFER_SCE), %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmpl $PROBE_SEL_CODE64, $AT(long)
    .code64
long:
    movw $PROBE_SEL_DATA64, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movq $PROBE_STACK, %rsp
    lidt idt_pointer(%rip)
    movw $PROBE_SEL_TSS, %ax
    ltr %ax
    movl $MSR_EFER, %ecx
    rdmsr
    testl $EFER_LMA, %eax
    jz failed
    jmp passed

/* From here on every step starts in long mode, ring 0, with interrupts off. */
STEP cpuid
    xorl %eax, %eax
    cpuid
    testl %eax, %eax
    jz failed
    movl $0x80000001, %eax
    cpuid
    testl $CPUID_EXT_EDX_LM, %edx
    jz failed
    jmp passed

STEP rdtsc
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, %rbx
    movl $100, %ecx
1:  decl %ecx
    jnz 1b
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    cmpq %rbx, %rax
    jbe failed
    jmp passed

STEP msr
    movl $MSR_KERNEL_GS_BASE, %ecx
    movl $0x89abcdef, %eax
    movl $0x4567, %edx
    wrmsr
    xorl %eax, %eax
    xorl %edx, %edx
    rdmsr
    cmpl $0x89abcdef, %eax
    jne failed
    cmpl $0x4567, %edx
    jne failed
    jmp passed

STEP port_io
    movb $0x5a, %al
    outb %al, $PROBE_PORT_ECHO
    inb $PROBE_PORT_ECHO, %al
    cmpb $0xa5, %al
    jne failed
    jmp passed

STEP mmio
    movq $PROBE_MMIO, %rbx
    movl $0x12345678, (%rbx)
    movl (%rbx), %eax
    notl %eax
    cmpl $0x12345678, %eax
    jne failed
    jmp passed

STEP lock_xadd
    movq $PROBE_SCRATCH, %rbx
    movq $40, (%rbx)
    movl $2, %eax
    lock xaddq %rax, (%rbx)
    cmpq $40, %rax
    jne failed
    cmpq $42, (%rbx)
    jne failed
    jmp passed

STEP cmpxchg16b
    movl $1, %eax
    cpuid
    testl $CPUID_1_ECX_CX16, %ecx
    jz skipped
    movq $PROBE_SCRATCH, %rsi
    movq $1, (%rsi)
    movq $2, 8(%rsi)
    movl $1, %eax
    movl $2, %edx
    movl $3, %ebx
    movl $4, %ecx
    lock cmpxchg16b (%rsi)
    jnz failed
    cmpq $3, (%rsi)
    jne failed
    cmpq $4, 8(%rsi)
    jne failed
    jmp passed

/* What the guest sets must still be set after the host ran: an emulator whose hypervisor does not
 * see XSETBV loses it with the next exit, and with it the registers that tasks save. */
STEP xsetbv
    call enable_xsave
    outb %al, $PROBE_PORT_ECHO
    xorl %ecx, %ecx
    xgetbv
    andl $XCR0_X87_SSE, %eax
    cmpl $XCR0_X87_SSE, %eax
    jne failed
    jmp passed

/* As a kernel saves and restores a task's registers, a value in XMM0 put to the test. */
STEP xsave
    call enable_xsave
    call save_xmm0
    jmp passed

STEP xrstor
    call enable_xsave
    call save_xmm0
    pxor %xmm0, %xmm0
    movl $XCR0_X87_SSE, %eax
    xorl %edx, %edx
    xrstor (%rsi)
    movq %xmm0, %rax
    movq $0x0123456789abcdef, %rbx
    cmpq %rbx, %rax
    jne failed
    jmp passed

STEP int3
    movl $0, int3_count(%rip)
    int3
    cmpl $1, int3_count(%rip)
    jne failed
    jmp passed

/* Touches a page that is absent; the handler maps it and the instruction is repeated. */
STEP page_fault
    movq $PROBE_HOLE, %rbx
    movq $77, (%rbx)
    cmpq $77, (%rbx)
    jne failed
    jmp passed

/* The host has queued PROBE_VECTOR_INTERRUPT and set RFLAGS.IF. */
STEP interrupt
    movl $100000, %ecx
1:  cmpl $1, interrupt_count(%rip)
    je passed
    pause
    decl %ecx
    jnz 1b
    jmp failed

/* To ring 3 by SYSRET, and back by SYSCALL. */
STEP syscall
    movl $MSR_STAR, %ecx
    xorl %eax, %eax
    movl $((PROBE_SEL_USER_BASE << 16) | PROBE_SEL_CODE64), %edx
    wrmsr
    movl $MSR_LSTAR, %ecx
    movl $AT(on_syscall), %eax
    xorl %edx, %edx
    wrmsr
    movl $MSR_SYSCALL_MASK, %ecx
    movl $0x200, %eax
    wrmsr
    movq $AT(user), %rcx
    movl $2, %r11d
    movq $PROBE_USER_STACK, %rsp
    swapgs
    sysretq
user:
    pushq $USER_CALL
    popq %rax
    syscall
after_syscall:
    ud2
on_syscall:
    swapgs
    movq $PROBE_STACK, %rsp
    cmpl $USER_CALL, %eax
    jne failed
    cmpq $AT(after_syscall), %rcx
    jne failed
    jmp passed

/* The host sees the exit itself. */
STEP hlt
    hlt
    jmp failed

STEP loop
    movl $PROBE_LOOP_COUNT, %ecx
1:  decq %rcx
    jnz 1b
    jmp passed

passed:
    DONE PROBE_PASS
failed:
    DONE PROBE_FAIL
skipped:
    DONE PROBE_SKIP

enable_xsave:
    movl $1, %eax
    cpuid
    testl $CPUID_1_ECX_XSAVE, %ecx
    jz skipped
    movq %cr4, %rax
    orl $(CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE), %eax
    movq %rax, %cr4
    xorl %ecx, %ecx
    xgetbv
    orl $XCR0_X87_SSE, %eax
    xsetbv
    ret

/* Leaves the area's address in RSI. */
save_xmm0:
    movq $0x0123456789abcdef, %rax
    movq %rax, %xmm0
    movq $PROBE_SCRATCH, %rsi
    movl $XCR0_X87_SSE, %eax
    xorl %edx, %edx
    xsave (%rsi)
    movq $0x0123456789abcdef, %rax
    cmpq %rax, 160(%rsi) /* XMM0's place in the legacy area */
    jne failed
    ret

/* Handlers. */
STEP on_int3
    incl int3_count(%rip)
    iretq

STEP on_interrupt
    incl interrupt_count(%rip)
    iretq

STEP on_page_fault
    pushq %rax
    movq %cr2, %rax
    cmpq $PROBE_HOLE, %rax
    jne 1f
    orq $1, (PROBE_PT + PROBE_HOLE / 4096 * 8)
    invlpg (%rax)
    popq %rax
    addq $8, %rsp /* the error code */
    iretq
1:  popq %rax
    pushq $PROBE_VECTOR_PAGE_FAULT
    jmp unexpected

    .balign PROBE_STUB_SIZE
STEP stubs
    .set vector, 0
    .rept PROBE_VECTORS
    .balign PROBE_STUB_SIZE
    pushq $vector
    jmp unexpected
    .set vector, vector + 1
    .endr
unexpected:
    popq %rdi
    outb %al, $PROBE_PORT_FAULT
1:  hlt
    jmp 1b

int3_count:
    .long 0
interrupt_count:
    .long 0

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 08 code, 32 bits */
    .quad 0x00cf93000000ffff /* 10 data */
    .quad 0x00af9b000000ffff /* 18 code, 64 bits */
    .quad 0x00cf93000000ffff /* 20 data */
    .quad 0x00cffb000000ffff /* 28 user code, 32 bits */
    .quad 0x00cff3000000ffff /* 30 user data */
    .quad 0x00affb000000ffff /* 38 user code, 64 bits */
    .quad 0x0000890000000067 | (PROBE_TSS << 16) /* 40 task state */
    .quad 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long AT(gdt)
idt_pointer:
    .word PROBE_VECTORS * 16 - 1
    .quad PROBE_IDT

    .globl probe_guest_end
    .hidden probe_guest_end
probe_guest_end:

    .section .note.GNU-stack, "", @progbits
