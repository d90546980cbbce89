/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a kernel file to a machine that is ready to run it: the kernel, its initial file system at
 * the top of low memory, its command line, and the table that tells it of all that, in the form
 * that the kernel's kind reads.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/x86.h"

#define E820_RAM 1
#define E820_RESERVED 2
#define ZERO_ACPI_RSDP 0x070
#define ZERO_E820_ENTRIES 0x1e8
#define ZERO_HEADER 0x1f1
#define ZERO_BOOT_FLAG 0x1fe
#define ZERO_MAGIC 0x202
#define ZERO_VERSION 0x206
#define ZERO_LOADER 0x210
#define ZERO_LOAD_FLAGS 0x211
#define ZERO_RAMDISK 0x218
#define ZERO_RAMDISK_SIZE 0x21c
#define ZERO_HEAP_END 0x224
#define ZERO_COMMAND_LINE 0x228
#define ZERO_KERNEL_ALIGNMENT 0x230
#define ZERO_COMMAND_LINE_SIZE 0x238
#define ZERO_E820 0x2d0
#define LOADER_UNKNOWN 0xff
#define LOADED_HIGH 0x01
#define HEAP_USABLE 0x80
#define HEAP_END 0xfe00
#define BOOT_FLAG 0xaa55
#define BOOT_MAGIC 0x53726448
#define BOOT_VERSION 0x20c
#define KERNEL_ALIGNMENT 0x1000000
#define PVH_MAGIC 0x336ec578
#define PVH_VERSION 1

typedef struct {
    uint64_t start, length;
} Initrd;

unsigned x86_memory_map(const VmmMemory *memory, X86Range ranges[X86_RANGES_MAX])
{
    const VmmRegion *regions;
    size_t n_regions = vmm_memory_regions(memory, &regions);
    unsigned n = 0;
    ranges[n++] = (X86Range){0, X86_LOW_END, false};
    ranges[n++] = (X86Range){X86_LOW_END, X86_HIGH - X86_LOW_END, true};
    ranges[n++] = (X86Range){X86_HIGH, regions[0].length - X86_HIGH, false};
    for (size_t i = 1; i < n_regions && n < X86_RANGES_MAX; i++)
        ranges[n++] = (X86Range){regions[i].gpa, regions[i].length, false};
    return n;
}

/* At the top of low memory, where it cannot be in the way of a kernel that unpacks itself. */
static int load_initrd(VmmMachine *machine, int fd, const X86Kernel *kernel, Initrd *initrd,
                       VmmError *error)
{
    const VmmRegion *regions;
    vmm_memory_regions(machine->memory, &regions);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    if (size < 0)
        return vmm_error_errno(error, -errno, "cannot read the initial file system");
    uint64_t length = (uint64_t)size, top = regions[0].length;
    if (top > INT32_MAX)
        top = INT32_MAX & ~(VMM_MEMORY_PAGE - 1); /* old kernels look no higher */
    if (length > top || ((top - length) & ~(VMM_MEMORY_PAGE - 1)) < kernel->end)
        return vmm_error(error, -ENOMEM, "kernel and initial file system do not fit into memory");
    *initrd = (Initrd){(top - length) & ~(VMM_MEMORY_PAGE - 1), length};
    int failed = x86_read_guest(machine->memory, fd, 0, initrd->start, length);
    return failed ? vmm_error_errno(error, failed, "cannot load the initial file system") : 0;
}

static int add_device(char *line, size_t *used, unsigned number)
{
    uint64_t base;
    uint32_t gsi;
    int failed = vmm_arch_virtio_place(number, &base, &gsi);
    if (failed)
        return failed;
    int n = snprintf(line + *used, VMM_COMMAND_LINE_MAX - *used,
                     " virtio_mmio.device=512@0x%llx:%u", (unsigned long long)base, gsi);
    *used += (size_t)n;
    return *used < VMM_COMMAND_LINE_MAX ? 0 : -E2BIG;
}

static int write_command_line(VmmMachine *machine, const VmmBoot *boot, VmmError *error)
{
    char line[VMM_COMMAND_LINE_MAX];
    size_t used = strlen(boot->command_line);
    int failed = used < sizeof line ? 0 : -E2BIG;
    if (!failed)
        memcpy(line, boot->command_line, used + 1);
    for (unsigned i = 0; !failed && boot->name_virtio && i < boot->n_virtio; i++)
        failed = add_device(line, &used, i);
    if (failed)
        return vmm_error(error, failed, "the command line is longer than %d bytes",
                         VMM_COMMAND_LINE_MAX - 1);
    return vmm_memory_write(machine->memory, X86_COMMAND_LINE, line, used + 1);
}

static void put(uint8_t *page, unsigned at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        page[at + i] = (uint8_t)(value >> 8 * i);
}

