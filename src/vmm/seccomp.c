/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list as a BPF program: the call's number is compared with one entry after the other, so the
 * frequent ones stand first. Arguments are looked at where a call could do more than its reason.
 */
#include "vmm/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/kvm.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define PROGRAM_MAX 512

static const uint32_t IOCTLS[] = {
    KVM_RUN,      /* the guest */
    KVM_IRQ_LINE, /* the power button */
    KVM_GET_REGS, /* snapshots, from here on, and resets */
    KVM_SET_REGS,
    KVM_GET_MP_STATE,
    KVM_SET_MP_STATE,
    KVM_GET_VCPU_EVENTS,
    KVM_SET_VCPU_EVENTS,
    KVM_CHECK_EXTENSION,
    KVM_GET_CLOCK,
    KVM_SET_CLOCK,
#ifdef __x86_64__
    KVM_KVMCLOCK_CTRL, /* a pause is over */
    KVM_GET_SREGS,
    KVM_SET_SREGS,
    KVM_GET_MSRS,
    KVM_SET_MSRS,
    KVM_GET_MSR_INDEX_LIST,
    KVM_GET_LAPIC,
    KVM_SET_LAPIC,
    KVM_GET_XSAVE,
    KVM_GET_XSAVE2,
    KVM_SET_XSAVE,
    KVM_GET_XCRS,
    KVM_SET_XCRS,
    KVM_GET_DEBUGREGS,
    KVM_SET_DEBUGREGS,
    KVM_GET_TSC_KHZ,
    KVM_SET_TSC_KHZ,
    KVM_GET_IRQCHIP,
    KVM_SET_IRQCHIP,
    KVM_GET_PIT2,
    KVM_SET_PIT2,
#endif
    TUNSETOFFLOAD, /* what the guest's network driver can do */
    0,
};
static const uint32_t KICK_SIGNAL[] = {SIGUSR1, 0};
static const uint32_t ADVICE[] = {MADV_DONTNEED, MADV_REMOVE, MADV_FREE, 0};
static const uint32_t EXECUTABLE[] = {PROT_EXEC, 0};

#define CALL(id, why) .number = SYS_##id, .name = #id, .reason = (why)
#define ONE_OF(at, list) .check = VMM_CALL_ONE_OF, .argument = (at), .values = (list)
#define NONE_OF(at, list) .check = VMM_CALL_NONE_OF_BITS, .argument = (at), .values = (list)

