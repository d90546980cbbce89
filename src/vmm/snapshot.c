/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: a header of 32 bytes (magic, version, checksum, length), then sections (state.h): the
 * machine's description, what the architecture keeps, and every virtio device in its slot's order.
 *
 * All of it is read and judged before KVM is given anything. Which version of the program wrote it
 * does not matter and is not in it: formats and sections have versions of their own, so that a
 * template outlives an upgrade that changes neither.
 */
#include "vmm/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cleanup.h"

#define MAGIC "STEADVMM"
#define FORMAT_VERSION 2
#define PAGES_AT_ONCE 256

typedef struct {
    char magic[8];
    uint32_t version;
    uint32_t reserved;
    uint64_t checksum; /* of the bytes behind the header and of their number */
    uint64_t length;
} Header;

/* FNV-1a over 64-bit words, then bytes: it is to find damage, not malice. */
static uint64_t checksum(const uint8_t *bytes, size_t length)
{
    uint64_t sum = 0xcbf29ce484222325ULL ^ length, word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum = (sum ^ le64toh(word)) * 0x100000001b3ULL;
        sum ^= sum >> 32;
    }
    for (; length > 0; bytes++, length--)
        sum = (sum ^ *bytes) * 0x100000001b3ULL;
    return sum;
}

static int write_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t n = pwrite(fd, at, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        at += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

/* --- memory --- */

static bool is_zero(const uint8_t *page)
{
    uint64_t first;
    memcpy(&first, page, sizeof first);
    return first == 0 && memcmp(page, page + sizeof first, VMM_MEMORY_PAGE - sizeof first) == 0;
}

/* Holes stay where pages are zero: the file was cut to nothing before. */
static int write_region(int fd, const VmmRegion *region)
{
    int failed = 0;
    uint64_t at = 0;
    while (!failed && at < region->length) {
        uint64_t start = at;
        while (at < region->length && at - start < PAGES_AT_ONCE * VMM_MEMORY_PAGE &&
               !is_zero(region->host + at))
            at += VMM_MEMORY_PAGE;
        failed = write_all(fd, region->host + start, at - start, region->offset + start);
        while (at < region->length && is_zero(region->host + at))
            at += VMM_MEMORY_PAGE;
    }
    return failed;
}

static int save_memory(const VmmMemory *memory, int fd, VmmError *error)
{
    const VmmRegion *regions;
    size_t n = vmm_memory_regions(memory, &regions);
    int failed = 0;
    if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)vmm_memory_size(memory)) < 0)
        failed = -errno;
    for (size_t i = 0; !failed && i < n; i++)
        failed = write_region(fd, &regions[i]);
    return failed ? vmm_error_errno(error, failed, "cannot write the memory") : 0;
}

/* --- state --- */

static void save_machine(const VmmVm *vm, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "machine", 1);
    vmm_state_put_u64(writer, vmm_memory_size(vm->memory));
    vmm_state_put_u32(writer, vm->machine.n_vcpus);
    vmm_state_put_u32(writer, vm->n_slots);
    for (unsigned i = 0; i < vm->n_slots; i++)
        vmm_state_put_u32(writer, vmm_mmio_device(vm->slots[i].mmio)->ops->id);
    vmm_state_end(writer);
}

static void save_everything(VmmVm *vm, VmmStateWriter *writer)
{
    save_machine(vm, writer);
    vmm_arch_save(&vm->machine, writer);
    for (unsigned i = 0; i < vm->n_slots; i++) {
        int failed = vmm_mmio_save(vm->slots[i].mmio, writer);
        if (failed && !writer->failed)
            writer->failed = failed;
    }
}

static int write_state(const VmmStateWriter *writer, int fd, VmmError *error)
{
    Header header = {
        .magic = MAGIC,
        .version = htole32(FORMAT_VERSION),
        .checksum = htole64(checksum(writer->bytes, writer->length)),
        .length = htole64(writer->length),
    };
    int failed = ftruncate(fd, 0) < 0 ? -errno : 0;
    if (!failed)
        failed = write_all(fd, writer->bytes, writer->length, sizeof header);
    if (!failed)
        failed = write_all(fd, &header, sizeof header, 0);
    return failed ? vmm_error_errno(error, failed, "cannot write the state") : 0;
}

static int save_paused(VmmVm *vm, int state, int memory, VmmError *error)
{
    VmmStateWriter writer = {0};
    save_everything(vm, &writer);
    int failed = writer.failed;
    if (failed)
        vmm_error_errno(error, failed, "cannot read the machine's state");
    else
        failed = write_state(&writer, state, error);
    vmm_state_writer_free(&writer);
    if (!failed && memory >= 0)
        failed = save_memory(vm->memory, memory, error);
    return failed;
}

