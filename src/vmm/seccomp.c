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

#define VALUE(is) .name = #is, .value = (is)

static const VmmCallValue VCPU_IOCTLS[] = {
    {VALUE(KVM_RUN)},      /* the guest */
    {VALUE(KVM_IRQ_LINE)}, /* ACPI's registers let go of their line */
    {VALUE(KVM_GET_REGS)}, /* where a guest stopped that cannot go on */
#ifdef __x86_64__
    {VALUE(KVM_KVMCLOCK_CTRL)}, /* a pause is over */
#endif
    {VALUE(TUNSETOFFLOAD)}, /* what the guest's network driver can do */
    {NULL},
};
static const VmmCallValue LOOP_IOCTLS[] = {
    {VALUE(KVM_IRQ_LINE)}, /* the power button */
    {VALUE(KVM_GET_REGS)}, /* snapshots, from here on, and resets */
    {VALUE(KVM_SET_REGS)},
    {VALUE(KVM_GET_MP_STATE)},
    {VALUE(KVM_SET_MP_STATE)},
    {VALUE(KVM_GET_VCPU_EVENTS)},
    {VALUE(KVM_SET_VCPU_EVENTS)},
    {VALUE(KVM_CHECK_EXTENSION)},
    {VALUE(KVM_GET_CLOCK)},
    {VALUE(KVM_SET_CLOCK)},
#ifdef __x86_64__
    {VALUE(KVM_GET_SREGS)},
    {VALUE(KVM_SET_SREGS)},
    {VALUE(KVM_GET_MSRS)},
    {VALUE(KVM_SET_MSRS)},
    {VALUE(KVM_GET_MSR_INDEX_LIST)},
    {VALUE(KVM_GET_LAPIC)},
    {VALUE(KVM_SET_LAPIC)},
    {VALUE(KVM_GET_XSAVE), .is_rare = true}, /* one of the two, as the CPU has it */
    {VALUE(KVM_GET_XSAVE2), .is_rare = true},
    {VALUE(KVM_SET_XSAVE)},
    {VALUE(KVM_GET_XCRS)},
    {VALUE(KVM_SET_XCRS)},
    {VALUE(KVM_GET_DEBUGREGS)},
    {VALUE(KVM_SET_DEBUGREGS)},
    {VALUE(KVM_GET_TSC_KHZ)},
    {VALUE(KVM_SET_TSC_KHZ)},
    {VALUE(KVM_GET_IRQCHIP)},
    {VALUE(KVM_SET_IRQCHIP)},
    {VALUE(KVM_GET_PIT2)},
    {VALUE(KVM_SET_PIT2)},
#endif
    {VALUE(TUNSETOFFLOAD)}, /* a snapshot's network device */
    {NULL},
};
static const VmmCallValue KICK_SIGNAL[] = {{VALUE(SIGUSR1)}, {NULL}};
static const VmmCallValue LOOP_ADVICE[] = {
    {VALUE(MADV_DONTNEED)},              /* the balloon's pages */
    {VALUE(MADV_REMOVE)},                /* of shared memory */
    {VALUE(MADV_FREE), .is_rare = true}, /* musl's */
    {NULL},
};
static const VmmCallValue VCPU_ADVICE[] = {{VALUE(MADV_DONTNEED)}, {NULL}};
static const VmmCallValue DISK_ADVICE[] = {
    {VALUE(MADV_DONTNEED)},
    {VALUE(MADV_FREE), .is_rare = true},
    {NULL},
};
static const VmmCallValue EXECUTABLE[] = {{VALUE(PROT_EXEC)}, {NULL}};

#define LOOP VMM_THREAD_LOOP
#define VCPU VMM_THREAD_VCPU
#define DISK VMM_THREAD_DISK
#define ANY VMM_THREAD_ANY
#define OUTSIDE VMM_THREAD_OUTSIDE
#define CALL(id, of, why) .number = SYS_##id, .name = #id, .threads = (of), .reason = (why)
#define ONE_OF(at, list) .check = VMM_CALL_ONE_OF, .argument = (at), .values = (list)
#define NONE_OF(at, list) .check = VMM_CALL_NONE_OF_BITS, .argument = (at), .values = (list)

