/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header, and what is refused: a table of reasons. An image that its last user did not close is
 * taken when it is sound without repair, which all but one marked dirty are.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/disk/qcow2.h"

#define MAGIC 0x514649fbU
#define VERSION 3
#define OLD_VERSION 2
#define OLD_HEADER 72U /* bytes; the features that come behind are of version 3 */
#define HEADER_MIN 104U
#define HEADER_MAX 4096U
#define REFCOUNT_ORDER 4 /* 16 bits */
#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21
#define DISK_MAX (1ULL << 56)
#define EXTENSION_END 0U
#define EXTENSION_BACKING_FORMAT 0xe2792acaU
#define AUTOCLEAR_OFFSET 88

/* As in the file: big-endian. */
typedef struct {
    uint32_t magic;
    uint32_t version;
    uint64_t backing_name;
    uint32_t backing_name_length;
    uint32_t cluster_bits;
    uint64_t size;
    uint32_t crypt_method;
    uint32_t l1_entries;
    uint64_t l1_offset;
    uint64_t refcount_table;
    uint32_t refcount_table_clusters;
    uint32_t n_snapshots;
    uint64_t snapshots;
    uint64_t incompatible;
    uint64_t compatible;
    uint64_t autoclear;
    uint32_t refcount_order;
    uint32_t header_length;
} Header;

_Static_assert(sizeof(Header) == HEADER_MIN, "as the format has it");

static const char *const incompatible_features[] = {
    "is marked dirty: 'qemu-img check -r all' repairs it",
    "is marked corrupt",
    "has its data in another file",
    "has a compression of its own",
    "has extended tables",
};

static int read_header(int fd, Header *header)
{
    int failed = vmm_image_pread_bytes(fd, 0, header, sizeof *header);
    header->magic = be32toh(header->magic);
    header->version = be32toh(header->version);
    header->backing_name = be64toh(header->backing_name);
    header->backing_name_length = be32toh(header->backing_name_length);
    header->cluster_bits = be32toh(header->cluster_bits);
    header->size = be64toh(header->size);
    header->crypt_method = be32toh(header->crypt_method);
    header->l1_entries = be32toh(header->l1_entries);
    header->l1_offset = be64toh(header->l1_offset);
    header->refcount_table = be64toh(header->refcount_table);
    header->refcount_table_clusters = be32toh(header->refcount_table_clusters);
    header->n_snapshots = be32toh(header->n_snapshots);
    header->incompatible = be64toh(header->incompatible);
    header->autoclear = be64toh(header->autoclear);
    header->refcount_order = be32toh(header->refcount_order);
    header->header_length = be32toh(header->header_length);
    if (header->version == OLD_VERSION) {
        header->incompatible = header->autoclear = 0;
        header->refcount_order = REFCOUNT_ORDER;
        header->header_length = OLD_HEADER;
    }
    return failed;
}

static const char *refuse_features(const Header *header)
{
    if (header->incompatible == 0)
        return NULL;
    unsigned bit = (unsigned)__builtin_ctzll(header->incompatible);
    return bit < sizeof incompatible_features / sizeof *incompatible_features
               ? incompatible_features[bit]
               : "has a feature that is not known";
}

/* Version 2, in which images are still published, can be read; it has no clusters of zeros, which
 * are written here. */
static bool is_of_known_version(const Header *header, bool is_read_only)
{
    return header->version == VERSION || (header->version == OLD_VERSION && is_read_only);
}

/* Why the image is not taken, or NULL. */
static const char *refuse(const Header *header, bool is_read_only)
{
    uint32_t header_min = header->version == OLD_VERSION ? OLD_HEADER : HEADER_MIN;
    const struct {
        bool is_so;
        const char *why;
    } reasons[] = {
        {header->magic != MAGIC, "is not a qcow2 image"},
        {!is_of_known_version(header, is_read_only),
         "is not of version 3: 'qemu-img amend -o compat=1.1'"},
        {header->cluster_bits < CLUSTER_BITS_MIN || header->cluster_bits > CLUSTER_BITS_MAX,
         "has clusters of a size that is not allowed"},
        {header->crypt_method != 0, "is encrypted"},
        {header->n_snapshots != 0, "has snapshots inside"},
        {header->refcount_order != REFCOUNT_ORDER, "has reference counts of other than 16 bits"},
        {header->header_length < header_min || header->header_length > HEADER_MAX,
         "has a header of a length that is not known"},
        {header->size > DISK_MAX, "is too large"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].is_so)
            return reasons[i].why;
    return refuse_features(header);
}

/* The first table must reach to the disk's end, and the tables must be where tables can be. */
static int check_tables(VmmQcow2 *image, const Header *header, VmmError *error)
{
    unsigned table_bits = 2 * image->cluster_bits - 3;
    uint64_t needed = (header->size + (1ULL << table_bits) - 1) >> table_bits;
    uint64_t refcounts = (uint64_t)header->refcount_table_clusters << image->cluster_bits;
    uint64_t mask = image->cluster_size - 1;
    if (needed > header->l1_entries || needed > VMM_QCOW2_L1_MAX / sizeof(uint64_t))
        return vmm_error(error, -EINVAL, "its first table does not fit its size");
    if (refcounts == 0 || refcounts > VMM_QCOW2_REFCOUNT_TABLE_MAX)
        return vmm_error(error, -EINVAL, "its table of reference counts has a wrong size");
    if ((header->l1_offset | header->refcount_table) & mask ||
        header->l1_offset > VMM_QCOW2_FILE_MAX || header->refcount_table > VMM_QCOW2_FILE_MAX)
        return vmm_error(error, -EINVAL, "its tables are not where tables can be");
    image->l1_entries = (uint32_t)needed;
    image->l1_offset = header->l1_offset;
    image->refcount_table = header->refcount_table;
    image->refcount_entries = (uint32_t)(refcounts / sizeof(uint64_t));
    return 0;
}

