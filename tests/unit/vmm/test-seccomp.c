/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls: what it lets through, what it does not, and that a monitor at work uses
 * what is on it. For the last one stead-vmm runs under ptrace, with a guest, clients and snapshots.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
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
#include "vmm/seccomp.h"

#define CALLS_MAX 512
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
} Attempt;

/* Nothing here does harm when it works. */
static const Attempt ATTEMPTS[] = {
    {"futex", SYS_futex, {0}, TRUE},
    {"write", SYS_write, {-1}, TRUE},
    {"ioctl/kvm-run", SYS_ioctl, {-1, 0xae80}, TRUE},
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
    {"ioctl/kvm-create-vm", SYS_ioctl, {-1, 0xae01}, FALSE},
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
        if (vmm_seccomp_seal() != 0)
            syscall(SYS_exit_group, NOT_SEALED);
        syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        syscall(SYS_exit_group, SEALED_WELL);
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
        for (size_t j = 0; j < i; j++)
            g_assert_cmpint(vmm_calls[i].number, !=, vmm_calls[j].number);
    }
}

/* --- what is used --- */

typedef struct {
    gboolean seen[CALLS_MAX];
    gboolean is_sealed;
} Trace;

static void take_stop(pid_t thread, int status, Trace *trace)
{
    struct user_regs_struct registers;
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80) && ptrace(PTRACE_GETREGS, thread, NULL, &registers) == 0 &&
        registers.orig_rax < CALLS_MAX) {
        if (registers.orig_rax == SYS_seccomp)
            trace->is_sealed = TRUE;
        else if (trace->is_sealed)
            trace->seen[registers.orig_rax] = TRUE;
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
    char qmp[32], serial[32], log[64], kernel[32], memory[64];
    g_snprintf(qmp, sizeof qmp, "fd=%d", files->qmp);
    g_snprintf(serial, sizeof serial, "fd=%d", files->serial);
    g_snprintf(log, sizeof log, "fd=%d,size=4096,backups=2", files->log);
    g_snprintf(kernel, sizeof kernel, "fd=%d", files->kernel);
    g_snprintf(memory, sizeof memory, "8M,fd=%d", files->memory);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execl(program, program, "--no-jail", "--memory", memory, "--kernel", kernel, "--qmp", qmp,
          "--serial", serial, "--log", log, NULL);
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
    g_assert_true(trace->is_sealed);
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
    files.qmp = listener(files.folder, "qmp");
    files.serial = listener(files.folder, "serial");
    files.log = open(files.folder, O_RDONLY | O_DIRECTORY);
    files.kernel = elf_kernel(guest_pvh_counter, guest_pvh_counter_end, TRUE, 0);
    files.memory = memfd_create("memory", 0);
    g_assert_cmpint(ftruncate(files.memory, 8 << 20), ==, 0);
    pid_t child = fork();
    if (child == 0)
        run_vmm(&files);
    GThread *worker = g_thread_new("work", work, &files);
    int status = follow(child, &trace);
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
