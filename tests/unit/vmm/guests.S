/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiny guests in real mode, each copied to guest address 0x1000 and begun there. A guest tells what
 * it found through the serial port and ends by switching the machine off, unless its end is what is
 * tested. SS is 0 and SP 0x1000: the stack grows down from the code.
 */
#define SERIAL 0x3f8
#define PM1_EVENT 0x600
#define PM1_CONTROL 0x604
#define SWITCH_OFF 0x3400 /* sleep type 5, now */
#define DATA 0x2000       /* memory that a guest may use */
#define ECHO 0xe0         /* the test's own port: reads as what was written last, turned over */

.macro GUEST name
    .globl guest_\name
    .hidden guest_\name
    .balign 16
guest_\name:
.endm

.macro END name
    .globl guest_\name\()_end
    .hidden guest_\name\()_end
guest_\name\()_end:
.endm

.macro SAY
    movw $SERIAL, %dx
    outb %al, %dx
.endm

.macro OFF
    movw $PM1_CONTROL, %dx
    movw $SWITCH_OFF, %ax
    outw %ax, %dx
1:  hlt
    jmp 1b
.endm

    .section .rodata
    .code16

GUEST hello
    movb $'h', %al
    SAY
    movb $'i', %al
    SAY
    OFF
END hello

/* Each width of in and out; what the echo port turned over comes out as four bytes. */
GUEST widths
    movb $0x12, %al
    outb %al, $ECHO
    inb $ECHO, %al
    SAY
    movw $0x1234, %ax
    outw %ax, $ECHO
    inw $ECHO, %ax
    SAY
    movb %ah, %al
    SAY
    movl $0x12345678, %eax
    outl %eax, $ECHO
    inl $ECHO, %eax
    SAY
    shrl $24, %eax
    SAY
    OFF
END widths

/* rep outs and rep ins of each width: eight bytes out, then eight bytes in and out again. */
GUEST strings
    cld
    movw $DATA, %di
    movl $0x64636261, %eax
    stosl
    movl $0x68676665, %eax
    stosl
    movw $ECHO, %dx
    movw $DATA, %si
    movw $8, %cx
    rep outsb
    movw $DATA, %si
    movw $4, %cx
    rep outsw
    movw $DATA, %si
    movw $2, %cx
    rep outsl
    movw $DATA, %di
    movw $2, %cx
    rep insb
    movw $1, %cx
    rep insw
    movw $1, %cx
    rep insl
    movw $SERIAL, %dx
    movw $DATA, %si
    movw $8, %cx
    rep outsb
    OFF
END strings

/* A port that nobody owns reads as all ones in every width. */
GUEST unknown_port
    movw $0x5000, %dx
    movl $0x12345678, %eax
    outl %eax, %dx
    inb %dx, %al
    SAY
    movw $0x5000, %dx
    inw %dx, %ax
    movb %ah, %al
    SAY
    movw $0x5000, %dx
    inl %dx, %eax
    shrl $24, %eax
    SAY
    OFF
END unknown_port

GUEST reset_keyboard
    movb $0xfe, %al
    outb %al, $0x64
1:  hlt
    jmp 1b
END reset_keyboard

GUEST reset_acpi
    movb $0x06, %al
    movw $0xcf9, %dx
    outb %al, %dx
1:  hlt
    jmp 1b
END reset_acpi

GUEST reset_fast
    movb $0x01, %al
    outb %al, $0x92
1:  hlt
    jmp 1b
END reset_fast

/* In protected mode, without an interrupt table, an exception has no handler, nor has what follows
 * it. */
GUEST triple_fault
    lidtl %cs:(no_table - guest_triple_fault + 0x1000)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    movw $0xfff8, %ax
    movw %ax, %ds
1:  hlt
    jmp 1b
no_table:
    .word 0
    .long 0
END triple_fault

/* Turns the power button's event on and waits for it; then clears it and looks again. */
GUEST power_button
    movw $(PM1_EVENT + 2), %dx
    movw $0x100, %ax
    outw %ax, %dx
    movb $'r', %al
    SAY
    movw $PM1_EVENT, %dx
1:  inw %dx, %ax
    testw $0x100, %ax
    jz 1b
    movw $0x100, %ax
    outw %ax, %dx
    inw %dx, %ax
    movb %ah, %al
    addb $'0', %al
    SAY
    OFF
END power_button