static int load_l1(VmmQcow2 *image)
{
    uint64_t bytes = image->l1_entries * sizeof *image->l1;
    image->l1 = malloc(bytes ? bytes : 1);
    if (!image->l1)
        return -ENOMEM;
    int failed = vmm_image_pread_bytes(image->image.fd, image->l1_offset, image->l1, bytes);
    for (uint32_t i = 0; i < image->l1_entries; i++)
        image->l1[i] = be64toh(image->l1[i]);
    return failed;
}

/* The format of the backing image; -ENOENT when the header does not tell. */
static int backing_format(int fd, const Header *header, char *format, size_t room)
{
    uint64_t offset = header->header_length;
    while (offset + 8 <= HEADER_MAX) {
        uint32_t words[2];
        int failed = vmm_image_pread_bytes(fd, offset, words, sizeof words);
        uint32_t kind = be32toh(words[0]), length = be32toh(words[1]);
        if (failed || kind == EXTENSION_END || length > HEADER_MAX)
            return failed ? failed : -ENOENT;
        if (kind == EXTENSION_BACKING_FORMAT && length < room) {
            format[length] = '\0';
            return vmm_image_pread_bytes(fd, offset + sizeof words, format, length);
        }
        offset += sizeof words + (length + 7) / 8 * 8;
    }
    return -ENOENT;
}

static int open_backing(VmmQcow2 *image, const Header *header, const int *fds, unsigned n_fds,
                        VmmError *error)
{
    char format[16] = "";
    if (header->backing_name == 0)
        return n_fds == 0 ? 0 : vmm_error(error, -EINVAL, "it is backed by nothing");
    if (n_fds == 0)
        return vmm_error(error, -EINVAL, "what it is backed by was not given");
    if (backing_format(image->image.fd, header, format, sizeof format) < 0)
        return vmm_error(error, -EINVAL, "it does not tell the format of what it is backed by");
    if (strcmp(format, "qcow2") == 0)
        return vmm_qcow2_open(&image->backing, fds, n_fds, true, error);
    if (strcmp(format, "raw") != 0)
        return vmm_error(error, -EINVAL, "it is backed by an image of another format");
    if (n_fds > 1)
        return vmm_error(error, -EINVAL, "a raw image is backed by nothing");
    return vmm_raw_open(&image->backing, fds[0], true, error);
}

/* Features that only hold as long as nobody changes the image who does not know them. */
static int clear_autoclear(const VmmQcow2 *image, const Header *header)
{
    uint64_t none = 0;
    if (image->image.is_read_only || header->autoclear == 0)
        return 0;
    return vmm_image_pwrite_bytes(image->image.fd, AUTOCLEAR_OFFSET, &none, sizeof none);
}

/* The table of reference counts is not moved to make it longer: it must do for a full disk, with a
 * second table a cluster's worth of entries and a block a cluster's worth of counts. What is
 * compressed cannot be told from here: in an image full of it, with small clusters, writes may find
 * no room in the end. */
static bool is_room_counted(const VmmQcow2 *image)
{
    uint64_t per_block = image->cluster_size / sizeof(uint16_t);
    uint64_t data = (image->image.size + image->cluster_size - 1) >> image->cluster_bits;
    uint64_t tables = image->l1_entries;
    uint64_t blocks = (data + tables + image->next_free) / per_block + 1;
    return (data + tables + blocks) / per_block < image->refcount_entries;
}

static int open_tables(VmmQcow2 *image, const Header *header, VmmError *error)
{
    int failed = check_tables(image, header, error);
    if (failed)
        return failed;
    failed = vmm_qcow2_find_free(image);
    if (!failed && !image->image.is_read_only && !is_room_counted(image))
        return vmm_error(error, -EINVAL,
                         "its table of reference counts is too short for its size: "
                         "larger clusters help");
    if (!failed)
        failed = load_l1(image);
    if (!failed)
        failed = clear_autoclear(image, header);
    return failed ? vmm_error_errno(error, failed, "its tables cannot be read") : 0;
}

int vmm_qcow2_open(VmmImage **image, const int *fds, unsigned n_fds, bool is_read_only,
                   VmmError *error)
{
    Header header;
    int failed = read_header(fds[0], &header);
    if (failed)
        return vmm_error_errno(error, failed, "the image cannot be read");
    const char *why = refuse(&header, is_read_only);
    if (why)
        return vmm_error(error, -EINVAL, "the image %s", why);
    VmmQcow2 *made = calloc(1, sizeof *made);
    if (!made)
        return vmm_error_errno(error, -ENOMEM, "the image cannot be opened");
    made->image = (VmmImage){
        .ops = &vmm_qcow2_ops, .size = header.size, .is_read_only = is_read_only, .fd = fds[0]};
    pthread_mutex_init(&made->lock, NULL);
    made->cluster_bits = header.cluster_bits;
    made->cluster_size = 1ULL << header.cluster_bits;
    made->slice_size = made->cluster_size < VMM_QCOW2_SLICE_SIZE ? (uint32_t)made->cluster_size
                                                                 : VMM_QCOW2_SLICE_SIZE;
    failed = open_tables(made, &header, error);
    if (!failed)
        failed = open_backing(made, &header, fds + 1, n_fds - 1, error);
    if (failed)
        vmm_image_close(&made->image);
    else
        *image = &made->image;
    return failed;
}
