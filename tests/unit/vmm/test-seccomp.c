/* SPDX-License-Identifier: Apache-2.0 */
/* The list of system calls: what it lets through, and what it does not. */
#include <errno.h>
#include <glib.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/seccomp.h"

#define SEALED_WELL 0
#define NOT_SEALED 99

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
    {"vcpu/mmap",
     SYS_mmap,
     {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
     FALSE,
     VMM_THREAD_VCPU},
    {"vcpu/kick", SYS_tgkill, {-1, -1, SIGUSR1}, FALSE, VMM_THREAD_VCPU},
    {"vcpu/exit-group", SYS_exit_group, {0}, FALSE, VMM_THREAD_VCPU},
    {"preadv", SYS_preadv, {-1}, TRUE},
    {"pwritev", SYS_pwritev, {-1}, TRUE},
    {"disk/preadv", SYS_preadv, {-1}, TRUE, VMM_THREAD_DISK},
    {"disk/pread", SYS_pread64, {-1}, FALSE, VMM_THREAD_DISK},
    {"disk/lseek", SYS_lseek, {-1}, FALSE, VMM_THREAD_DISK},
    {"disk/fdatasync", SYS_fdatasync, {-1}, TRUE, VMM_THREAD_DISK},
    {"disk/ioctl", SYS_ioctl, {-1, KVM_RUN}, FALSE, VMM_THREAD_DISK},
    {"disk/sendto", SYS_sendto, {-1}, FALSE, VMM_THREAD_DISK},
    {"disk/openat", SYS_openat, {-1}, FALSE, VMM_THREAD_DISK},
    {"disk/epoll", SYS_epoll_ctl, {-1}, FALSE, VMM_THREAD_DISK},
    {"outside/wait4", SYS_wait4, {-1}, TRUE, VMM_THREAD_OUTSIDE},
    {"outside/write", SYS_write, {-1}, FALSE, VMM_THREAD_OUTSIDE},
    {"outside/open", SYS_openat, {-1}, FALSE, VMM_THREAD_OUTSIDE},
    {"outside/kill", SYS_kill, {-1, 0}, FALSE, VMM_THREAD_OUTSIDE},
    {"outside/ioctl", SYS_ioctl, {-1, KVM_RUN}, FALSE, VMM_THREAD_OUTSIDE},
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
        syscall(attempt->thread & VMM_THREAD_ANY & ~VMM_THREAD_LOOP ? SYS_exit : SYS_exit_group,
                SEALED_WELL);
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/seccomp/reasons", test_each_call_has_a_reason);
    for (size_t i = 0; i < G_N_ELEMENTS(ATTEMPTS); i++) {
        g_autofree char *path = g_strdup_printf(
            "/vmm/seccomp/%s/%s", ATTEMPTS[i].is_allowed ? "allows" : "refuses", ATTEMPTS[i].name);
        g_test_add_data_func(path, &ATTEMPTS[i], test_attempt);
    }
    return g_test_run();
}
