/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most of what is resident in a process that links many libraries is their code and constants: the
 * dynamic linker and their initialisers touch them once, and the kernel maps sixteen pages where
 * one is touched. A segment that is not writable holds only what is in its file, so dropping its
 * pages loses nothing.
 */
#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENAS 2

void stead_memory_init(void)
{
    mallopt(M_ARENA_MAX, ARENAS);
}

/* An object whose code the linker had to change has to keep it. */
static int has_text_relocations(const struct dl_phdr_info *object)
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + header->p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++)
            if (entry->d_tag == DT_TEXTREL ||
                (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL)))
                return 1;
    }
    return 0;
}

static int drop_object(struct dl_phdr_info *object, size_t size, void *data)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (strstr(object->dlpi_name, "vdso") || has_text_relocations(object))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W))
            continue;
        /* Only whole pages: an edge may be shared with a writable segment. */
        ElfW(Addr) begin = (object->dlpi_addr + header->p_vaddr + page - 1) & ~(page - 1);
        ElfW(Addr) end = (object->dlpi_addr + header->p_vaddr + header->p_filesz) & ~(page - 1);
        if (end > begin)
            madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void stead_memory_give_back(void)
{
    malloc_trim(0);
    dl_iterate_phdr(drop_object, NULL);
}
