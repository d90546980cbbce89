/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three disks (in the ring, in a thread, of qcow2), two logs, a network device and random numbers.
 * What a guest's register brings about happens in a thread that is sealed as a vCPU's: its worker.
 */
#include "seccomp-devices.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rig.h"
#include "seccomp-trace.h"
#include "vmm/disk/disk.h"
#include "vmm/disk/uring.h"
#include "vmm/log.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"

#define DISK_SIZE (1 << 20)
#define ELSEWHERE (512 << 10) /* on a disk: in a cluster that nothing was written to */
#define N_DISKS 3
#define NOT_SEALED 99
#define LATE_NS 200000000 /* a read that is under way when a guest resets its disk */

/* --- disks --- */

typedef struct {
    VmmDiskRequest request;
    gboolean is_done;
} Wait;

static void on_done(VmmDiskRequest *request, int result)
{
    Wait *wait = (Wait *)request;
    wait->is_done = result == 0;
}

static void run_request(VmmDisk *disk, VmmLoop *loop, VmmDiskOp op, uint64_t offset)
{
    static char bytes[4096];
    static const struct iovec part = {bytes, sizeof bytes};
    Wait wait = {{.op = op,
                  .offset = offset,
                  .length = sizeof bytes,
                  .parts = &part,
                  .n_parts = 1,
                  .done = on_done}};
    vmm_disk_submit(disk, &wait.request);
    vmm_disk_kick(disk);
    while (!wait.is_done)
        vmm_loop_iterate(loop, -1);
}

static int new_file(uint64_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    return fd;
}

static VmmDisk *new_disk(VmmLoop *loop, VmmDiskFormat format, int fd, gboolean no_uring)
{
    VmmDisk *disk = NULL;
    VmmDiskOptions options = {
        .fds = {fd},
        .n_fds = 1,
        .format = format,
        .no_uring = no_uring,
        .prepare_thread = vmm_seccomp_seal_disk,
    };
    g_assert_cmpint(vmm_disk_new(&disk, loop, &options, NULL), ==, 0);
    return disk;
}

/* The last write is not flushed: what settles the disk, or closes it, has tables to write. */
static void use_disk(VmmDisk *disk, VmmLoop *loop)
{
    static const VmmDiskOp ops[] = {VMM_DISK_WRITE, VMM_DISK_READ, VMM_DISK_FLUSH, VMM_DISK_DISCARD,
                                    VMM_DISK_ZERO};
    for (size_t i = 0; i < G_N_ELEMENTS(ops); i++)
        run_request(disk, loop, ops[i], 0);
    run_request(disk, loop, VMM_DISK_WRITE, ELSEWHERE);
    g_assert_cmpint(vmm_disk_settle(disk), ==, 0);
}

/* --- the C library --- */

/* It asks the kernel in all its ways. */
static void use_memory(void)
{
    char *large = malloc(1 << 20);
    char *larger = realloc(large, 64 << 20);
    larger[0] = 1;
    for (int i = 0; i < 65536; i++) {
        char *volatile small = malloc(512);
        small[0] = larger[0];
    }
    free(larger);
}

/* --- all of it --- */

typedef struct {
    VmmJob job; /* first */
    VmmLoop *loop;
    VmmDisk *disks[N_DISKS];
    VmmLog *logs[2];
    VmmWorker *disk_thread, *vcpu;
    VmmUring *ring; /* NULL: the host has none */
    int late;       /* a timer to be read */
    Rig *rng, *net;
    int net_ends[2];
    VmmMemory *shared;
} Devices;

static VmmLog *new_log(const char *folder, unsigned backups)
{
    VmmLog *log = NULL;
    VmmLogOptions options = {
        .where = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .name = backups ? "kept" : "dropped",
        .size = VMM_LOG_SIZE_MIN,
        .backups = backups,
    };
    g_assert_cmpint(vmm_log_new(&log, &options), ==, 0);
    return log;
}

static void make_disks(Devices *devices, const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "qcow2", NULL);
    int qcow2 = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(qcow2, >=, 0);
    devices->disks[0] = new_disk(devices->loop, VMM_DISK_RAW, new_file(DISK_SIZE), FALSE);
    devices->disks[1] = new_disk(devices->loop, VMM_DISK_RAW, new_file(DISK_SIZE), TRUE);
    devices->disks[2] = new_disk(devices->loop, VMM_DISK_QCOW2, qcow2, FALSE);
    devices->late = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (vmm_uring_new(&devices->ring, devices->loop) != 0)
        devices->ring = NULL;
}

static Rig *new_rig(int (*make)(VmmVirtio **device, Rig *rig, Devices *devices), Devices *devices)
{
    VmmVirtio *device = NULL;
    Rig *rig = rig_new();
    g_assert_cmpint(make(&device, rig, devices), ==, 0);
    rig_attach(rig, device);
    return rig;
}

