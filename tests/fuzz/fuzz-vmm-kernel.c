/* SPDX-License-Identifier: Apache-2.0 */
/* Any file as a kernel: whatever the loaders make of it stays inside the guest's memory. */
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "fuzz.h"
#include "vmm/arch/x86_64/x86.h"

#define MEMORY (4U << 20)
#define FILE_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VmmMemory *memory;
    X86Kernel kernel = {0};
    VmmError error = {""};
    if (size > FILE_MAX)
        return 0;
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    g_assert_cmpint(write(fd, data, size), ==, size);
    g_assert_cmpint(vmm_memory_new(&memory, MEMORY, -1, false), ==, 0);
    int elf = x86_load_elf(memory, fd, &kernel, &error);
    if (elf == 0)
        g_assert_cmpuint(kernel.end, <=, MEMORY);
    int image = x86_load_bzimage(memory, fd, &kernel, &error);
    if (image == 0)
        g_assert_cmpuint(kernel.end, <=, MEMORY);
    g_assert_true(elf != 0 || image != 0);
    vmm_memory_free(memory);
    close(fd);
    return 0;
}
