/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls: what it lets through, what it does not, and that a monitor at work uses
 * what is on it. For the last one stead-vmm runs under ptrace, with a guest, clients and snapshots.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elf-kernel.h"
#include "rig.h"
#include "vmm/disk/disk.h"
#include "vmm/log.h"
#include "vmm/seccomp.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"

#define CALLS_MAX 512
#define THREADS_MAX 16
#define SEALED_WELL 0
#define NOT_SEALED 99

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

extern const uint8_t guest_pvh_counter[], guest_pvh_counter_end[];

static const char *program;

/* --- what is let through --- */

typedef struct {
    const char *name;
    long number;
    long arguments[6];
    gboolean is_allowed;
    VmmThread thread; /* 0: the loop's */
} Attempt;

/* Nothing here does harm when it works. */
static const Attempt ATTEMPTS[] = {
    {"futex", SYS_futex, {0}, TRUE},
    {"write", SYS_write, {-1}, TRUE},
    {"ioctl/kvm-irq-line", SYS_ioctl, {-1, KVM_IRQ_LINE}, TRUE},
    {"ioctl/kvm-run", SYS_ioctl, {-1, KVM_RUN}, FALSE},
    {"openat", SYS_openat, {-1}, TRUE},
    {"vcpu/ioctl/kvm-run", SYS_ioctl, {-1, KVM_RUN}, TRUE, VMM_THREAD_VCPU},
    {"vcpu/write", SYS_write, {-1}, TRUE, VMM_THREAD_VCPU},
    {"vcpu/ioctl/kvm-set-regs", SYS_ioctl, {-1, KVM_SET_REGS}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/ioctl/kvm-get-msrs", SYS_ioctl, {-1, KVM_GET_MSRS}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/read", SYS_read, {-1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/pread", SYS_pread64, {-1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/openat", SYS_openat, {-1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/close", SYS_close, {-1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/accept", SYS_accept4, {-1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/recvmsg", SYS_recvmsg, {-1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/kick", SYS_tgkill, {-1, -1, SIGUSR1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/exit-group", SYS_exit_group, {0}, FALSE, VMM_THREAD_VCPU},
    {"disk/pread", SYS_pread64, {-1}, TRUE, VMM_THREAD_DISK},
    {"disk/fdatasync", SYS_fdatasync, {-1}, TRUE, VMM_THREAD_DISK},
    {"disk/ioctl", SYS_ioctl, {-1, KVM_RUN}, FALSE, VMM_THREAD_DISK},
    {"disk/sendto", SYS_sendto, {-1}, FALSE, VMM_THREAD_DISK},
    {"disk/openat", SYS_openat, {-1}, FALSE, VMM_THREAD_DISK},
    {"disk/epoll", SYS_epoll_ctl, {-1}, FALSE, VMM_THREAD_DISK},
    {"mmap/data",
     SYS_mmap,
     {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
     TRUE},
    {"madvise/dontneed", SYS_madvise, {0, 0, MADV_DONTNEED}, TRUE},
    {"mmap/code",
     SYS_mmap,
     {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
     FALSE},
    {"mprotect/code", SYS_mprotect, {0, 0, PROT_READ | PROT_EXEC}, FALSE},
    {"madvise/hugepage", SYS_madvise, {0, 0, MADV_HUGEPAGE}, FALSE},
    {"ioctl/terminal-input", SYS_ioctl, {-1, TIOCSTI}, FALSE},
    {"ioctl/kvm-create-vm", SYS_ioctl, {-1, KVM_CREATE_VM}, FALSE},
    {"tgkill/kill", SYS_tgkill, {-1, -1, SIGKILL}, FALSE},
    {"kill", SYS_kill, {-1, 0}, FALSE},
    {"execve", SYS_execve, {0}, FALSE},
    {"clone", SYS_clone, {-1}, FALSE},
    {"clone3", SYS_clone3, {0}, FALSE},
    {"socket", SYS_socket, {AF_INET, SOCK_STREAM}, FALSE},
    {"connect", SYS_connect, {-1}, FALSE},
    {"ptrace", SYS_ptrace, {-1}, FALSE},
    {"process_vm_readv", SYS_process_vm_readv, {-1}, FALSE},
    {"mount", SYS_mount, {0}, FALSE},
    {"unshare", SYS_unshare, {0}, FALSE},
    {"setns", SYS_setns, {-1}, FALSE},
    {"chroot", SYS_chroot, {0}, FALSE},
    {"setresuid", SYS_setresuid, {-1, -1, -1}, FALSE},
    {"prctl", SYS_prctl, {-1}, FALSE},
    {"seccomp", SYS_seccomp, {-1}, FALSE},
    {"bpf", SYS_bpf, {-1}, FALSE},
    {"userfaultfd", SYS_userfaultfd, {-1}, FALSE},
    {"keyctl", SYS_keyctl, {-1}, FALSE},
    {"io_uring_setup", SYS_io_uring_setup, {0}, FALSE},
    {"memfd_create", SYS_memfd_create, {0}, FALSE},
};

static void test_attempt(const void *data)
{
    const Attempt *attempt = data;
    int status;
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        const long *a = attempt->arguments;
        if (vmm_seccomp_seal(attempt->thread ? attempt->thread : VMM_THREAD_LOOP) != 0)
            syscall(SYS_exit_group, NOT_SEALED);
        syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        syscall(attempt->thread ? SYS_exit : SYS_exit_group, SEALED_WELL);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (attempt->is_allowed) {
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, SEALED_WELL);
    } else {
        g_assert_true(WIFSIGNALED(status));
        g_assert_cmpint(WTERMSIG(status), ==, SIGSYS);
    }
}

static void test_each_call_has_a_reason(void)
{
    for (size_t i = 0; i < vmm_n_calls; i++) {
        g_assert_cmpuint(strlen(vmm_calls[i].reason), >, 5);
        g_assert_true((vmm_calls[i].check == VMM_CALL_ANY) == (vmm_calls[i].values == NULL));
        g_assert_cmpuint(vmm_calls[i].threads, !=, 0);
        for (size_t j = 0; j < i; j++)
            g_assert_true(vmm_calls[i].number != vmm_calls[j].number ||
                          (vmm_calls[i].threads & vmm_calls[j].threads) == 0);
    }
}

/* --- what is used --- */

typedef struct {
    pid_t sealed[THREADS_MAX]; /* threads that are */
    unsigned n_sealed;
    gboolean seen[CALLS_MAX]; /* of sealed threads */
} Trace;

static gboolean is_sealed(const Trace *trace, pid_t thread)
{
    for (unsigned i = 0; i < trace->n_sealed; i++)
        if (trace->sealed[i] == thread)
            return TRUE;
    return FALSE;
}

static void take_stop(pid_t thread, int status, Trace *trace)
{
    struct user_regs_struct registers;
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80) && ptrace(PTRACE_GETREGS, thread, NULL, &registers) == 0 &&
        registers.orig_rax < CALLS_MAX) {
        if (is_sealed(trace, thread))
            trace->seen[registers.orig_rax] = TRUE;
        else if (registers.orig_rax == SYS_seccomp && trace->n_sealed < THREADS_MAX)
            trace->sealed[trace->n_sealed++] = thread;
    }
    gboolean is_ours = signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP;
    ptrace(PTRACE_SYSCALL, thread, NULL, is_ours ? 0 : signal);
}

/* Follows all threads until the process ends; its exit status. */
static int follow(pid_t child, Trace *trace)
{
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    g_assert_cmpint(ptrace(PTRACE_SETOPTIONS, child, NULL, options), ==, 0);
    ptrace(PTRACE_SYSCALL, child, NULL, 0);
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        g_assert_cmpint(thread, >, 0);
        if (WIFSTOPPED(status))
            take_stop(thread, status, trace);
        else if (thread == child)
            return status;
    }
}

/* --- devices at work, without a guest --- */

typedef struct {
    VmmDiskRequest request;
    gboolean is_done;
} Wait;

static void on_done(VmmDiskRequest *request, int result)
{
    Wait *wait = (Wait *)request;
    wait->is_done = result == 0;
}

static void run_request(VmmDisk *disk, VmmLoop *loop, VmmDiskOp op)
{
    static char bytes[4096];
    static const struct iovec part = {bytes, sizeof bytes};
    Wait wait = {{.op = op, .length = sizeof bytes, .parts = &part, .n_parts = 1, .done = on_done}};
    vmm_disk_submit(disk, &wait.request);
    vmm_disk_kick(disk);
    while (!wait.is_done)
        vmm_loop_iterate(loop, -1);
}

static VmmDisk *new_disk(VmmLoop *loop, gboolean no_uring)
{
    VmmDisk *disk = NULL;
    VmmDiskOptions options = {
        .fds = {memfd_create("disk", 0)},
        .n_fds = 1,
        .no_uring = no_uring,
        .prepare_thread = vmm_seccomp_seal_disk,
    };
    g_assert_cmpint(ftruncate(options.fds[0], 65536), ==, 0);
    g_assert_cmpint(vmm_disk_new(&disk, loop, &options, NULL), ==, 0);
    return disk;
}

static VmmLog *new_log(const char *folder, unsigned backups)
{
    VmmLog *log = NULL;
    VmmLogOptions options = {
        .where = open(folder, O_RDONLY | O_DIRECTORY),
        .name = backups ? "kept" : "dropped",
        .size = VMM_LOG_SIZE_MIN,
        .backups = backups,
    };
    g_assert_cmpint(vmm_log_new(&log, &options), ==, 0);
    return log;
}

/* What needs much of it: the C library asks the kernel in all its ways. */
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

static void run_job(VmmJob *job)
{
    use_memory();
}

static void job_done(VmmJob *job)
{
}

typedef struct {
    VmmLoop *loop;
    VmmDisk *disks[2];
    VmmLog *logs[2];
    VmmWorker *worker;
    Rig *rng, *net;
    int net_ends[2];
} Devices;

static void make_devices(Devices *devices, const char *folder)
{
    VmmVirtio *device = NULL;
    g_assert_cmpint(vmm_loop_new(&devices->loop, NULL), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        devices->disks[i] = new_disk(devices->loop, i);
        devices->logs[i] = new_log(folder, i);
    }
    g_assert_cmpint(vmm_worker_new(&devices->worker, devices->loop, vmm_seccomp_seal_disk), ==, 0);
    devices->rng = rig_new();
    g_assert_cmpint(vmm_rng_new(&device, devices->rng->memory, devices->rng->loop), ==, 0);
    rig_attach(devices->rng, device);
    rig_start(devices->rng, 0);
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, devices->net_ends);
    VmmNetOptions net = {.fd = devices->net_ends[0]};
    devices->net = rig_new();
    g_assert_cmpint(vmm_net_new(&device, devices->net->memory, devices->net->loop, &net), ==, 0);
    rig_attach(devices->net, device);
    rig_start(devices->net, 0);
}

static void use_devices(Devices *devices)
{
    static const VmmDiskOp ops[] = {VMM_DISK_WRITE, VMM_DISK_READ, VMM_DISK_FLUSH, VMM_DISK_DISCARD,
                                    VMM_DISK_ZERO};
    static uint8_t bytes[3000];
    static VmmJob job = {.run = run_job, .done = job_done};
    for (unsigned i = 0; i < 2; i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(ops); j++)
            run_request(devices->disks[i], devices->loop, ops[j]);
        g_assert_cmpint(vmm_disk_settle(devices->disks[i]), ==, 0);
        for (unsigned j = 0; j < 6; j++)
            vmm_log_write(devices->logs[i], bytes, sizeof bytes);
    }
    rig_add(devices->rng, 0, &(RigBuffer){RIG_DATA, 64, TRUE}, 1);
    rig_kick(devices->rng, 0);
    rig_wait_used(devices->rng, 0);
    rig_add(devices->net, 1, &(RigBuffer){RIG_DATA, 64, FALSE}, 1);
    rig_kick(devices->net, 1);
    rig_wait_used(devices->net, 1);
    rig_add(devices->net, 0, &(RigBuffer){RIG_DATA, 2048, TRUE}, 1);
    rig_kick(devices->net, 0);
    send(devices->net_ends[1], bytes, 64, 0);
    rig_wait_used(devices->net, 0);
    for (unsigned i = 0; i < 2; i++)
        vmm_disk_free(devices->disks[i]);
    vmm_worker_add(devices->worker, &job);
    vmm_worker_free(devices->worker);
    use_memory();
}

/* The child's: seals itself when all is made, and ends well when all was done. */
static _Noreturn void run_devices(const char *folder)
{
    Devices devices;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    make_devices(&devices, folder);
    if (vmm_seccomp_seal(VMM_THREAD_LOOP) != 0)
        syscall(SYS_exit_group, NOT_SEALED);
    use_devices(&devices);
    syscall(SYS_exit_group, SEALED_WELL);
    __builtin_unreachable();
}

/* --- the program at work --- */

typedef struct {
    int qmp, serial, log, kernel, memory;
    char *folder;
} Files;

static int listener(const char *folder, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", folder, name);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static int connection(const Files *files, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", files->folder, name);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

/* Sends a command, with a descriptor unless it is -1, and waits for what answers it. */
static void command(int qmp, const char *text, int fd)
{
    char answer[4096] = "";
    size_t used = 0;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {(char *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    g_assert_cmpint(sendmsg(qmp, &message, MSG_NOSIGNAL), >, 0);
    while (!strstr(answer, "\"return\"")) {
        ssize_t n = recv(qmp, answer + used, sizeof answer - used - 1, 0);
        g_assert_cmpint(n, >, 0);
        used += (size_t)n;
        answer[used] = '\0';
        g_assert_null(strstr(answer, "\"error\""));
    }
}

/* A day's work: clients, a pause, a snapshot, a reset, the power button, the end. */
static gpointer work(gpointer data)
{
    const Files *files = data;
    char output[8192];
    int qmp = connection(files, "qmp"), serial = connection(files, "serial");
    int state = memfd_create("state", MFD_CLOEXEC);
    command(qmp, "{\"execute\": \"qmp_capabilities\"}", -1);
    g_assert_cmpint(send(serial, "hello", 5, 0), ==, 5);
    for (size_t got = 0; got < sizeof output;)
        got += (size_t)recv(serial, output, sizeof output, 0);
    command(qmp, "{\"execute\": \"stop\"}", -1);
    command(qmp, "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"s\"}}", state);
    command(qmp, "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": \"s\"}}", -1);
    command(qmp, "{\"execute\": \"cont\"}", -1);
    close(serial);
    command(qmp, "{\"execute\": \"system_reset\"}", -1);
    command(qmp, "{\"execute\": \"system_powerdown\"}", -1);
    command(qmp, "{\"execute\": \"quit\"}", -1);
    close(qmp);
    close(state);
    return NULL;
}

static void run_vmm(const Files *files)
{
    char qmp[32], serial[32], log[64], kernel[32], initrd[32], memory[64];
    g_snprintf(qmp, sizeof qmp, "fd=%d", files->qmp);
    g_snprintf(serial, sizeof serial, "fd=%d", files->serial);
    g_snprintf(log, sizeof log, "fd=%d,size=4096,backups=2", files->log);
    g_snprintf(kernel, sizeof kernel, "fd=%d", files->kernel);
    g_snprintf(initrd, sizeof initrd, "fd=%d", memfd_create("initrd", 0));
    g_snprintf(memory, sizeof memory, "8M,fd=%d", files->memory);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execl(program, program, "--no-jail", "--memory", memory, "--kernel", kernel, "--initrd", initrd,
          "--qmp", qmp, "--serial", serial, "--log", log, NULL);
    _exit(127);
}

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
}

static void expect_all_seen(const Trace *trace)
{
    gboolean all = TRUE;
    for (size_t i = 0; i < vmm_n_calls; i++) {
        gboolean is_seen = trace->seen[vmm_calls[i].number];
        all = all && (is_seen || vmm_calls[i].is_rare);
        if (!is_seen)
            g_test_message("%s was not used%s", vmm_calls[i].name,
                           vmm_calls[i].is_rare ? ", as it may be" : "");
    }
    g_assert_true(all);
}

static void test_a_monitor_at_work_uses_the_list(void)
{
    Trace trace = {0};
    if (HAS_SANITIZER || program == NULL || access("/dev/kvm", R_OK | W_OK) != 0) {
        g_test_skip(HAS_SANITIZER ? "the sanitizer makes calls of its own" : "no /dev/kvm");
        return;
    }
    Files files = {.folder = g_dir_make_tmp("seccomp-XXXXXX", NULL)};
    pid_t child = fork();
    if (child == 0)
        run_devices(files.folder);
    int status = follow(child, &trace);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, SEALED_WELL);
    g_assert_cmpuint(trace.n_sealed, ==, 4); /* it, its disks' threads, and one that does jobs */
    files.qmp = listener(files.folder, "qmp");
    files.serial = listener(files.folder, "serial");
    files.log = open(files.folder, O_RDONLY | O_DIRECTORY);
    files.kernel = elf_kernel(guest_pvh_counter, guest_pvh_counter_end, TRUE, 0);
    files.memory = memfd_create("memory", 0);
    g_assert_cmpint(ftruncate(files.memory, 8 << 20), ==, 0);
    child = fork();
    if (child == 0)
        run_vmm(&files);
    GThread *worker = g_thread_new("work", work, &files);
    status = follow(child, &trace);
    g_thread_join(worker);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    expect_all_seen(&trace);
    remove_folder(files.folder);
    g_free(files.folder);
    const int all[] = {files.qmp, files.serial, files.log, files.kernel, files.memory};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        close(all[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    program = argc > 1 ? argv[1] : NULL;
    g_test_add_func("/vmm/seccomp/reasons", test_each_call_has_a_reason);
    for (size_t i = 0; i < G_N_ELEMENTS(ATTEMPTS); i++) {
        g_autofree char *path = g_strdup_printf(
            "/vmm/seccomp/%s/%s", ATTEMPTS[i].is_allowed ? "allows" : "refuses", ATTEMPTS[i].name);
        g_test_add_data_func(path, &ATTEMPTS[i], test_attempt);
    }
    g_test_add_func("/vmm/seccomp/all-used", test_a_monitor_at_work_uses_the_list);
    return g_test_run();
}
