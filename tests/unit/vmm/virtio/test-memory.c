/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory: where it begins and ends, and what its kinds of mapping do. */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/memory.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

static VmmMemory *new_memory(uint64_t size)
{
    VmmMemory *memory = NULL;
    g_assert_cmpint(vmm_memory_new(&memory, size, -1, false), ==, 0);
    return memory;
}

/* A file of one byte value. */
static int new_file(uint64_t size, int byte)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    g_autofree char *bytes = g_malloc(size);
    memset(bytes, byte, size);
    g_assert_cmpint(pwrite(fd, bytes, size, 0), ==, (ssize_t)size);
    return fd;
}

static void test_small_memory_is_one_region(void)
{
    VmmMemory *memory = new_memory(2 * MIB);
    const VmmRegion *regions = NULL;
    g_assert_cmpuint(vmm_memory_regions(memory, &regions), ==, 1);
    g_assert_cmphex(regions[0].gpa, ==, 0);
    g_assert_cmphex(regions[0].length, ==, 2 * MIB);
    g_assert_cmphex((uintptr_t)regions[0].host % (2 * MIB), ==, 0);
    g_assert_cmphex(vmm_memory_size(memory), ==, 2 * MIB);
    vmm_memory_free(memory);
}

static void test_large_memory_leaves_the_hole(void)
{
    VmmMemory *memory = new_memory(4 * GIB);
    const VmmRegion *regions = NULL;
    g_assert_cmpuint(vmm_memory_regions(memory, &regions), ==, 2);
    g_assert_cmphex(regions[0].length, ==, 3 * GIB);
    g_assert_cmphex(regions[1].gpa, ==, 4 * GIB);
    g_assert_cmphex(regions[1].length, ==, GIB);
    g_assert_cmphex(regions[1].offset, ==, 3 * GIB);
    g_assert_null(vmm_memory_at(memory, 3 * GIB, 1));
    g_assert_null(vmm_memory_at(memory, 3 * GIB - 1, 2));
    g_assert_null(vmm_memory_at(memory, 4 * GIB - 1, 1));
    g_assert_nonnull(vmm_memory_at(memory, 3 * GIB - 1, 1));
    g_assert_nonnull(vmm_memory_at(memory, 4 * GIB, GIB));
    g_assert_null(vmm_memory_at(memory, 4 * GIB, GIB + 1));
    vmm_memory_free(memory);
}

static void test_ranges_that_end_or_wrap_beyond_it(void)
{
    VmmMemory *memory = new_memory(MIB);
    g_assert_nonnull(vmm_memory_at(memory, 0, MIB));
    g_assert_nonnull(vmm_memory_at(memory, MIB - 1, 1));
    g_assert_null(vmm_memory_at(memory, 0, 0));
    g_assert_null(vmm_memory_at(memory, MIB, 1));
    g_assert_null(vmm_memory_at(memory, MIB - 1, 2));
    g_assert_null(vmm_memory_at(memory, 1, UINT64_MAX));
    g_assert_null(vmm_memory_at(memory, UINT64_MAX, 1));
    g_assert_null(vmm_memory_at(memory, UINT64_MAX, 2));
    vmm_memory_free(memory);
}

static void test_bad_sizes(void)
{
    const uint64_t sizes[] = {0, 1, 4095, MIB + 1, VMM_MEMORY_MAX + 4096, UINT64_MAX};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        VmmMemory *memory = NULL;
        g_assert_cmpint(vmm_memory_new(&memory, sizes[i], -1, false), ==, -EINVAL);
        g_assert_null(memory);
    }
}

static void test_file_that_is_too_short(void)
{
    VmmMemory *memory = NULL;
    int fd = new_file(8192, 7);
    g_assert_cmpint(vmm_memory_new(&memory, 8192 + 4096, fd, true), ==, -EINVAL);
    close(fd);
}

static void test_copies(void)
{
    VmmMemory *memory = new_memory(MIB);
    char text[6] = "";
    g_assert_cmpint(vmm_memory_write(memory, MIB - 6, "stead", 6), ==, 0);
    g_assert_cmpint(vmm_memory_read(memory, MIB - 6, text, 6), ==, 0);
    g_assert_cmpstr(text, ==, "stead");
    g_assert_cmpint(vmm_memory_write(memory, MIB - 5, "stead", 6), ==, -EFAULT);
    g_assert_cmpint(vmm_memory_read(memory, MIB, text, 1), ==, -EFAULT);
    g_assert_cmpint(vmm_memory_read(memory, UINT64_MAX, text, 0), ==, 0);
    vmm_memory_free(memory);
}

