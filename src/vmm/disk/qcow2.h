/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a qcow2 image (version 3) that its files share.
 *
 * Clusters are only ever added, at the end of the file, and never move or go: what the guest
 * discards is marked as zeros and punched out of the file, but stays its cluster's. So an address
 * that was looked up stays good, and a write that is under way can hit nobody else's data. Only
 * what is compressed goes, when the guest writes it: no other thread reads it.
 *
 * Metadata is changed in memory and written by vmm_qcow2_commit(), in an order that leaves the file
 * sound whenever it is cut off: first what new clusters hold and their reference counts, then,
 * after a sync, the tables that point to them. A cut-off loses what was not flushed, and may leak
 * clusters, no more.
 */
#pragma once

#include <pthread.h>

#include "vmm/disk/image.h"

#define VMM_QCOW2_L1_MAX (32U << 20)            /* bytes of the first table */
#define VMM_QCOW2_REFCOUNT_TABLE_MAX (8U << 20) /* bytes */
#define VMM_QCOW2_FILE_MAX (1ULL << 55)         /* where clusters can be */
#define VMM_QCOW2_SLICES 128                    /* of second tables, in memory */
#define VMM_QCOW2_SLICE_SIZE 4096U              /* bytes, or a cluster where that is smaller */

/* What a second table says of a cluster. */
#define VMM_QCOW2_OURS (1ULL << 63)       /* its reference count is 1 */
#define VMM_QCOW2_COMPRESSED (1ULL << 62) /* the rest tells where, see qcow2_compressed.c */
#define VMM_QCOW2_ZERO 1ULL
#define VMM_QCOW2_OFFSET 0x00fffffffffffe00ULL

/* What compressed clusters need; there is none until the first is met. */
typedef struct VmmQcow2Compressed VmmQcow2Compressed;

/* A piece of a second table. */
typedef struct {
    uint64_t offset; /* in the file; 0: free */
    uint64_t used_at;
    bool is_dirty;
    uint64_t *entries; /* as in the file: big-endian */
} VmmQcow2Slice;

typedef struct {
    VmmImage image;
    VmmImage *backing; /* NULL: none */
    unsigned cluster_bits;
    uint64_t cluster_size;
    /* Guards the tables: the worker changes them, the loop looks into them if it is free. */
    pthread_mutex_t lock;
    uint64_t *l1; /* in the host's order */
    uint32_t l1_entries;
    uint64_t l1_offset;
    uint32_t l1_dirty_from; /* entries [from, to) differ from the file's */
    uint32_t l1_dirty_to;
    uint32_t slice_size;
    VmmQcow2Slice slices[VMM_QCOW2_SLICES];
    VmmQcow2Slice *recent;
    uint64_t clock;
    bool is_dirty; /* a slice or l1 is */
    /* The worker's. */
    uint64_t refcount_table;
    uint32_t refcount_entries;
    uint64_t next_free;   /* the cluster that is allocated next */
    uint64_t counted;     /* clusters from here to next_free have no reference count yet */
    uint64_t known_block; /* a block of reference counts that exists; UINT64_MAX: none known */
    uint8_t *buffer;      /* a cluster's worth */
    VmmQcow2Compressed *compressed;
} VmmQcow2;

typedef enum {
    VMM_QCOW2_IS_ABSENT, /* the backing image's, or zeros */
    VMM_QCOW2_IS_ZERO,
    VMM_QCOW2_IS_DATA,
    VMM_QCOW2_IS_COMPRESSED, /* inside one cluster */
} VmmQcow2Kind;

/* Bytes of the disk that have one kind, and for data follow each other in the file. */
typedef struct {
    VmmQcow2Kind kind;
    uint64_t host;       /* of the first byte; 0: no cluster is allocated */
    uint64_t compressed; /* the entry of one that is */
    bool is_ours;
    uint64_t length;
} VmmQcow2Stretch;

/* --- qcow2_table.c; with the lock held --- */

/* What the second table says of a cluster of the disk. 0; -EAGAIN when that would need a read and
 * `may_block` is false; -EIO when the tables are damaged. */
int vmm_qcow2_get(VmmQcow2 *image, uint64_t cluster, bool may_block, uint64_t *entry);
int vmm_qcow2_set(VmmQcow2 *image, uint64_t cluster, uint64_t entry);

/* Writes all changed metadata, see above. Without a sync after it. */
int vmm_qcow2_commit(VmmQcow2 *image);

/* Whether an offset can be that of a cluster: on a boundary, behind the header, in what the file
 * has allocated. */
bool vmm_qcow2_is_cluster(const VmmQcow2 *image, uint64_t offset);

/* --- qcow2_alloc.c --- */

/* Finds where allocation starts. */
int vmm_qcow2_find_free(VmmQcow2 *image);
/* A new cluster; its content is undefined. */
int vmm_qcow2_allocate(VmmQcow2 *image, uint64_t *offset);
/* Takes the last allocation back, when it was this. */
void vmm_qcow2_unallocate(VmmQcow2 *image, uint64_t offset);
/* Writes the reference counts of new clusters. */
int vmm_qcow2_write_refcounts(VmmQcow2 *image);
/* Takes a reference from a cluster. What fails is a leak, and no more. */
void vmm_qcow2_drop_reference(const VmmQcow2 *image, uint64_t offset);

/* --- qcow2_compressed.c; for entries that are VMM_QCOW2_COMPRESSED --- */

/* Whether there can be such an entry; with the lock held. */
bool vmm_qcow2_is_compressed(const VmmQcow2 *image, uint64_t entry);
/* The cluster's content, good until the next call; -EIO when it does not make a cluster. */
int vmm_qcow2_decompress(VmmQcow2 *image, uint64_t entry, const uint8_t **cluster);
/* The tables do not have the entry any more, those in memory. With the lock held. */
void vmm_qcow2_let_go(VmmQcow2 *image, uint64_t entry);
bool vmm_qcow2_has_let_go(const VmmQcow2 *image);
/* Drops the references of what was let go of, after a sync that followed vmm_qcow2_commit(). */
void vmm_qcow2_drop_let_go(VmmQcow2 *image);
void vmm_qcow2_compressed_free(VmmQcow2Compressed *compressed); /* NULL is fine */

/* --- qcow2.c --- */

extern const VmmImageOps vmm_qcow2_ops;
VmmQcow2 *vmm_qcow2_of(VmmImage *image);
/* The stretch that the range begins with, cut to the range. */
int vmm_qcow2_find(VmmQcow2 *image, uint64_t offset, uint64_t length, VmmQcow2Stretch *stretch);
/* Bytes of the disk in a stretch that was found. */
int vmm_qcow2_read(VmmQcow2 *image, const VmmQcow2Stretch *stretch, uint64_t offset,
                   const struct iovec *parts, unsigned n);

/* --- qcow2_write.c: those of VmmImageOps --- */

int vmm_qcow2_write(VmmImage *base, uint64_t offset, const struct iovec *parts, unsigned n);
int vmm_qcow2_zero(VmmImage *base, uint64_t offset, uint64_t length, bool unmap);
int vmm_qcow2_discard(VmmImage *base, uint64_t offset, uint64_t length);