static int make_rng(VmmVirtio **device, Rig *rig, Devices *devices)
{
    return vmm_rng_new(device, rig->memory, rig->loop);
}

static int make_net(VmmVirtio **device, Rig *rig, Devices *devices)
{
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, devices->net_ends);
    VmmNetOptions options = {.fd = devices->net_ends[0]};
    return vmm_net_new(device, rig->memory, rig->loop, &options);
}

static void make_devices(Devices *devices, const char *folder)
{
    *devices = (Devices){0};
    g_assert_cmpint(vmm_loop_new(&devices->loop, NULL), ==, 0);
    make_disks(devices, folder);
    for (unsigned i = 0; i < 2; i++)
        devices->logs[i] = new_log(folder, i);
    g_assert_cmpint(vmm_worker_new(&devices->disk_thread, devices->loop, vmm_seccomp_seal_disk), ==,
                    0);
    g_assert_cmpint(vmm_worker_new(&devices->vcpu, devices->loop, vmm_seccomp_seal_vcpu), ==, 0);
    devices->rng = new_rig(make_rng, devices);
    devices->net = new_rig(make_net, devices);
    int file = new_file(RIG_MEMORY);
    g_assert_cmpint(vmm_memory_new(&devices->shared, RIG_MEMORY, file, true), ==, 0);
}

static void on_late(VmmUringOp *op, int result)
{
    g_assert_cmpint(result, ==, sizeof(uint64_t));
}

/* A guest's registers: its drivers are ready, and it resets a disk that has something under way. */
static void run_registers(VmmJob *job)
{
    Devices *devices = (Devices *)job;
    struct itimerspec soon = {.it_value.tv_nsec = LATE_NS};
    rig_start(devices->rng, 0);
    rig_start(devices->net, 0);
    timerfd_settime(devices->late, 0, &soon, NULL);
    if (devices->ring)
        vmm_uring_drain(devices->ring);
}

static void run_memory(VmmJob *job)
{
    use_memory();
}

static void job_done(VmmJob *job)
{
}

static void read_late(Devices *devices)
{
    static uint64_t count;
    static const struct iovec part = {&count, sizeof count};
    static VmmUringOp op = {.done = on_late};
    if (devices->ring == NULL)
        return;
    g_assert_cmpint(vmm_uring_read(devices->ring, &op, devices->late, &part, 1, 0), ==, 0);
    vmm_uring_kick(devices->ring);
}

/* What a balloon takes, of memory that is a shared file's, and that is not. */
static void use_guest_memory(const Devices *devices)
{
    g_assert_cmpint(vmm_memory_discard(devices->rng->memory, RIG_DATA, VMM_MEMORY_PAGE), ==, 0);
    g_assert_cmpint(vmm_memory_discard(devices->shared, RIG_DATA, VMM_MEMORY_PAGE), ==, 0);
    vmm_memory_free(devices->shared);
}

static void use_rigs(Devices *devices)
{
    static uint8_t bytes[64];
    rig_add(devices->rng, 0, &(RigBuffer){RIG_DATA, 64, TRUE}, 1);
    rig_kick(devices->rng, 0);
    rig_wait_used(devices->rng, 0);
    rig_add(devices->net, 1, &(RigBuffer){RIG_DATA, 64, FALSE}, 1);
    rig_kick(devices->net, 1);
    rig_wait_used(devices->net, 1);
    rig_add(devices->net, 0, &(RigBuffer){RIG_DATA, 2048, TRUE}, 1);
    rig_kick(devices->net, 0);
    send(devices->net_ends[1], bytes, sizeof bytes, 0);
    rig_wait_used(devices->net, 0);
}

static void use_devices(Devices *devices)
{
    static uint8_t bytes[3000];
    VmmJob memory = {.run = run_memory, .done = job_done};
    devices->job = (VmmJob){.run = run_registers, .done = job_done};
    read_late(devices);
    vmm_worker_add(devices->vcpu, &devices->job);
    vmm_worker_drain(devices->vcpu);
    use_rigs(devices);
    use_guest_memory(devices);
    for (unsigned i = 0; i < N_DISKS; i++)
        use_disk(devices->disks[i], devices->loop);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 6; j++)
            vmm_log_write(devices->logs[i], bytes, sizeof bytes);
    for (unsigned i = 0; i < N_DISKS; i++)
        vmm_disk_free(devices->disks[i]);
    vmm_worker_add(devices->disk_thread, &memory);
    vmm_worker_free(devices->disk_thread);
    vmm_worker_free(devices->vcpu);
    use_memory();
}

_Noreturn void devices_work(const char *folder)
{
    Devices devices;
    trace_me();
    make_devices(&devices, folder);
    if (vmm_seccomp_seal(VMM_THREAD_LOOP) != 0)
        syscall(SYS_exit_group, NOT_SEALED);
    use_devices(&devices);
    syscall(SYS_exit_group, DEVICES_WELL);
    __builtin_unreachable();
}
