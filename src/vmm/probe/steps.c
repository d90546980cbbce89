/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of steps. Some kernels open /dev/kvm, create machines and run real mode, but emulate
 * the guest's instructions one by one, a part of them wrongly: a stock kernel dies there after
 * seconds, or hangs. So each thing that such a kernel does early is done here by itself, and a
 * loop is timed against the same loop on the host.
 */
#include "vmm/probe/steps.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/probe/guest.h"

#define STEP_LIMIT_MS 250
#define LOOP_LIMIT_MS 150
#define LOOP_REPEATS 4
/* After this much time no further step is begun. */
#define BUDGET_MS 1300.0

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void explain(char *detail, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void explain(char *detail, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(detail, PROBE_DETAIL_MAX, format, args);
    va_end(args);
}

static ProbeVerdict judge_answer(uint32_t answer, char *detail)
{
    if (answer == PROBE_PASS)
        return PROBE_PASSED;
    if (answer == PROBE_SKIP)
        return PROBE_SKIPPED;
    explain(detail, "the guest computed a wrong result");
    return PROBE_FAILED;
}

ProbeVerdict probe_judge(const ProbeEnd *end, unsigned limit_ms, char *detail)
{
    unsigned long long rip = end->rip;
    switch (end->kind) {
    case PROBE_END_DONE:
        return judge_answer(end->answer, detail);
    case PROBE_END_FAULT:
        explain(detail, "the guest took exception %d at 0x%llx", end->vector, rip);
        break;
    case PROBE_END_HALT:
        explain(detail, "the guest halted half-way");
        break;
    case PROBE_END_SHUTDOWN:
        explain(detail, "the guest shut down (triple fault)");
        break;
    case PROBE_END_REFUSED:
        explain(detail, "KVM cannot execute the instruction at 0x%llx (exit reason %d)", rip,
                end->code);
        break;
    case PROBE_END_TIMEOUT:
        explain(detail, "the guest did not get through it in %u ms", limit_ms);
        break;
    case PROBE_END_ERROR:
        explain(detail, "KVM_RUN: %s", strerror(end->code));
        break;
    }
    return PROBE_FAILED;
}

ProbeVerdict probe_judge_speed(double slowdown, char *detail)
{
    if (slowdown <= PROBE_SLOWDOWN_MAX)
        return PROBE_PASSED;
    explain(detail, "guest code runs %.0f times slower than on the host: it is being emulated",
            slowdown);
    return PROBE_FAILED;
}

static ProbeVerdict on_host(const ProbeStep *step, ProbeVm *vm, ProbeReport *report, char *detail)
{
    int failed = step->host(vm);
    if (failed)
        explain(detail, "%s", strerror(-failed));
    if (failed == -ENOENT || failed == -ENODEV || failed == -ENXIO)
        report->status = PROBE_ABSENT;
    else if (failed == -EACCES || failed == -EPERM)
        report->status = PROBE_DENIED;
    return failed ? PROBE_FAILED : PROBE_PASSED;
}

static ProbeVerdict run_guest(ProbeVm *vm, char *detail)
{
    ProbeEnd end = probe_vm_run(vm, STEP_LIMIT_MS);
    return probe_judge(&end, STEP_LIMIT_MS, detail);
}

/* The CPU's modes, each entered from the one before. */
static ProbeVerdict in_mode(const ProbeStep *step, ProbeVm *vm, ProbeReport *report, char *detail)
{
    int failed = probe_vm_jump(vm, step->entry);
    if (failed) {
        explain(detail, "cannot set registers: %s", strerror(-failed));
        return PROBE_FAILED;
    }
    return run_guest(vm, detail);
}

/* The last of the modes is where all that follows begins. */
static ProbeVerdict in_long_mode(const ProbeStep *step, ProbeVm *vm, ProbeReport *report,
                                 char *detail)
{
    ProbeVerdict verdict = in_mode(step, vm, report, detail);
    int failed = verdict == PROBE_PASSED ? probe_vm_keep(vm) : 0;
    if (failed)
        explain(detail, "cannot read registers: %s", strerror(-failed));
    return failed ? PROBE_FAILED : verdict;
}

static int reset(const ProbeStep *step, ProbeVm *vm, bool interrupts, char *detail)
{
    int failed = probe_vm_reset(vm, step->entry, interrupts);
    if (failed)
        explain(detail, "cannot set registers: %s", strerror(-failed));
    return failed;
}

static ProbeVerdict in_guest(const ProbeStep *step, ProbeVm *vm, ProbeReport *report, char *detail)
{
    return reset(step, vm, false, detail) ? PROBE_FAILED : run_guest(vm, detail);
}

static ProbeVerdict with_interrupt(const ProbeStep *step, ProbeVm *vm, ProbeReport *report,
                                   char *detail)
{
    if (reset(step, vm, true, detail))
        return PROBE_FAILED;
    int failed = probe_vm_interrupt(vm, PROBE_VECTOR_INTERRUPT);
    if (failed) {
        explain(detail, "cannot queue an interrupt: %s", strerror(-failed));
        return PROBE_FAILED;
    }
    return run_guest(vm, detail);
}

static ProbeVerdict until_halt(const ProbeStep *step, ProbeVm *vm, ProbeReport *report,
                               char *detail)
{
    if (reset(step, vm, false, detail))
        return PROBE_FAILED;
    ProbeEnd end = probe_vm_run(vm, STEP_LIMIT_MS);
    return end.kind == PROBE_END_HALT ? PROBE_PASSED : probe_judge(&end, STEP_LIMIT_MS, detail);
}

/* The guest's loop, on the host. */
static double host_loop_ms(void)
{
    double best = 0;
    for (int i = 0; i < LOOP_REPEATS; i++) {
        uint64_t count = PROBE_LOOP_COUNT;
        double start = now_ms();
        __asm__ volatile("1: decq %0\n\tjnz 1b" : "+c"(count) : : "cc");
        double elapsed = now_ms() - start;
        if (i == 0 || elapsed < best)
            best = elapsed;
    }
    return best;
}

/* One guest loop: the time that all of it takes, also where it was stopped half-way. */
static double guest_loop_ms(ProbeVm *vm, ProbeEnd *end)
{
    double start = now_ms();
    *end = probe_vm_run(vm, LOOP_LIMIT_MS);
    double elapsed = now_ms() - start;
    if (end->kind != PROBE_END_TIMEOUT)
        return elapsed;
    uint64_t left = probe_vm_rcx(vm);
    uint64_t done = left < PROBE_LOOP_COUNT ? PROBE_LOOP_COUNT - left : 0;
    return elapsed * PROBE_LOOP_COUNT / (double)(done > 0 ? done : 1);
}

/* The best of several, as the machine may have other things to do; one is enough where it is so
 * slow that it had to be stopped. */
static ProbeVerdict timed_loop(const ProbeStep *step, ProbeVm *vm, ProbeReport *report,
                               char *detail)
{
    report->host_loop_ms = host_loop_ms();
    for (int i = 0; i < LOOP_REPEATS; i++) {
        if (reset(step, vm, false, detail))
            return PROBE_FAILED;
        ProbeEnd end;
        double elapsed = guest_loop_ms(vm, &end);
        bool is_stopped = end.kind == PROBE_END_TIMEOUT;
        if (!is_stopped && probe_judge(&end, LOOP_LIMIT_MS, detail) == PROBE_FAILED)
            return PROBE_FAILED;
        if (i == 0 || elapsed < report->loop_ms)
            report->loop_ms = elapsed;
        if (is_stopped)
            break;
    }
    report->slowdown = report->host_loop_ms > 0 ? report->loop_ms / report->host_loop_ms : 1;
    return probe_judge_speed(report->slowdown, detail);
}

static const char *device_path;

static int open_device(ProbeVm *vm)
{
    return probe_vm_open(vm, device_path);
}

const ProbeStep probe_steps[] = {
    {"open device", on_host, .host = open_device, .is_vital = true},
    {"API version", on_host, .host = probe_vm_check_api, .is_vital = true},
    {"create machine", on_host, .host = probe_vm_create, .is_vital = true},
    {"guest memory", on_host, .host = probe_vm_add_memory, .is_vital = true},
    {"create vCPU", on_host, .host = probe_vm_add_vcpu, .is_vital = true},
    {"interrupt controller", on_host, .host = probe_vm_try_irqchip},
    {"real mode", in_mode, .entry = probe_real_mode, .is_vital = true},
    {"protected mode", in_mode, .entry = probe_protected_mode, .is_vital = true},
    {"long mode", in_long_mode, .entry = probe_long_mode, .is_vital = true},
    {"cpuid", in_guest, .entry = probe_cpuid},
    {"rdtsc", in_guest, .entry = probe_rdtsc},
    {"wrmsr, rdmsr", in_guest, .entry = probe_msr},
    {"port I/O", in_guest, .entry = probe_port_io},
    {"MMIO", in_guest, .entry = probe_mmio},
    {"lock xadd", in_guest, .entry = probe_lock_xadd},
    {"lock cmpxchg16b", in_guest, .entry = probe_cmpxchg16b},
    {"xsetbv", in_guest, .entry = probe_xsetbv},
    {"xsave", in_guest, .entry = probe_xsave},
    {"xrstor", in_guest, .entry = probe_xrstor},
    {"int3", in_guest, .entry = probe_int3},
    {"page fault", in_guest, .entry = probe_page_fault},
    {"interrupt", with_interrupt, .entry = probe_interrupt},
    {"syscall, sysret", in_guest, .entry = probe_syscall},
    {"hlt", until_halt, .entry = probe_hlt},
    {"timed loop", timed_loop, .entry = probe_loop},
};
const size_t probe_n_steps = sizeof probe_steps / sizeof *probe_steps;
_Static_assert(sizeof probe_steps / sizeof *probe_steps <= PROBE_STEPS_MAX, "is_failed has room");

const char *probe_step_name(int index)
{
    return index >= 0 && (size_t)index < probe_n_steps ? probe_steps[index].name : "";
}

const char *probe_status_name(ProbeStatus status)
{
    static const char *const names[] = {
        [PROBE_USABLE] = "usable",
        [PROBE_UNUSABLE] = "unusable",
        [PROBE_ABSENT] = "absent",
        [PROBE_DENIED] = "denied",
    };
    return names[status];
}

static void note_failure(ProbeReport *report, int index, const char *detail)
{
    report->is_failed[index] = true;
    if (report->has_failed)
        return;
    report->has_failed = true;
    report->failed = index;
    memcpy(report->detail, detail, PROBE_DETAIL_MAX);
}

void probe_run_steps(const char *path, ProbeReport *report)
{
    ProbeVm vm = {.device = -1, .machine = -1, .vcpu = -1};
    double start = now_ms();
    device_path = path;
    report->status = PROBE_UNUSABLE;
    for (int i = 0; (size_t)i < probe_n_steps; i++) {
        char detail[PROBE_DETAIL_MAX] = "";
        const ProbeStep *step = &probe_steps[i];
        report->current = i;
        if (report->has_failed && now_ms() - start > BUDGET_MS)
            break;
        if (step->run(step, &vm, report, detail) != PROBE_FAILED)
            continue;
        note_failure(report, i, detail);
        if (step->is_vital)
            break;
    }
    probe_vm_close(&vm);
    if (!report->has_failed)
        report->status = PROBE_USABLE;
    report->is_done = true;
}