const VmmCall vmm_calls[] = {
    {CALL(ioctl, VCPU, "entering the guest"), ONE_OF(1, VCPU_IOCTLS)},
    {CALL(ioctl, LOOP, "the guest's power button, its state"), ONE_OF(1, LOOP_IOCTLS)},
    {CALL(write, ANY, "interrupts, the log, calls between threads")},
    {CALL(read, LOOP, "events, timers, packets from the tap")},
    {CALL(read, OUTSIDE, "the word that the guest runs")},
    {CALL(epoll_pwait, LOOP, "the loop's wait")},
    {CALL(futex, ANY, "the lock")},
    {CALL(io_uring_enter, LOOP | VCPU, "data of disks, asynchronously; the end of it in a reset")},
    {CALL(timerfd_settime, LOOP | VCPU, "timers")},
    {CALL(writev, LOOP, "packets to the tap")},
    {CALL(preadv, LOOP | DISK, "data of disks; their tables, when the loop settles one")},
    {CALL(pwritev, LOOP | DISK, "data of disks; their tables, when the loop settles one")},
    {CALL(pread64, LOOP, "snapshots, a kernel to be booted again")},
    {CALL(pwrite64, LOOP, "snapshots")},
    {CALL(fdatasync, LOOP | DISK, "a flush of a disk, also for a snapshot")},
    {CALL(fallocate, DISK, "discards of a disk")},
    {CALL(madvise, LOOP, "the balloon; memory of the C library's"), ONE_OF(2, LOOP_ADVICE)},
    {CALL(madvise, VCPU, "a thread's end"), ONE_OF(2, VCPU_ADVICE)},
    {CALL(madvise, DISK, "memory of the C library's; a thread's end"), ONE_OF(2, DISK_ADVICE)},
    {CALL(getrandom, LOOP, "the device of random numbers")},
    {CALL(clock_gettime, LOOP | VCPU, "rate limits and events, where the vDSO has no clock"),
     .is_rare = true},
    {CALL(sendto, LOOP | VCPU, "clients of the sockets; events that a register brings")},
    {CALL(recvmsg, LOOP, "clients of the sockets")},
    {CALL(accept4, LOOP, "clients of the sockets")},
    {CALL(epoll_ctl, LOOP | VCPU, "clients of the sockets, the tap of a driver that is ready")},
    {CALL(close, LOOP, "clients of the sockets, snapshots")},
    {CALL(tgkill, LOOP, "calling a vCPU out of the guest"), ONE_OF(2, KICK_SIGNAL)},
    {CALL(rt_sigreturn, VCPU, "a vCPU that was called")},
    {CALL(rt_sigprocmask, VCPU | DISK, "a thread's end")},
    {CALL(openat, LOOP, "the log's next file")},
    {CALL(renameat, LOOP, "the log's older files")},
    {CALL(unlinkat, LOOP, "the log's last file")},
    {CALL(fstat, LOOP, "the size of a snapshot, of the log"), .is_rare = true},
    {CALL(newfstatat, LOOP, "the same in another libc"), .is_rare = true},
    {CALL(lseek, LOOP, "the size of a file to be booted again")},
    {CALL(ftruncate, LOOP, "a snapshot's beginning")},
    {CALL(mmap, LOOP | DISK, "memory of the C library's"), NONE_OF(2, EXECUTABLE)},
    {CALL(mprotect, DISK, "memory of the C library's"), NONE_OF(2, EXECUTABLE)},
    {CALL(mprotect, LOOP, "the same, when there is much of it"), NONE_OF(2, EXECUTABLE),
     .is_rare = true},
    {CALL(mremap, LOOP | DISK, "memory of the C library's")},
    {CALL(munmap, LOOP | DISK, "memory of the C library's, and all of it in the end")},
    {CALL(brk, LOOP, "memory of the C library's")},
    {CALL(brk, DISK, "the same in another libc"), .is_rare = true},
    {CALL(exit, VCPU | DISK, "a thread's end")},
    {CALL(wait4, OUTSIDE, "the end of the jailed process")},
    {CALL(exit_group, LOOP | OUTSIDE, "the end")},
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
        emit(program, BPF_JMP | BPF_JSET | BPF_K, call->values[0].value, 0, 1);
        end(program, SECCOMP_RET_KILL_PROCESS);
        end(program, SECCOMP_RET_ALLOW);
        return;
    }
    for (const VmmCallValue *value = call->values; value->name; value++) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, value->value, 0, 1);
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

static void build(Program *program, VmmThread thread)
{
    program->length = 0;
    load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    end(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < vmm_n_calls; i++)
        if (vmm_calls[i].threads & thread)
            emit_call(program, &vmm_calls[i]);
    end(program, SECCOMP_RET_KILL_PROCESS);
}

int vmm_seccomp_seal(VmmThread thread)
{
    Program program;
    build(&program, thread);
    if (program.length > PROGRAM_MAX)
        return -E2BIG;
    struct sock_fprog filter = {.len = program.length, .filter = program.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0 ? -errno : 0;
}

int vmm_seccomp_seal_vcpu(void)
{
    return vmm_seccomp_seal(VMM_THREAD_VCPU);
}

int vmm_seccomp_seal_disk(void)
{
    return vmm_seccomp_seal(VMM_THREAD_DISK);
}
