/* SPDX-License-Identifier: Apache-2.0 */
/* Where the segments of an ELF kernel may lie. */
#include <elf.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"

#define MEMORY (16ULL << 20)
#define FILLED 0x5a

typedef struct {
    const char *name;
    uint64_t address, in_file, in_memory;
    const char *refusal; /* NULL: it is loaded */
} Case;

static const Case cases[] = {
    {"high", X86_HIGH, 64, 4096, NULL},
    {"headers-before-the-text", X86_HIGH - 4096, 64, 64, NULL},
    {"lowest", X86_KERNEL_LOW, 64, X86_HIGH, NULL},
    {"on-the-tables", X86_KERNEL_LOW - 1, 64, 64, "below 0xf0000"},
    {"on-the-page-tables", X86_PML4, 64, 64, "below 0xf0000"},
    {"at-the-end", MEMORY - 64, 64, 64, NULL},
    {"behind-the-end", MEMORY - 64, 64, 65, "needs 17 MiB of memory, the guest has 16"},
    {"wraps", UINT64_MAX - 64, 64, 4096, "has no sense"},
    {"more-in-the-file", X86_HIGH, 64, 63, "has no sense"},
    {"behind-the-file", X86_HIGH, 65, 65, "cannot load the kernel"},
};

static int write_kernel(const Case *what)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr load;
        uint8_t bytes[64];
    } elf = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_entry = X86_HIGH,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .load = {.p_type = PT_LOAD,
                 .p_offset = G_STRUCT_OFFSET(__typeof__(elf), bytes),
                 .p_paddr = what->address,
                 .p_filesz = what->in_file,
                 .p_memsz = what->in_memory},
    };
    memset(elf.bytes, FILLED, sizeof elf.bytes);
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    g_assert_cmpint(write(fd, &elf, sizeof elf), ==, sizeof elf);
    return fd;
}

static void test_segment(gconstpointer data)
{
    const Case *what = data;
    VmmMemory *memory;
    X86Kernel kernel = {0};
    VmmError error = {""};
    int fd = write_kernel(what);
    g_assert_cmpint(vmm_memory_new(&memory, MEMORY, -1, false), ==, 0);
    int failed = x86_load_elf(memory, fd, &kernel, &error);
    if (what->refusal) {
        g_assert_cmpint(failed, <, 0);
        g_assert_nonnull(strstr(error.text, what->refusal));
    } else {
        const uint8_t *bytes = vmm_memory_at(memory, what->address, what->in_memory);
        g_assert_cmpint(failed, ==, 0);
        g_assert_cmpuint(kernel.end, ==, what->address + what->in_memory);
        g_assert_cmpuint(bytes[0], ==, FILLED);
        g_assert_cmpuint(bytes[what->in_file - 1], ==, FILLED);
        for (uint64_t i = what->in_file; i < what->in_memory; i++)
            g_assert_cmpuint(bytes[i], ==, 0);
    }
    vmm_memory_free(memory);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/vmm/load/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_segment);
    }
    return g_test_run();
}
