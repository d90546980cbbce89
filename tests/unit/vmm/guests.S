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

    .section .note.GNU-stack, "", @progbits