/* Counts to the serial port for ever: something to pause. */
GUEST counter
    movb $0, %al
1:  movw $SERIAL, %dx
    outb %al, %dx
    incb %al
    jmp 1b
END counter

/* What it is sent comes back, until a 'q'. */
GUEST echo
1:  movw $(SERIAL + 5), %dx
    inb %dx, %al
    testb $1, %al
    jz 1b
    movw $SERIAL, %dx
    inb %dx, %al
    cmpb $'q', %al
    je 2f
    outb %al, %dx
    jmp 1b
2:  OFF
END echo

GUEST halt
    cli
    hlt
END halt

/* From here on 32-bit code for ELF kernels at 1 MiB, entered by PVH: EBX points to the start_info.
 * Position does not matter. */
    .code32
#define FLAG 0x300000 /* memory that no kernel is loaded to */
#define PVH_MAGIC 0x336ec578

GUEST pvh
    movb $'P', %al
    SAY
    movl (%ebx), %eax
    cmpl $PVH_MAGIC, %eax
    jne 1f
    movb $'V', %al
    SAY
    movl 24(%ebx), %esi /* the command line */
    movw $SERIAL, %dx
2:  lodsb
    testb %al, %al
    jz 1f
    outb %al, %dx
    jmp 2b
1:  OFF
END pvh

/* The RSDP, where the start_info says, is one. */
GUEST pvh_acpi
    movl 32(%ebx), %esi
    movw $SERIAL, %dx
    movl $8, %ecx
1:  lodsb
    outb %al, %dx
    loop 1b
    OFF
END pvh_acpi

/* Says a and resets; then, for memory keeps its content, says b and switches off. */
GUEST pvh_reset
    movl $FLAG, %edi
    cmpl $0, (%edi)
    jne 1f
    movl $1, (%edi)
    movb $'a', %al
    SAY
    movb $0xfe, %al
    outb %al, $0x64
2:  hlt
    jmp 2b
1:  movb $'b', %al
    SAY
    OFF
END pvh_reset

/* Counts in memory and on the serial port. */
GUEST pvh_counter
    movl $FLAG, %edi
    movw $SERIAL, %dx
1:  movb (%edi), %al
    incb (%edi)
    outb %al, %dx
    jmp 1b
END pvh_counter

/* Works with the two virtio devices there are, a network device and a balloon: the first is got
 * ready, the second told of at each press of the power button, of which it waits for two. In between
 * it counts on the serial port and takes what comes there. Then it goes astray, where no code is. */
#define STATUS 0x70 /* registers of virtio over memory */
#define FEATURES_SELECT 0x24
#define FEATURES 0x20
#define BALLOON_ACTUAL 0x1104
GUEST pvh_work
    movl $FLAG, %edi
    movl $0xd0000000, %esi
    movl $0, STATUS(%esi)
    movl $1, STATUS(%esi)
    movl $3, STATUS(%esi)
    movl $1, FEATURES_SELECT(%esi) /* the upper half: version 1 */
    movl $1, FEATURES(%esi)
    movl $0xb, STATUS(%esi)
    movl $0xf, STATUS(%esi)
    movw $(PM1_EVENT + 2), %dx
    movw $0x100, %ax
    outw %ax, %dx
1:  movw $SERIAL, %dx
    inb %dx, %al
    movb (%edi), %al
    incb (%edi)
    outb %al, %dx
    movw $PM1_EVENT, %dx
    inw %dx, %ax
    testw $0x100, %ax
    jz 1b
    movw $0x100, %ax
    outw %ax, %dx
    incl 4(%edi)
    movl 4(%edi), %eax
    movl %eax, BALLOON_ACTUAL(%esi)
    cmpl $2, %eax
    jb 1b
    movl $0xc8000000, %eax
    jmp *%eax
END pvh_work

/* Tells of its balloon, behind a network device, for ever. */
GUEST pvh_flood
    movl $0xd0000000, %esi
1:  movl $1, BALLOON_ACTUAL(%esi)
    jmp 1b
END pvh_flood

/* Reads and writes registers where nobody is, in every width, and the first virtio device's magic. */
GUEST pvh_mmio
    movl $0xc8000000, %edi
    movw $SERIAL, %dx
    movl $0x12345678, (%edi)
    movb (%edi), %al
    outb %al, %dx
    movw 1(%edi), %ax
    outb %al, %dx
    movl 3(%edi), %eax
    outb %al, %dx
    movl $0xd0000000, %esi
    movl (%esi), %eax
    outb %al, %dx
    OFF