static void fill_zero_page(uint8_t *page, const VmmMachine *machine, const X86Kernel *kernel,
                           const Initrd *initrd)
{
    X86Range ranges[X86_RANGES_MAX];
    unsigned n = x86_memory_map(machine->memory, ranges);
    bool is_bzimage = kernel->header[ZERO_MAGIC - ZERO_HEADER] != 0;
    memset(page, 0, VMM_MEMORY_PAGE);
    memcpy(page + ZERO_HEADER, kernel->header, sizeof kernel->header);
    if (!is_bzimage) {
        put(page, ZERO_BOOT_FLAG, BOOT_FLAG, 2);
        put(page, ZERO_MAGIC, BOOT_MAGIC, 4);
        put(page, ZERO_VERSION, BOOT_VERSION, 2);
        put(page, ZERO_KERNEL_ALIGNMENT, KERNEL_ALIGNMENT, 4);
        put(page, ZERO_LOAD_FLAGS, LOADED_HIGH, 1);
    }
    put(page, ZERO_LOADER, LOADER_UNKNOWN, 1);
    put(page, ZERO_LOAD_FLAGS, page[ZERO_LOAD_FLAGS] | HEAP_USABLE, 1);
    put(page, ZERO_HEAP_END, HEAP_END, 2);
    put(page, ZERO_RAMDISK, initrd->length ? initrd->start : 0, 4);
    put(page, ZERO_RAMDISK_SIZE, initrd->length, 4);
    put(page, ZERO_COMMAND_LINE, X86_COMMAND_LINE, 4);
    put(page, ZERO_COMMAND_LINE_SIZE, VMM_COMMAND_LINE_MAX - 1, 4);
    put(page, ZERO_ACPI_RSDP, X86_ACPI, 8);
    put(page, ZERO_E820_ENTRIES, n, 1);
    for (unsigned i = 0; i < n; i++) {
        put(page, ZERO_E820 + i * 20, ranges[i].start, 8);
        put(page, ZERO_E820 + i * 20 + 8, ranges[i].length, 8);
        put(page, ZERO_E820 + i * 20 + 16, ranges[i].is_reserved ? E820_RESERVED : E820_RAM, 4);
    }
}

/* The start_info, then its only module, then the memory map. */
static void fill_start_info(uint8_t *page, const VmmMachine *machine, const Initrd *initrd)
{
    enum { MODULE = 0x40, MAP = 0x80 };
    X86Range ranges[X86_RANGES_MAX];
    unsigned n = x86_memory_map(machine->memory, ranges);
    memset(page, 0, VMM_MEMORY_PAGE);
    put(page, 0, PVH_MAGIC, 4);
    put(page, 4, PVH_VERSION, 4);
    put(page, 12, initrd->length ? 1 : 0, 4);
    put(page, 16, initrd->length ? X86_START_INFO + MODULE : 0, 8);
    put(page, 24, X86_COMMAND_LINE, 8);
    put(page, 32, X86_ACPI, 8);
    put(page, 40, X86_START_INFO + MAP, 8);
    put(page, 48, n, 4);
    put(page, MODULE, initrd->start, 8);
    put(page, MODULE + 8, initrd->length, 8);
    for (unsigned i = 0; i < n; i++) {
        put(page, MAP + i * 24, ranges[i].start, 8);
        put(page, MAP + i * 24 + 8, ranges[i].length, 8);
        put(page, MAP + i * 24 + 16, ranges[i].is_reserved ? E820_RESERVED : E820_RAM, 4);
    }
}

static int load_kernel(VmmMachine *machine, const VmmBoot *boot, X86Kernel *kernel, VmmError *error)
{
    *error = (VmmError){""};
    int failed = x86_load_elf(machine->memory, boot->kernel, kernel, error);
    if (failed == -ENOEXEC && error->text[0] == '\0')
        failed = x86_load_bzimage(machine->memory, boot->kernel, kernel, error);
    if (failed && error->text[0] == '\0')
        vmm_error(error, failed, "the kernel is neither an ELF file nor a bzImage");
    return failed;
}

int vmm_arch_boot(VmmMachine *machine, const VmmBoot *boot, VmmError *error)
{
    X86Kernel kernel = {0};
    Initrd initrd = {0};
    if (vmm_memory_size(machine->memory) < X86_MEMORY_MIN)
        return vmm_error(error, -ENOMEM, "a guest needs 2 MiB of memory at least");
    int failed = load_kernel(machine, boot, &kernel, error);
    if (!failed)
        failed = load_initrd(machine, boot->initrd, &kernel, &initrd, error);
    if (!failed)
        failed = write_command_line(machine, boot, error);
    if (!failed)
        failed = x86_write_acpi(machine, boot->n_virtio, error);
    if (failed)
        return failed;
    uint64_t at = kernel.is_pvh ? X86_START_INFO : X86_ZERO_PAGE;
    uint8_t *page = vmm_memory_at(machine->memory, at, VMM_MEMORY_PAGE);
    if (kernel.is_pvh)
        fill_start_info(page, machine, &initrd);
    else
        fill_zero_page(page, machine, &kernel, &initrd);
    return x86_set_boot_registers(machine, &kernel, error);
}