int vmm_snapshot_save(VmmVm *vm, int state, int memory, VmmError *error)
{
    bool has_file = vm->options->memory_fd >= 0 && !vm->options->memory_is_private;
    if (memory < 0 && !has_file)
        return vmm_error(error, -EINVAL, "the guest's memory is in no file: name one for it");
    if (vm->state != VMM_VM_RUNNING && vm->state != VMM_VM_PAUSED)
        return vmm_error(error, -EINVAL, "there is no guest to save");
    vmm_machine_pause(&vm->machine);
    for (unsigned i = 0; i < vm->n_slots; i++)
        vmm_mmio_pause(vm->slots[i].mmio);
    int failed = save_paused(vm, state, memory, error);
    if (vm->state != VMM_VM_RUNNING)
        return failed;
    for (unsigned i = 0; i < vm->n_slots; i++)
        vmm_mmio_resume(vm->slots[i].mmio);
    vmm_machine_resume(&vm->machine);
    return failed;
}

int vmm_snapshot_open(VmmStateReader *reader, const void *bytes, size_t length, VmmError *error)
{
    Header header;
    if (length < sizeof header)
        return vmm_error(error, -EINVAL, "the snapshot is cut short");
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, MAGIC, sizeof header.magic) != 0)
        return vmm_error(error, -EINVAL, "this is no snapshot of stead-vmm");
    if (le32toh(header.version) != FORMAT_VERSION)
        return vmm_error(error, -EINVAL, "the snapshot has format %u, this program reads %d",
                         le32toh(header.version), FORMAT_VERSION);
    const uint8_t *body = (const uint8_t *)bytes + sizeof header;
    size_t rest = length - sizeof header;
    if (le64toh(header.length) != rest)
        return vmm_error(error, -EINVAL, "the snapshot is cut short");
    if (header.reserved != 0 || le64toh(header.checksum) != checksum(body, rest))
        return vmm_error(error, -EINVAL, "the snapshot is damaged: its checksum is wrong");
    vmm_state_reader_init(reader, body, rest);
    return 0;
}

static void load_machine(const VmmVm *vm, VmmStateReader *reader)
{
    vmm_state_enter(reader, "machine", 1);
    uint64_t memory = vmm_state_get_u64(reader);
    uint32_t n_vcpus = vmm_state_get_u32(reader), n_slots = vmm_state_get_u32(reader);
    if (memory != vmm_memory_size(vm->memory))
        vmm_state_refuse(reader, "it is of a guest with %llu MiB of memory",
                         (unsigned long long)memory >> 20);
    if (n_vcpus != vm->machine.n_vcpus)
        vmm_state_refuse(reader, "it is of a guest with %u vCPUs", n_vcpus);
    if (n_slots != vm->n_slots)
        vmm_state_refuse(reader, "it is of a guest with %u virtio devices", n_slots);
    for (unsigned i = 0; i < vm->n_slots; i++)
        if (vmm_state_get_u32(reader) != vmm_mmio_device(vm->slots[i].mmio)->ops->id)
            vmm_state_refuse(reader, "its virtio device %u is of another kind", i);
    vmm_state_leave(reader);
}

int vmm_snapshot_read(VmmVm *vm, VmmStateReader *reader)
{
    load_machine(vm, reader);
    if (!reader->failed)
        vmm_arch_load(&vm->machine, reader);
    for (unsigned i = 0; i < vm->n_slots && !reader->failed; i++)
        vmm_mmio_load(vm->slots[i].mmio, reader);
    if (!reader->failed && reader->at != reader->length)
        vmm_state_refuse(reader, "more follows it than this machine has");
    return reader->failed;
}

int vmm_snapshot_load_bytes(VmmVm *vm, const void *bytes, size_t length, VmmError *error)
{
    VmmStateReader reader;
    int failed = vmm_snapshot_open(&reader, bytes, length, error);
    if (failed)
        return failed;
    failed = vmm_snapshot_read(vm, &reader);
    if (failed)
        return vmm_error(error, failed, "%s", reader.why.text);
    failed = vmm_arch_apply(&vm->machine, error);
    for (unsigned i = 0; i < vm->n_slots && !failed; i++)
        vmm_mmio_resume(vm->slots[i].mmio);
    return failed;
}

int vmm_snapshot_load(VmmVm *vm, int state, VmmError *error)
{
    struct stat status;
    if (fstat(state, &status) < 0)
        return vmm_error_errno(error, -errno, "cannot read the snapshot");
    if (status.st_size < 0 || (uint64_t)status.st_size > VMM_STATE_MAX + sizeof(Header))
        return vmm_error(error, -EFBIG, "the snapshot is too large");
    size_t length = (size_t)status.st_size;
    VMM_AUTOFREE void *bytes = malloc(length ? length : 1);
    if (bytes == NULL)
        return vmm_error_errno(error, -ENOMEM, "cannot read the snapshot");
    ssize_t n = pread(state, bytes, length, 0);
    if (n != (ssize_t)length)
        return vmm_error_errno(error, n < 0 ? -errno : -EIO, "cannot read the snapshot");
    return vmm_snapshot_load_bytes(vm, bytes, length, error);
}
