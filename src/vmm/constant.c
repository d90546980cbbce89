/* SPDX-License-Identifier: Apache-2.0 */
/* The program's headers name the range (PT_GNU_RELRO); its end lies on a page by the linker's care.
 */
#include "vmm/constant.h"

#include <errno.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

/* The first object is the program. */
static int protect(struct dl_phdr_info *info, size_t size, void *data)
{
    int *failed = data;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_GNU_RELRO)
            continue;
        uintptr_t start = (info->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t end = (info->dlpi_addr + header->p_vaddr + header->p_memsz) & ~(page - 1);
        if (end > start && mprotect((void *)start, end - start, PROT_READ) < 0)
            *failed = -errno;
    }
    return 1;
}

int vmm_constant_protect(void)
{
    int failed = 0;
    dl_iterate_phdr(protect, &failed);
    return failed;
}
