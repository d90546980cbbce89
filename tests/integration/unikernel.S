/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that needs no system: entered by the PVH boot protocol (Xen's docs/misc/pvh.pandoc), it
 * says its command line on the serial port, echoes what is typed, and resets the machine at '.', by a
 * triple fault.
 *
 *     cc -nostdlib -static -no-pie -Wl,--build-id=none,-Ttext=0x100000 -o app.elf unikernel.S
 */
#define SERIAL 0x3f8
#define CMDLINE 24 /* in struct hvm_start_info */

    .section .note.pvh, "a", @note
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long _start

    .text
    .code32
    .globl _start
_start:
    mov CMDLINE(%ebx), %ebp
    mov $hello, %esi
    call say
    mov %ebp, %esi
    call say
    mov $end, %esi
    call say
listen:
    mov $SERIAL + 5, %dx
    in %dx, %al
    test $1, %al
    jz listen
    mov $SERIAL, %dx
    in %dx, %al
    cmp $'.', %al
    je reset
    call put
    jmp listen
reset:
    lidt nothing
    int3

say:
    lodsb
    test %al, %al
    jz 1f
    call put
    jmp say
1:  ret

put:
    mov %al, %cl
    mov $SERIAL + 5, %dx
2:  in %dx, %al
    test $0x20, %al
    jz 2b
    mov $SERIAL, %dx
    mov %cl, %al
    out %al, %dx
    ret

hello:
    .asciz "unikernel up: "
end:
    .asciz "\r\n"

nothing:
    .fill 6, 1, 0

    .section .note.GNU-stack, "", @progbits