END pvh_mmio

/* Goes on where there is nothing to be executed, which no KVM can do. */
GUEST pvh_nowhere
    movb $'n', %al
    SAY
    movl $0xc8000000, %eax
    jmp *%eax
END pvh_nowhere

/* Does what a list in memory says (vm-driver.h), line by line, to its end. */
#define LIST 0x400000
#define IDT 0x3f0000
#define GDT 0x3f1000
#define STACK 0x3f4000
#define INTERRUPTS 0x3f5000 /* how many it was interrupted by */
#define VECTOR 0x40
#define APIC_EOI 0xfee000b0
#define KERNEL 0x100000

GUEST pvh_driver
    movl $STACK, %esp
    movl $0x0000ffff, GDT + 8 /* flat code */
    movl $0x00cf9b00, GDT + 12
    pushl $GDT
    pushw $15
    lgdtl (%esp)
    pushl $8
    pushl $(1f - guest_pvh_driver + KERNEL)
    lretl
1:  movl $(8f - guest_pvh_driver + 0x80000), IDT + 8 * VECTOR /* an interrupt gate */
    movl $(KERNEL + 0x8e00), IDT + 8 * VECTOR + 4
    pushl $IDT
    pushw $(8 * VECTOR + 7)
    lidtl (%esp)
    movl $LIST, %esi
2:  movl 4(%esi), %edi  /* address */
    movl 8(%esi), %ecx  /* mask */
    movl 12(%esi), %edx /* value */
    movl (%esi), %eax
    addl $16, %esi
    cmpl $1, %eax
    je 4f
    cmpl $2, %eax
    je 5f
    cmpl $3, %eax
    je 6f
    OFF
4:  movl %edx, (%edi) /* write */
    jmp 2b
5:  movl (%edi), %eax /* wait until it is so */
    andl %ecx, %eax
    cmpl %edx, %eax
    jne 5b
    jmp 2b
6:  cli               /* wait for so many interrupts */
    cmpl %edx, INTERRUPTS
    jae 2b
    sti
    hlt
    jmp 6b
/* Only the sleep is interrupted, and where it was is known: a KVM that emulates knows no iret in
 * this mode. */
8:  incl INTERRUPTS
    movl $0, APIC_EOI
    addl $12, %esp
    jmp 6b
END pvh_driver

/* Wakes a second CPU, which says its number and then counts in memory for ever. The first says so
 * each time when it sees that the other moved on. */
#define SECOND 0x8000 /* where it begins, in real mode */
#define COUNTER 0x9000
#define APIC_COMMAND 0xfee00300
#define APIC_INIT_OTHERS 0xc4500
#define APIC_START_OTHERS (0xc4600 + SECOND / 0x1000)

GUEST pvh_two
    movl $(8f - guest_pvh_two + KERNEL), %esi
    movl $SECOND, %edi
    movl $(9f - 8f), %ecx
    rep movsb
    movl $APIC_INIT_OTHERS, APIC_COMMAND
    movl $APIC_START_OTHERS, APIC_COMMAND
    xorl %ebx, %ebx
    movw $SERIAL, %dx
1:  movl COUNTER, %eax
    cmpl %eax, %ebx
    je 1b
    movl %eax, %ebx
    movb $'-', %al
    outb %al, %dx
    jmp 1b
    .code16
8:  xorw %ax, %ax
    movw %ax, %ds
    movl $1, %eax
    cpuid
    shrl $24, %ebx /* the first APIC's number is 0 */
    movb %bl, %al
    addb $'0', %al
    SAY
3:  incl COUNTER
    jmp 3b
9:
    .code32
END pvh_two

/* Long mode by Linux's protocol: RSI points to the zero page. */
    .code64
GUEST long_mode
    movw $SERIAL, %dx
    movb $'L', %al
    outb %al, %dx
    movl 0x202(%rsi), %eax /* "HdrS" */
    movl $4, %ecx
1:  outb %al, %dx
    shrl $8, %eax
    decl %ecx
    jnz 1b
    movw $PM1_CONTROL, %dx
    movw $SWITCH_OFF, %ax
    outw %ax, %dx
2:  hlt
    jmp 2b
END long_mode

    .section .note.GNU-stack, "", @progbits