static char file_byte(int fd, off_t offset)
{
    char byte = 0;
    g_assert_cmpint(pread(fd, &byte, 1, offset), ==, 1);
    return byte;
}

static void test_shared_memory_reaches_its_file(void)
{
    VmmMemory *memory = NULL;
    int fd = new_file(8192, 7);
    g_assert_cmpint(vmm_memory_new(&memory, 8192, fd, true), ==, 0);
    g_assert_cmpint(vmm_memory_write(memory, 5000, "x", 1), ==, 0);
    g_assert_cmpint(file_byte(fd, 5000), ==, 'x');
    g_assert_cmpint(vmm_memory_discard(memory, 4096, 4096), ==, 0);
    g_assert_cmpint(file_byte(fd, 5000), ==, 0);
    g_assert_cmpint(file_byte(fd, 4095), ==, 7);
    vmm_memory_free(memory);
    close(fd);
}

static void test_private_memory_leaves_its_file_alone(void)
{
    VmmMemory *memory = NULL;
    int fd = new_file(8192, 7);
    g_assert_cmpint(vmm_memory_new(&memory, 8192, fd, false), ==, 0);
    char *byte = vmm_memory_at(memory, 5000, 1);
    g_assert_cmpint(*byte, ==, 7);
    *byte = 'x';
    g_assert_cmpint(file_byte(fd, 5000), ==, 7);
    g_assert_cmpint(vmm_memory_discard(memory, 4096, 4096), ==, 0);
    g_assert_cmpint(*byte, ==, 7); /* the template's byte is back */
    vmm_memory_free(memory);
    close(fd);
}

static void test_discarded_anonymous_memory_is_zero(void)
{
    VmmMemory *memory = new_memory(MIB);
    char *bytes = vmm_memory_at(memory, 0, MIB);
    memset(bytes, 7, MIB);
    g_assert_cmpint(vmm_memory_discard(memory, 4096, 8192), ==, 0);
    g_assert_cmpint(bytes[4095], ==, 7);
    g_assert_cmpint(bytes[4096], ==, 0);
    g_assert_cmpint(bytes[12287], ==, 0);
    g_assert_cmpint(bytes[12288], ==, 7);
    vmm_memory_free(memory);
}

static void test_discarding_outside(void)
{
    VmmMemory *memory = new_memory(MIB);
    g_assert_cmpint(vmm_memory_discard(memory, 1, 4096), ==, -EINVAL);
    g_assert_cmpint(vmm_memory_discard(memory, 0, 4097), ==, -EINVAL);
    g_assert_cmpint(vmm_memory_discard(memory, 0, 0), ==, -EFAULT);
    g_assert_cmpint(vmm_memory_discard(memory, MIB - 4096, 8192), ==, -EFAULT);
    g_assert_cmpint(vmm_memory_discard(memory, UINT64_MAX - 4095, 4096), ==, -EFAULT);
    vmm_memory_free(memory);
}

static void test_numbers_are_little_endian(void)
{
    VmmMemory *memory = new_memory(4096);
    uint8_t *bytes = vmm_memory_at(memory, 0, 8);
    vmm_store_le32(bytes, 0x01020304);
    g_assert_cmphex(bytes[0], ==, 4);
    g_assert_cmphex(vmm_load_le16(bytes), ==, 0x0304);
    vmm_release_le16(bytes + 4, 0x0506);
    g_assert_cmphex(vmm_load_le64(bytes), ==, 0x050601020304);
    g_assert_cmphex(vmm_acquire_le16(bytes + 2), ==, 0x0102);
    vmm_memory_free(memory);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory/small", test_small_memory_is_one_region);
    g_test_add_func("/memory/large", test_large_memory_leaves_the_hole);
    g_test_add_func("/memory/ranges", test_ranges_that_end_or_wrap_beyond_it);
    g_test_add_func("/memory/bad-sizes", test_bad_sizes);
    g_test_add_func("/memory/short-file", test_file_that_is_too_short);
    g_test_add_func("/memory/copies", test_copies);
    g_test_add_func("/memory/shared", test_shared_memory_reaches_its_file);
    g_test_add_func("/memory/private", test_private_memory_leaves_its_file_alone);
    g_test_add_func("/memory/discard", test_discarded_anonymous_memory_is_zero);
    g_test_add_func("/memory/discard-outside", test_discarding_outside);
    g_test_add_func("/memory/numbers", test_numbers_are_little_endian);
    return g_test_run();
}
