/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed clusters: raw deflate streams that stand one behind the other in the file, at any byte
 * and across the boundaries of its clusters. Images are published so.
 *
 * An entry tells the first byte and the sectors, and nothing of it is believed: the whole range has
 * to be in the file, a stream has to end where the cluster does, and what is behind it in its last
 * sector is somebody else's. The last cluster that was read is kept: a guest reads it in pieces.
 *
 * When the guest writes such a cluster it gets one of its own, and the stream is let go of. Each
 * cluster of the file counts the streams that touch it, and none may be counted less often than a
 * table on the medium points there: references are dropped after the sync that follows the tables.
 * A cut-off before that leaks them.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "vmm/disk/qcow2.h"

#define SECTOR 512U
#define WINDOW_BITS (-12) /* raw, and as long a window as qemu-img's */
#define LET_GO_MAX 256

struct VmmQcow2Compressed {
    z_stream stream;
    uint64_t cached;  /* the entry whose content is in `cluster`; 0: none's */
    uint8_t *cluster; /* with room for the longest stream that an entry can tell of behind it */
    uint64_t let_go[LET_GO_MAX];
    unsigned n_let_go;
};

typedef struct {
    uint64_t offset;
    uint64_t length; /* 1 to two clusters */
} Range;

static Range range_of(const VmmQcow2 *image, uint64_t entry)
{
    unsigned bits = 62 - (image->cluster_bits - 8);
    uint64_t sectors = (entry & (VMM_QCOW2_COMPRESSED - 1)) >> bits;
    uint64_t offset = entry & ((1ULL << bits) - 1);
    return (Range){offset, (sectors + 1) * SECTOR - offset % SECTOR};
}

bool vmm_qcow2_is_compressed(const VmmQcow2 *image, uint64_t entry)
{
    Range range = range_of(image, entry);
    uint64_t last = range.offset + range.length - 1;
    return !(entry & VMM_QCOW2_OURS) && range.offset >= image->cluster_size &&
           last >> image->cluster_bits < image->next_free;
}

static VmmQcow2Compressed *make(const VmmQcow2 *image)
{
    VmmQcow2Compressed *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->cluster = malloc(3 * image->cluster_size);
    if (made->cluster && inflateInit2(&made->stream, WINDOW_BITS) == Z_OK)
        return made;
    free(made->cluster);
    free(made);
    return NULL;
}

static VmmQcow2Compressed *get(VmmQcow2 *image)
{
    if (!image->compressed)
        image->compressed = make(image);
    return image->compressed;
}

void vmm_qcow2_compressed_free(VmmQcow2Compressed *compressed)
{
    if (!compressed)
        return;
    inflateEnd(&compressed->stream);
    free(compressed->cluster);
    free(compressed);
}

static int inflate_range(const VmmQcow2 *image, VmmQcow2Compressed *compressed, Range range)
{
    z_stream *stream = &compressed->stream;
    uint8_t *input = compressed->cluster + image->cluster_size;
    int failed = vmm_image_pread_bytes(image->image.fd, range.offset, input, range.length);
    if (failed || inflateReset(stream) != Z_OK)
        return failed ? failed : -EIO;
    stream->next_in = input;
    stream->avail_in = (uInt)range.length;
    stream->next_out = compressed->cluster;
    stream->avail_out = (uInt)image->cluster_size;
    int end = inflate(stream, Z_FINISH);
    return end == Z_STREAM_END && stream->avail_out == 0 ? 0 : end == Z_MEM_ERROR ? -ENOMEM : -EIO;
}

int vmm_qcow2_decompress(VmmQcow2 *image, uint64_t entry, const uint8_t **cluster)
{
    VmmQcow2Compressed *compressed = get(image);
    if (!compressed)
        return -ENOMEM;
    *cluster = compressed->cluster;
    if (compressed->cached == entry)
        return 0;
    compressed->cached = 0;
    int failed = inflate_range(image, compressed, range_of(image, entry));
    if (!failed)
        compressed->cached = entry;
    return failed;
}

/* --- Letting go --- */

bool vmm_qcow2_has_let_go(const VmmQcow2 *image)
{
    return image->compressed && image->compressed->n_let_go > 0;
}

void vmm_qcow2_drop_let_go(VmmQcow2 *image)
{
    if (!vmm_qcow2_has_let_go(image))
        return;
    VmmQcow2Compressed *compressed = image->compressed;
    for (unsigned i = 0; i < compressed->n_let_go; i++) {
        Range range = range_of(image, compressed->let_go[i]);
        uint64_t end = range.offset + range.length;
        uint64_t start = range.offset & ~(image->cluster_size - 1);
        for (; start < end; start += image->cluster_size)
            vmm_qcow2_drop_reference(image, start);
    }
    compressed->n_let_go = 0;
}

/* When there is no room to remember it, room is made; where that fails it is leaked. */
void vmm_qcow2_let_go(VmmQcow2 *image, uint64_t entry)
{
    VmmQcow2Compressed *compressed = get(image);
    if (!compressed)
        return;
    if (compressed->n_let_go == LET_GO_MAX && vmm_qcow2_commit(image) == 0 &&
        fdatasync(image->image.fd) == 0)
        vmm_qcow2_drop_let_go(image);
    if (compressed->n_let_go < LET_GO_MAX)
        compressed->let_go[compressed->n_let_go++] = entry;
}
