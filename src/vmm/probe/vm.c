/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine just large enough to run guest.S. A run that does not end is stopped by SIGALRM: its
 * handler sets immediate_exit, so that KVM_RUN returns whether the signal comes before or during
 * it. Where even that does not help, the parent process gives up on this one (main.c).
 */
#include "vmm/probe/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/probe/guest.h"

#define API_VERSION 12
#define CPUID_ENTRIES_MAX 256
#define PAGE_PRESENT 0x1
#define PAGE_WRITE 0x2
#define PAGE_USER 0x4
#define PAGE_ALL (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
#define GATE_INTERRUPT 0x8e00ULL
#define GATE_INTERRUPT_USER 0xee00ULL
#define TSS_RSP0 4
#define TSS_ADDRESS 0xfffbd000UL
#define RFLAGS_FIXED 0x2
#define RFLAGS_IF 0x200
/* Exceptions that push an error code: 8, 10 to 14, 17, 21, 29 and 30. */
#define VECTORS_WITH_CODE 0x60227d00U

/* The run that SIGALRM stops. */
static struct kvm_run *volatile running;

static void on_alarm(int number)
{
    (void)number;
    if (running)
        running->immediate_exit = 1;
}

static int check(int result)
{
    return result < 0 ? -errno : 0;
}

int probe_vm_open(ProbeVm *vm, const char *path)
{
    *vm = (ProbeVm){.device = -1, .machine = -1, .vcpu = -1};
    vm->device = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    return check(vm->device);
}

