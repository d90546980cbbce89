/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread is told by the length of the filter that it seals itself with; so each kind's is
 * measured first, on a child that does nothing else.
 */
#include "seccomp-trace.h"

#include <linux/filter.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSCALL_STOP (SIGTRAP | 0x80)

const VmmThread trace_kinds[TRACE_KINDS] = {VMM_THREAD_LOOP, VMM_THREAD_VCPU, VMM_THREAD_DISK,
                                            VMM_THREAD_OUTSIDE};
const char *const trace_kind_names[TRACE_KINDS] = {"loop", "vcpu", "disk", "outside"};

/* --- one stop --- */

/* The kind of thread whose filter that is: seccomp()'s third argument. */
static unsigned kind_of(const Trace *trace, pid_t thread, const struct user_regs_struct *registers)
{
    guint16 length = (guint16)ptrace(PTRACE_PEEKDATA, thread,
                                     registers->rdx + offsetof(struct sock_fprog, len), NULL);
    for (unsigned i = 0; i < TRACE_KINDS; i++)
        if (trace->lengths[i] == length)
            return i;
    g_error("a filter of %u instructions is none of these", length);
}

static void add_value(Trace *trace, size_t i, unsigned kind, const unsigned long long *arguments)
{
    const VmmCall *call = &vmm_calls[i];
    unsigned n = 0;
    if (call->check == VMM_CALL_ONE_OF)
        while (call->values[n].name && call->values[n].value != (guint32)arguments[call->argument])
            n++;
    trace->used[i][kind] |= G_GUINT64_CONSTANT(1) << n;
}

static void add_call(Trace *trace, unsigned kind, const struct user_regs_struct *registers)
{
    const unsigned long long arguments[] = {registers->rdi, registers->rsi, registers->rdx,
                                            registers->r10, registers->r8,  registers->r9};
    for (size_t i = 0; i < vmm_n_calls; i++)
        if (vmm_calls[i].number == (int)registers->orig_rax &&
            vmm_calls[i].threads & trace_kinds[kind])
            add_value(trace, i, kind, arguments);
}

static void take_call(Trace *trace, pid_t thread)
{
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, thread, NULL, &registers) != 0)
        return;
    for (unsigned i = 0; i < trace->n_sealed; i++)
        if (trace->sealed[i].number == thread) {
            add_call(trace, trace->sealed[i].kind, &registers);
            return;
        }
    if (registers.orig_rax != SYS_seccomp)
        return;
    g_assert_cmpuint(trace->n_sealed, <, TRACE_THREADS_MAX);
    trace->sealed[trace->n_sealed].number = thread;
    trace->sealed[trace->n_sealed++].kind = kind_of(trace, thread, &registers);
}

static void take_stop(Trace *trace, pid_t thread, int status)
{
    int signal = WSTOPSIG(status);
    if (signal == SYSCALL_STOP)
        take_call(trace, thread);
    gboolean is_ours = signal == SYSCALL_STOP || signal == SIGTRAP || signal == SIGSTOP;
    ptrace(PTRACE_SYSCALL, thread, NULL, is_ours ? 0 : signal);
}

/* --- whole processes --- */

void trace_me(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
}

static void begin(pid_t child)
{
    int status;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(ptrace(PTRACE_SETOPTIONS, child, NULL, options), ==, 0);
    ptrace(PTRACE_SYSCALL, child, NULL, 0);
}

int trace_follow(Trace *trace, pid_t child)
{
    begin(child);
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        g_assert_cmpint(thread, >, 0);
        if (WIFSTOPPED(status))
            take_stop(trace, thread, status);
        else if (thread == child)
            return status;
    }
}

static guint16 length_of(VmmThread kind)
{
    struct user_regs_struct registers = {0};
    int status;
    pid_t child = fork();
    if (child == 0) {
        trace_me();
        vmm_seccomp_seal(kind);
        syscall(SYS_exit, 0);
    }
    begin(child);
    do {
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        g_assert_true(WIFSTOPPED(status));
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
        if (registers.orig_rax != SYS_seccomp)
            ptrace(PTRACE_SYSCALL, child, NULL, 0);
    } while (registers.orig_rax != SYS_seccomp);
    long word =
        ptrace(PTRACE_PEEKDATA, child, registers.rdx + offsetof(struct sock_fprog, len), NULL);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return (guint16)word;
}

void trace_init(Trace *trace)
{
    *trace = (Trace){0};
    g_assert_cmpuint(vmm_n_calls, <=, TRACE_CALLS_MAX);
    for (unsigned i = 0; i < TRACE_KINDS; i++) {
        trace->lengths[i] = length_of(trace_kinds[i]);
        for (unsigned j = 0; j < i; j++)
            g_assert_cmpuint(trace->lengths[i], !=, trace->lengths[j]);
    }
}
