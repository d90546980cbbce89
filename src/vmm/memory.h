/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory: two regions, one from address 0 up to at most 3 GiB, the rest from 4 GiB on;
 * the hole between them belongs to devices. All of it is one mapping on the host.
 *
 * vmm_memory_at() is the only way from a guest's number to a host's pointer. What the guest can
 * write, it can write while it is looked at: read it once, into a local, with the functions below.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_MEMORY_LOW_END 0xc0000000ULL     /* where the hole for devices begins */
#define VMM_MEMORY_HIGH_START 0x100000000ULL /* and ends */
#define VMM_MEMORY_MAX (1ULL << 40)
#define VMM_MEMORY_PAGE 4096ULL
#define VMM_MEMORY_REGIONS_MAX 2

typedef struct VmmMemory VmmMemory;

typedef struct {
    uint64_t gpa;    /* guest physical address */
    uint64_t length; /* bytes, a multiple of VMM_MEMORY_PAGE */
    uint64_t offset; /* of the region in the memory's file and in its host mapping */
    uint8_t *host;
} VmmRegion;

/*
 * Maps `size` bytes, a multiple of VMM_MEMORY_PAGE up to VMM_MEMORY_MAX. With fd -1 they are
 * anonymous zeros; otherwise the first `size` bytes of a file that is at least that long: written
 * through when `shared`, else copied on write. The descriptor stays the caller's and may be closed
 * at once. Returns 0; -EINVAL for a bad size or a file that is too short; the errno of mmap.
 */
int vmm_memory_new(VmmMemory **memory, uint64_t size, int fd, bool shared);
void vmm_memory_free(VmmMemory *memory);

uint64_t vmm_memory_size(const VmmMemory *memory);

/* The regions by ascending address, 1 or 2 of them; they stay the same for the memory's life. */
size_t vmm_memory_regions(const VmmMemory *memory, const VmmRegion **regions);

/* The host's pointer to [gpa, gpa + length), or NULL unless length is above 0 and all of it lies
 * in one region. */
void *vmm_memory_at(const VmmMemory *memory, uint64_t gpa, uint64_t length);

/* Copies. 0, or -EFAULT and nothing was copied; a length of 0 needs no valid address. */
int vmm_memory_read(const VmmMemory *memory, uint64_t gpa, void *to, uint64_t length);
int vmm_memory_write(const VmmMemory *memory, uint64_t gpa, const void *from, uint64_t length);

/*
 * Gives the pages of the range back to the host; its ends must lie on pages. The guest said that it
 * does not need their content. Afterwards anonymous and shared memory reads as zeros there; private
 * memory reads as its file does, which is the template's content, so what a guest gave up may seem
 * to come back. 0, -EFAULT outside of memory, -EINVAL off a page's start, or the errno of madvise.
 */
int vmm_memory_discard(VmmMemory *memory, uint64_t gpa, uint64_t length);

/* The same by a pointer got from vmm_memory_at(); of the range, the pages that lie in it whole. */
int vmm_memory_discard_host(VmmMemory *memory, void *host, uint64_t length);

/* Little-endian numbers at a host pointer got from vmm_memory_at(), each read or written once. The
 * pointer must be aligned to the number's size. */
static inline uint16_t vmm_load_le16(const void *at)
{
    return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_RELAXED));
}

static inline uint32_t vmm_load_le32(const void *at)
{
    return le32toh(__atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED));
}

static inline uint64_t vmm_load_le64(const void *at)
{
    return le64toh(__atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED));
}

/* What the guest wrote before it stored this number is seen by reads after it. */
static inline uint16_t vmm_acquire_le16(const void *at)
{
    return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE));
}

static inline void vmm_store_le16(void *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)at, htole16(value), __ATOMIC_RELAXED);
}

static inline void vmm_store_le32(void *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)at, htole32(value), __ATOMIC_RELAXED);
}

/* The guest that sees this number sees what was written before it, too. */
static inline void vmm_release_le16(void *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)at, htole16(value), __ATOMIC_RELEASE);
}