const VmmCall vmm_calls[] = {
    {CALL(ioctl, "entering the guest, its power button, its state"), ONE_OF(1, IOCTLS)},
    {CALL(write, "interrupts, the log, the end of a jail's start")},
    {CALL(read, "events, timers, the tap")},
    {CALL(epoll_pwait, "the loop's wait")},
    {CALL(futex, "the lock")},
    {CALL(io_uring_enter, "data of disks, asynchronously"), .is_rare = true},
    {CALL(timerfd_settime, "timers")},
    {CALL(readv, "packets from the tap"), .is_rare = true},
    {CALL(writev, "packets to the tap"), .is_rare = true},
    {CALL(preadv, "data of disks, from their threads"), .is_rare = true},
    {CALL(pwritev, "data of disks, from their threads"), .is_rare = true},
    {CALL(pread64, "disks' tables, snapshots, a kernel to be booted again")},
    {CALL(pwrite64, "disks' tables, snapshots")},
    {CALL(fdatasync, "a flush of a disk"), .is_rare = true},
    {CALL(fallocate, "discards of a disk"), .is_rare = true},
    {CALL(madvise, "the balloon; memory of the C library's"), ONE_OF(2, ADVICE), .is_rare = true},
    {CALL(getrandom, "the device of random numbers"), .is_rare = true},
    {CALL(clock_gettime, "rate limits, where the vDSO has no clock"), .is_rare = true},
    {CALL(sendto, "clients of the sockets")},
    {CALL(recvmsg, "clients of the sockets")},
    {CALL(accept4, "clients of the sockets")},
    {CALL(epoll_ctl, "clients of the sockets")},
    {CALL(close, "clients of the sockets, snapshots")},
    {CALL(tgkill, "calling a vCPU out of the guest"), ONE_OF(2, KICK_SIGNAL)},
    {CALL(rt_sigprocmask, "calling a vCPU out of the guest"), .is_rare = true},
    {CALL(rt_sigreturn, "a vCPU that was called")},
    {CALL(restart_syscall, "a call that a signal interrupted"), .is_rare = true},
    {CALL(openat, "the log's next file"), .is_rare = true},
    {CALL(renameat, "the log's older files"), .is_rare = true},
#ifdef SYS_renameat2
    {CALL(renameat2, "the log's older files, in another libc"), .is_rare = true},
#endif
    {CALL(unlinkat, "the log's last file"), .is_rare = true},
    {CALL(fstat, "the size of a snapshot, of the log, in another libc"), .is_rare = true},
    {CALL(newfstatat, "the size of a snapshot, of the log"), .is_rare = true},
    {CALL(lseek, "the size of a kernel to be booted again"), .is_rare = true},
    {CALL(ftruncate, "a snapshot's beginning"), .is_rare = true},
    {CALL(mmap, "memory of the C library's"), NONE_OF(2, EXECUTABLE), .is_rare = true},
    {CALL(mprotect, "memory of the C library's"), NONE_OF(2, EXECUTABLE), .is_rare = true},
    {CALL(mremap, "memory of the C library's"), .is_rare = true},
    {CALL(munmap, "memory of the C library's, and all of it in the end")},
    {CALL(brk, "memory of the C library's"), .is_rare = true},
    {CALL(rseq, "a thread of a disk that is just starting"), .is_rare = true},
    {CALL(set_robust_list, "a thread of a disk that is just starting"), .is_rare = true},
    {CALL(exit, "a thread's end")},
    {CALL(exit_group, "the end")},
};
const size_t vmm_n_calls = sizeof vmm_calls / sizeof *vmm_calls;

typedef struct {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short length;
} Program;

static void emit(Program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
    if (program->length < PROGRAM_MAX)
        program->code[program->length] =
            (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = value};
    program->length++;
}

static void load(Program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void end(Program *program, uint32_t action)
{
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

/* The accumulator holds the argument: ends with a verdict. */
static void emit_check(Program *program, const VmmCall *call)
{
    if (call->check == VMM_CALL_NONE_OF_BITS) {
        emit(program, BPF_JMP | BPF_JSET | BPF_K, call->values[0], 0, 1);
        end(program, SECCOMP_RET_KILL_PROCESS);
        end(program, SECCOMP_RET_ALLOW);
        return;
    }
    for (const uint32_t *value = call->values; *value; value++) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, *value, 0, 1);
        end(program, SECCOMP_RET_ALLOW);
    }
    end(program, SECCOMP_RET_KILL_PROCESS);
}

/* Little-endian: the low half of an argument stands first. */
static void emit_call(Program *program, const VmmCall *call)
{
    unsigned short jump = program->length;
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->number, 0, 0);
    if (call->check == VMM_CALL_ANY) {
        end(program, SECCOMP_RET_ALLOW);
    } else {
        load(program, offsetof(struct seccomp_data, args[0]) + call->argument * sizeof(uint64_t));
        emit_check(program, call);
    }
    if (program->length <= PROGRAM_MAX)
        program->code[jump].jf = (uint8_t)(program->length - jump - 1);
}

static void build(Program *program)
{
    program->length = 0;
    load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    end(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < vmm_n_calls; i++)
        emit_call(program, &vmm_calls[i]);
    end(program, SECCOMP_RET_KILL_PROCESS);
}

int vmm_seccomp_seal(void)
{
    static Program program;
    build(&program);
    if (program.length > PROGRAM_MAX)
        return -E2BIG;
    struct sock_fprog filter = {.len = program.length, .filter = program.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (result > 0)
        return -EBUSY; /* a thread has a filter of its own */
    return result < 0 ? -errno : 0;
}
