/* SPDX-License-Identifier: Apache-2.0 */
/* See elf-kernel.h. */
#include "elf-kernel.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOTE_PHYS32_ENTRY 18

int elf_kernel(const uint8_t *start, const uint8_t *end, gboolean has_note, unsigned flags)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr load, note;
        Elf64_Nhdr note_header;
        char note_name[4];
        uint32_t note_value;
    } elf = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_entry = KERNEL_ADDRESS,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = has_note ? 2 : 1},
        .load = {.p_type = PT_LOAD,
                 .p_offset = sizeof elf,
                 .p_paddr = KERNEL_ADDRESS,
                 .p_filesz = (Elf64_Xword)(end - start),
                 .p_memsz = (Elf64_Xword)(end - start) + 64},
        .note = {.p_type = PT_NOTE,
                 .p_offset = G_STRUCT_OFFSET(__typeof__(elf), note_header),
                 .p_filesz = sizeof elf.note_header + 8},
        .note_header = {.n_namesz = 4, .n_descsz = 4, .n_type = NOTE_PHYS32_ENTRY},
        .note_name = "Xen",
        .note_value = KERNEL_ADDRESS,
    };
    int fd = memfd_create("kernel", flags);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, &elf, sizeof elf), ==, sizeof elf);
    g_assert_cmpint(write(fd, start, (size_t)(end - start)), ==, end - start);
    return fd;
}