int probe_vm_check_api(ProbeVm *vm)
{
    int version = ioctl(vm->device, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return -errno;
    return version == API_VERSION ? 0 : -ENOSYS;
}

int probe_vm_create(ProbeVm *vm)
{
    vm->machine = ioctl(vm->device, KVM_CREATE_VM, 0);
    if (vm->machine < 0)
        return -errno;
    /* Intel CPUs without unrestricted guests need a place for real mode; others ignore it. */
    ioctl(vm->machine, KVM_SET_TSS_ADDR, TSS_ADDRESS);
    return 0;
}

static void put64(ProbeVm *vm, uint64_t address, uint64_t value)
{
    memcpy(vm->memory + address, &value, sizeof value);
}

static void build_page_tables(ProbeVm *vm)
{
    put64(vm, PROBE_PML4, PROBE_PDPT | PAGE_ALL);
    put64(vm, PROBE_PDPT, PROBE_PD | PAGE_ALL);
    put64(vm, PROBE_PD, PROBE_PT | PAGE_ALL);
    for (uint64_t page = 0; page < PROBE_MEMORY; page += 4096) {
        uint64_t entry = page | PAGE_ALL;
        if (page == PROBE_HOLE)
            entry &= ~(uint64_t)PAGE_PRESENT;
        else if (page == PROBE_MMIO)
            entry = PROBE_MMIO_PHYSICAL | PAGE_ALL;
        put64(vm, PROBE_PT + page / 4096 * 8, entry);
    }
}

static void build_gate(ProbeVm *vm, unsigned vector, uint64_t handler, uint64_t type)
{
    put64(vm, PROBE_IDT + vector * 16,
          (handler & 0xffff) | (uint64_t)PROBE_SEL_CODE64 << 16 | type << 32 |
              (handler >> 16 & 0xffff) << 48);
    put64(vm, PROBE_IDT + vector * 16 + 8, handler >> 32);
}

static void build_interrupt_table(ProbeVm *vm)
{
    for (unsigned vector = 0; vector < PROBE_VECTORS; vector++)
        build_gate(vm, vector, probe_guest_address(probe_stubs) + vector * PROBE_STUB_SIZE,
                   GATE_INTERRUPT);
    build_gate(vm, PROBE_VECTOR_INT3, probe_guest_address(probe_on_int3), GATE_INTERRUPT_USER);
    build_gate(vm, PROBE_VECTOR_PAGE_FAULT, probe_guest_address(probe_on_page_fault),
               GATE_INTERRUPT);
    build_gate(vm, PROBE_VECTOR_INTERRUPT, probe_guest_address(probe_on_interrupt), GATE_INTERRUPT);
    put64(vm, PROBE_TSS + TSS_RSP0, PROBE_STACK);
}

int probe_vm_add_memory(ProbeVm *vm)
{
    void *memory = mmap(NULL, PROBE_MEMORY, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    vm->memory = memory;
    memcpy(vm->memory + PROBE_CODE, probe_guest_start,
           (size_t)(probe_guest_end - probe_guest_start));
    build_page_tables(vm);
    build_interrupt_table(vm);
    struct kvm_userspace_memory_region region = {
        .memory_size = PROBE_MEMORY,
        .userspace_addr = (uintptr_t)memory,
    };
    return check(ioctl(vm->machine, KVM_SET_USER_MEMORY_REGION, &region));
}

/* The guest sees what KVM can offer of the host's CPU. */
static int set_cpuid(ProbeVm *vm)
{
    size_t room = CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2);
    struct kvm_cpuid2 *table = calloc(1, sizeof *table + room);
    if (table == NULL)
        return -ENOMEM;
    table->nent = CPUID_ENTRIES_MAX;
    int failed = check(ioctl(vm->device, KVM_GET_SUPPORTED_CPUID, table));
    if (!failed)
        failed = check(ioctl(vm->vcpu, KVM_SET_CPUID2, table));
    free(table);
    return failed;
}

/* Real mode with flat segments from address 0, as a boot loader's first sector finds it. */
static int set_real_mode(ProbeVm *vm)
{
    if (ioctl(vm->vcpu, KVM_GET_SREGS, &vm->sregs) < 0)
        return -errno;
    vm->sregs.cs.base = 0;
    vm->sregs.cs.selector = 0;
    return probe_vm_reset(vm, probe_real_mode, false);
}

int probe_vm_add_vcpu(ProbeVm *vm)
{
    vm->vcpu = ioctl(vm->machine, KVM_CREATE_VCPU, 0);
    if (vm->vcpu < 0)
        return -errno;
    int size = ioctl(vm->device, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return size < 0 ? -errno : -EPROTO;
    void *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
    if (run == MAP_FAILED)
        return -errno;
    vm->run = run;
    int failed = set_cpuid(vm);
    return failed ? failed : set_real_mode(vm);
}

int probe_vm_try_irqchip(ProbeVm *vm)
{
    int machine = ioctl(vm->device, KVM_CREATE_VM, 0);
    if (machine < 0)
        return -errno;
    struct kvm_pit_config pit = {0};
    int failed = check(ioctl(machine, KVM_CREATE_IRQCHIP, 0));
    if (!failed)
        failed = check(ioctl(machine, KVM_CREATE_PIT2, &pit));
    int vcpu = failed ? -1 : ioctl(machine, KVM_CREATE_VCPU, 0);
    if (!failed)
        failed = check(vcpu);
    if (vcpu >= 0)
        close(vcpu);
    close(machine);
    return failed;
}

void probe_vm_close(ProbeVm *vm)
{
    /* The mapping of kvm_run ends with the process; only its size is known to KVM alone. */
    int *const descriptors[] = {&vm->vcpu, &vm->machine, &vm->device};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
    if (vm->memory)
        munmap(vm->memory, PROBE_MEMORY);
    vm->memory = NULL;
}

int probe_vm_keep(ProbeVm *vm)
{
    return check(ioctl(vm->vcpu, KVM_GET_SREGS, &vm->sregs));
}

int probe_vm_reset(ProbeVm *vm, const uint8_t *entry, bool interrupts)
{
    struct kvm_vcpu_events events;
    if (ioctl(vm->vcpu, KVM_GET_VCPU_EVENTS, &events) == 0) {
        memset(&events.exception, 0, sizeof events.exception);
        memset(&events.interrupt, 0, sizeof events.interrupt);
        if (ioctl(vm->vcpu, KVM_SET_VCPU_EVENTS, &events) < 0)
            return -errno;
    }
    struct kvm_regs regs = {
        .rip = probe_guest_address(entry),
        .rsp = PROBE_STACK,
        .rflags = RFLAGS_FIXED | (interrupts ? RFLAGS_IF : 0),
    };
    if (ioctl(vm->vcpu, KVM_SET_SREGS, &vm->sregs) < 0)
        return -errno;
    return check(ioctl(vm->vcpu, KVM_SET_REGS, &regs));
}

int probe_vm_jump(ProbeVm *vm, const uint8_t *entry)
{
    struct kvm_regs regs;
    if (ioctl(vm->vcpu, KVM_GET_REGS, &regs) < 0)
        return -errno;
    regs.rip = probe_guest_address(entry);
    return check(ioctl(vm->vcpu, KVM_SET_REGS, &regs));
}

int probe_vm_interrupt(ProbeVm *vm, unsigned vector)
{
    struct kvm_interrupt interrupt = {.irq = vector};
    return check(ioctl(vm->vcpu, KVM_INTERRUPT, &interrupt));
}

uint64_t probe_vm_rcx(ProbeVm *vm)
{
    struct kvm_regs regs = {0};
    return ioctl(vm->vcpu, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rcx;
}

static void set_timer(unsigned limit_ms)
{
    struct itimerval timer = {
        .it_value = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000},
    };
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Lets KVM finish the I/O that it stopped at, without running on. */
static void finish_io(ProbeVm *vm)
{
    vm->run->immediate_exit = 1;
    ioctl(vm->vcpu, KVM_RUN, 0);
    vm->run->immediate_exit = 0;
}

static uint64_t guest_word(const ProbeVm *vm, uint64_t address)
{
    uint64_t value = 0;
    if (address <= PROBE_MEMORY - sizeof value)
        memcpy(&value, vm->memory + address, sizeof value);
    return value;
}

static void read_fault(ProbeVm *vm, ProbeEnd *end)
{
    struct kvm_regs regs = {0};
    ioctl(vm->vcpu, KVM_GET_REGS, &regs);
    end->vector = (int)(regs.rdi & 0xff);
    bool has_code = end->vector < 32 && (VECTORS_WITH_CODE >> end->vector & 1);
    end->rip = guest_word(vm, regs.rsp + (has_code ? 8 : 0));
}

/* Answers one port access. Returns true when it ends the step. */
static bool port_access(ProbeVm *vm, ProbeEnd *end)
{
    uint8_t *byte = (uint8_t *)vm->run + vm->run->io.data_offset;
    if (vm->run->io.port == PROBE_PORT_ECHO) {
        if (vm->run->io.direction == KVM_EXIT_IO_OUT)
            vm->echo = *byte;
        else
            *byte = (uint8_t)~vm->echo;
        return false;
    }
    struct kvm_regs regs = {0};
    end->kind = vm->run->io.port == PROBE_PORT_DONE ? PROBE_END_DONE : PROBE_END_FAULT;
    finish_io(vm);
    ioctl(vm->vcpu, KVM_GET_REGS, &regs);
    end->answer = (uint32_t)regs.rax;
    if (end->kind == PROBE_END_FAULT)
        read_fault(vm, end);
    return true;
}

static void memory_access(ProbeVm *vm)
{
    uint32_t value = ~vm->echo;
    if (vm->run->mmio.is_write)
        memcpy(&vm->echo, vm->run->mmio.data, sizeof vm->echo);
    else
        memcpy(vm->run->mmio.data, &value, sizeof value);
}

static void read_refusal(ProbeVm *vm, ProbeEnd *end)
{
    struct kvm_regs regs = {0};
    ioctl(vm->vcpu, KVM_GET_REGS, &regs);
    end->kind = PROBE_END_REFUSED;
    end->rip = regs.rip;
    end->code = (int)vm->run->exit_reason;
}

/* Returns true when the exit ends the step. */
static bool take_exit(ProbeVm *vm, ProbeEnd *end)
{
    switch (vm->run->exit_reason) {
    case KVM_EXIT_IO:
        return port_access(vm, end);
    case KVM_EXIT_MMIO:
        memory_access(vm);
        return false;
    case KVM_EXIT_HLT:
        end->kind = PROBE_END_HALT;
        return true;
    case KVM_EXIT_SHUTDOWN:
        end->kind = PROBE_END_SHUTDOWN;
        return true;
    default:
        read_refusal(vm, end);
        return true;
    }
}

ProbeEnd probe_vm_run(ProbeVm *vm, unsigned limit_ms)
{
    ProbeEnd end = {0};
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    vm->run->immediate_exit = 0;
    running = vm->run;
    set_timer(limit_ms);
    for (;;) {
        if (ioctl(vm->vcpu, KVM_RUN, 0) < 0) {
            end.code = errno;
            if (end.code == EINTR && !vm->run->immediate_exit)
                continue;
            end.kind = end.code == EINTR ? PROBE_END_TIMEOUT : PROBE_END_ERROR;
            break;
        }
        if (take_exit(vm, &end))
            break;
    }
    set_timer(0);
    running = NULL;
    vm->run->immediate_exit = 0;
    return end;
}
