/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reservation of address space holds the mapping: it starts on 2 MiB, so that huge pages fit,
 * and unmapped room follows and precedes it, so that a stray access next to the guest's memory
 * ends the process instead of reaching something else of the host's.
 */
#include "vmm/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HUGE_PAGE (2ULL << 20)
#define GUARD HUGE_PAGE

struct VmmMemory {
    uint64_t size;
    uint8_t *host; /* of its first byte */
    uint8_t *reservation;
    uint64_t reserved;
    int advice; /* of madvise(), to give pages back */
    size_t n_regions;
    VmmRegion regions[VMM_MEMORY_REGIONS_MAX];
};

static int check_size(uint64_t size, int fd)
{
    struct stat info;
    if (size == 0 || size > VMM_MEMORY_MAX || size % VMM_MEMORY_PAGE != 0)
        return -EINVAL;
    if (fd < 0)
        return 0;
    if (fstat(fd, &info) < 0)
        return -errno;
    return S_ISREG(info.st_mode) && (uint64_t)info.st_size >= size ? 0 : -EINVAL;
}

static int reserve(VmmMemory *memory)
{
    memory->reserved = memory->size + 2 * GUARD + HUGE_PAGE;
    void *room =
        mmap(NULL, memory->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return -errno;
    memory->reservation = room;
    return 0;
}

static int map(VmmMemory *memory, int fd, bool shared)
{
    uintptr_t start = ((uintptr_t)memory->reservation + GUARD + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uint8_t *place = memory->reservation + (start - (uintptr_t)memory->reservation);
    int flags = MAP_FIXED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0) |
                (fd >= 0 && shared ? MAP_SHARED : MAP_PRIVATE);
    if (mmap(place, memory->size, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
        return -errno;
    /* A boot touches a few pages of the first ones: a huge one is not worth being cleared for them.
     * Where there are none, that is fine, too. */
    if (fd < 0)
        madvise(place, memory->size < HUGE_PAGE ? memory->size : HUGE_PAGE, MADV_NOHUGEPAGE);
    memory->advice = fd >= 0 && shared ? MADV_REMOVE : MADV_DONTNEED;
    memory->host = place;
    return 0;
}

static void add_region(VmmMemory *memory, uint64_t gpa, uint64_t offset, uint64_t length)
{
    memory->regions[memory->n_regions++] =
        (VmmRegion){.gpa = gpa, .length = length, .offset = offset, .host = memory->host + offset};
}

int vmm_memory_new(VmmMemory **memory, uint64_t size, int fd, bool shared)
{
    int failed = check_size(size, fd);
    if (failed)
        return failed;
    VmmMemory *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->size = size;
    failed = reserve(made);
    if (!failed)
        failed = map(made, fd, shared);
    if (failed) {
        vmm_memory_free(made);
        return failed;
    }
    uint64_t low = size < VMM_MEMORY_LOW_END ? size : VMM_MEMORY_LOW_END;
    add_region(made, 0, 0, low);
    if (size > low)
        add_region(made, VMM_MEMORY_HIGH_START, low, size - low);
    *memory = made;
    return 0;
}

void vmm_memory_free(VmmMemory *memory)
{
    if (memory && memory->reservation)
        munmap(memory->reservation, memory->reserved);
    free(memory);
}

uint64_t vmm_memory_size(const VmmMemory *memory)
{
    return memory->size;
}

size_t vmm_memory_regions(const VmmMemory *memory, const VmmRegion **regions)
{
    *regions = memory->regions;
    return memory->n_regions;
}

void *vmm_memory_at(const VmmMemory *memory, uint64_t gpa, uint64_t length)
{
    if (length == 0)
        return NULL;
    for (size_t i = 0; i < memory->n_regions; i++) {
        const VmmRegion *region = &memory->regions[i];
        uint64_t offset = gpa - region->gpa;
        if (gpa >= region->gpa && offset < region->length && length <= region->length - offset)
            return region->host + offset;
    }
    return NULL;
}

int vmm_memory_read(const VmmMemory *memory, uint64_t gpa, void *to, uint64_t length)
{
    if (length == 0)
        return 0;
    const void *from = vmm_memory_at(memory, gpa, length);
    if (!from)
        return -EFAULT;
    memcpy(to, from, length);
    return 0;
}

int vmm_memory_write(const VmmMemory *memory, uint64_t gpa, const void *from, uint64_t length)
{
    if (length == 0)
        return 0;
    void *to = vmm_memory_at(memory, gpa, length);
    if (!to)
        return -EFAULT;
    memcpy(to, from, length);
    return 0;
}

int vmm_memory_discard(VmmMemory *memory, uint64_t gpa, uint64_t length)
{
    if ((gpa | length) % VMM_MEMORY_PAGE != 0)
        return -EINVAL;
    void *pages = vmm_memory_at(memory, gpa, length);
    if (!pages)
        return -EFAULT;
    return madvise(pages, length, memory->advice) < 0 ? -errno : 0;
}

int vmm_memory_discard_host(VmmMemory *memory, void *host, uint64_t length)
{
    for (size_t i = 0; i < memory->n_regions; i++) {
        const VmmRegion *region = &memory->regions[i];
        uint64_t offset = (uintptr_t)host - (uintptr_t)region->host;
        if ((uint8_t *)host < region->host || offset >= region->length ||
            length > region->length - offset)
            continue;
        uint64_t first = (offset + VMM_MEMORY_PAGE - 1) / VMM_MEMORY_PAGE * VMM_MEMORY_PAGE;
        uint64_t end = (offset + length) / VMM_MEMORY_PAGE * VMM_MEMORY_PAGE;
        return first < end ? vmm_memory_discard(memory, region->gpa + first, end - first) : 0;
    }
    return -EFAULT;
}
