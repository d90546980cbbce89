/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels as files: Linux's bzImage, whose payload begins behind its setup code, and ELF, whose
 * segments say where they go. ELF kernels with a PVH note are entered where the note says, others
 * by Linux's 64-bit protocol at their entry point. The file is as little trusted as the guest.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"

#define SECTOR 512
#define SETUP_OFFSET 0x1f1
#define SETUP_MAGIC 0x53726448 /* "HdrS" */
#define SETUP_VERSION_64 0x20c
#define SETUP_SECTORS_OLD 4
#define XLOAD_KERNEL_64 0x1
#define ENTRY_64 0x200
#define PROGRAM_HEADERS_MAX 64
#define NOTES_MAX 4096
#define NOTE_PHYS32_ENTRY 18

/* Offsets in a bzImage's setup header, counted from SETUP_OFFSET. */
#define AT_SETUP_SECTORS 0x000
#define AT_MAGIC 0x011
#define AT_VERSION 0x015
#define AT_XLOADFLAGS 0x045
#define AT_PREFERRED 0x067
#define AT_INIT_SIZE 0x06f

int x86_read_guest(VmmMemory *memory, int fd, uint64_t offset, uint64_t gpa, uint64_t length)
{
    uint8_t *to = vmm_memory_at(memory, gpa, length);
    if (length == 0)
        return 0;
    if (to == NULL)
        return -EFAULT;
    while (length > 0) {
        ssize_t n = pread(fd, to, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        to += n;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

static uint64_t number(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

/* The bytes that fit behind the kernel once it has unpacked itself. */
static int check_room(const VmmMemory *memory, const X86Kernel *kernel, VmmError *error)
{
    const VmmRegion *regions;
    vmm_memory_regions(memory, &regions);
    if (kernel->end <= regions[0].length)
        return 0;
    return vmm_error(error, -ENOMEM, "the kernel needs %llu MiB of memory, the guest has %llu",
                     (unsigned long long)((kernel->end + 0xfffff) >> 20),
                     (unsigned long long)(regions[0].length >> 20));
}

static int load_payload(VmmMemory *memory, int fd, const X86Kernel *kernel, VmmError *error)
{
    uint64_t sectors = kernel->header[AT_SETUP_SECTORS];
    uint64_t start = ((sectors ? sectors : SETUP_SECTORS_OLD) + 1) * SECTOR;
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0 || (uint64_t)size <= start)
        return vmm_error(error, -ENOEXEC, "the kernel is cut short");
    int failed = x86_read_guest(memory, fd, start, X86_HIGH, (uint64_t)size - start);
    return failed ? vmm_error_errno(error, failed, "cannot load the kernel") : 0;
}

int x86_load_bzimage(VmmMemory *memory, int fd, X86Kernel *kernel, VmmError *error)
{
    uint8_t *header = kernel->header;
    uint64_t end;
    ssize_t n = pread(fd, header, sizeof kernel->header, SETUP_OFFSET);
    if (n != (ssize_t)sizeof kernel->header || number(header + AT_MAGIC, 4) != SETUP_MAGIC)
        return -ENOEXEC;
    if (number(header + AT_VERSION, 2) < SETUP_VERSION_64 ||
        !(number(header + AT_XLOADFLAGS, 2) & XLOAD_KERNEL_64))
        return vmm_error(error, -ENOEXEC, "the kernel has no 64-bit entry");
    uint64_t preferred = number(header + AT_PREFERRED, 8);
    if (__builtin_add_overflow(preferred, number(header + AT_INIT_SIZE, 4), &end))
        return vmm_error(error, -ENOEXEC, "the kernel wants to be nowhere");
    kernel->end = end;
    kernel->entry = X86_HIGH + ENTRY_64;
    kernel->is_pvh = false;
    int failed = check_room(memory, kernel, error);
    return failed ? failed : load_payload(memory, fd, kernel, error);
}

static int read_file(int fd, void *to, size_t length, uint64_t offset)
{
    if (offset > INT64_MAX)
        return -ENODATA;
    ssize_t n = pread(fd, to, length, (off_t)offset);
    return n == (ssize_t)length ? 0 : n < 0 ? -errno : -ENODATA;
}

/* Both classes of ELF, as far as it matters here. */
typedef struct {
    bool is_64;
    uint64_t entry, offset;
    unsigned n, size;
} Elf;

static int read_elf_header(int fd, Elf *elf)
{
    Elf64_Ehdr wide;
    int failed = read_file(fd, &wide, sizeof wide, 0);
    if (failed || memcmp(wide.e_ident, ELFMAG, SELFMAG) != 0)
        return -ENOEXEC;
    elf->is_64 = wide.e_ident[EI_CLASS] == ELFCLASS64;
    if (elf->is_64) {
        *elf = (Elf){true, wide.e_entry, wide.e_phoff, wide.e_phnum, wide.e_phentsize};
        return wide.e_machine == EM_X86_64 ? 0 : -EINVAL;
    }
    Elf32_Ehdr narrow;
    memcpy(&narrow, &wide, sizeof narrow);
    *elf = (Elf){false, narrow.e_entry, narrow.e_phoff, narrow.e_phnum, narrow.e_phentsize};
    return narrow.e_machine == EM_386 || narrow.e_machine == EM_X86_64 ? 0 : -EINVAL;
}

static int read_program_header(int fd, const Elf *elf, unsigned i, Elf64_Phdr *header)
{
    Elf32_Phdr narrow;
    uint64_t at = elf->offset + (uint64_t)i * elf->size;
    if (elf->is_64)
        return read_file(fd, header, sizeof *header, at);
    int failed = read_file(fd, &narrow, sizeof narrow, at);
    *header = (Elf64_Phdr){
        .p_type = narrow.p_type,
        .p_offset = narrow.p_offset,
        .p_paddr = narrow.p_paddr,
        .p_filesz = narrow.p_filesz,
        .p_memsz = narrow.p_memsz,
    };
    return failed;
}

static int load_segment(VmmMemory *memory, int fd, const Elf64_Phdr *header, X86Kernel *kernel,
                        VmmError *error)
{
    uint64_t end;
    if (__builtin_add_overflow(header->p_paddr, header->p_memsz, &end) ||
        header->p_filesz > header->p_memsz)
        return vmm_error(error, -ENOEXEC, "a segment of the kernel has no sense");
    if (header->p_memsz == 0)
        return 0;
    if (end > kernel->end)
        kernel->end = end;
    int failed = check_room(memory, kernel, error);
    if (failed)
        return failed;
    if (header->p_paddr < X86_KERNEL_LOW) /* linkers put headers below a text that is at 1 MiB */
        return vmm_error(error, -ENOEXEC, "a segment of the kernel lies at 0x%llx, below 0x%x",
                         (unsigned long long)header->p_paddr, X86_KERNEL_LOW);
    failed = x86_read_guest(memory, fd, header->p_offset, header->p_paddr, header->p_filesz);
    if (failed)
        return vmm_error_errno(error, failed, "cannot load the kernel");
    uint64_t rest = header->p_memsz - header->p_filesz;
    void *zeros = vmm_memory_at(memory, header->p_paddr + header->p_filesz, rest);
    if (rest > 0 && zeros)
        memset(zeros, 0, rest);
    return 0;
}

/* Finds Xen's note with the 32-bit entry; notes are aligned to 4 bytes. */
static void scan_notes(const uint8_t *notes, size_t length, X86Kernel *kernel)
{
    size_t at = 0;
    while (length - at >= sizeof(Elf32_Nhdr)) {
        Elf32_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        uint64_t name = ((uint64_t)note.n_namesz + 3) & ~3ULL;
        uint64_t value = ((uint64_t)note.n_descsz + 3) & ~3ULL;
        if (name > length - at || value > length - at - name)
            return;
        bool is_xen = note.n_namesz == 4 && memcmp(notes + at, "Xen", 4) == 0;
        if (is_xen && note.n_type == NOTE_PHYS32_ENTRY && note.n_descsz >= 4) {
            kernel->entry = number(notes + at + name, 4);
            kernel->is_pvh = true;
        }
        at += name + value;
    }
}

static int read_notes(int fd, const Elf64_Phdr *header, X86Kernel *kernel, VmmError *error)
{
    uint8_t notes[NOTES_MAX];
    size_t length = header->p_filesz < sizeof notes ? header->p_filesz : sizeof notes;
    if (read_file(fd, notes, length, header->p_offset))
        return vmm_error(error, -ENOEXEC, "the kernel is cut short");
    scan_notes(notes, length, kernel);
    return 0;
}

int x86_load_elf(VmmMemory *memory, int fd, X86Kernel *kernel, VmmError *error)
{
    Elf elf;
    int failed = read_elf_header(fd, &elf);
    if (failed == -ENOEXEC)
        return failed;
    if (failed)
        return vmm_error(error, failed, "the kernel is not for x86");
    if (elf.n > PROGRAM_HEADERS_MAX)
        return vmm_error(error, -ENOEXEC, "the kernel has %u segments", elf.n);
    *kernel = (X86Kernel){.entry = elf.entry};
    for (unsigned i = 0; !failed && i < elf.n; i++) {
        Elf64_Phdr header;
        failed = read_program_header(fd, &elf, i, &header);
        if (failed)
            return vmm_error(error, -ENOEXEC, "the kernel is cut short");
        if (header.p_type == PT_LOAD)
            failed = load_segment(memory, fd, &header, kernel, error);
        else if (header.p_type == PT_NOTE)
            failed = read_notes(fd, &header, kernel, error);
    }
    if (!failed && !kernel->is_pvh && !elf.is_64)
        return vmm_error(error, -ENOEXEC, "a 32-bit kernel needs a PVH entry");
    return failed;
}
