/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's thread: enter the guest, answer why it came out, again. The kick is a signal whose
 * handler sets immediate_exit: KVM_RUN returns whether the signal comes before, during or after it
 * looked. The flag is cleared before `is_paused` is looked at, never after.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/arch/arch.h"

#define KICK SIGUSR1
/* A vCPU's thread calls nothing deep. */
#define STACK_SIZE (64 * 1024)
#define FINISH_MAX 64

static __thread struct kvm_run *volatile current_run;
static pid_t process;

static void on_kick(int number)
{
    (void)number;
    if (current_run)
        current_run->immediate_exit = 1;
}

int vmm_vcpu_prepare_kicks(void)
{
    struct sigaction action = {.sa_handler = on_kick};
    process = getpid();
    return sigaction(KICK, &action, NULL) < 0 ? -errno : 0;
}

/* One call that every C library makes alike, and one that the seal can look into. A thread that has
 * no number yet is on its way to look at the flags. */
void vmm_vcpu_kick(VmmVcpu *vcpu)
{
    if (vcpu->number > 0)
        syscall(SYS_tgkill, process, vcpu->number, KICK);
}

int vmm_vcpu_open(VmmVcpu *vcpu, VmmError *error)
{
    VmmKvm *kvm = &vcpu->machine->kvm;
    vcpu->fd = ioctl(kvm->vm, KVM_CREATE_VCPU, (long)vcpu->index);
    if (vcpu->fd < 0)
        return vmm_error_errno(error, -errno, "KVM does not make vCPU %u", vcpu->index);
    void *run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return vmm_error_errno(error, -errno, "KVM does not share vCPU %u", vcpu->index);
    vcpu->run = run;
    return vmm_arch_set_cpuid(vcpu, error);
}

void vmm_vcpu_close(VmmVcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, vcpu->machine->kvm.run_size);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    vcpu->run = NULL;
    vcpu->fd = -1;
}

/* An access to memory-mapped registers; KVM fills the length, but the room is ours to keep. */
static void memory_access(VmmVcpu *vcpu)
{
    VmmBus *bus = &vcpu->machine->mmio;
    uint64_t address = vcpu->run->mmio.phys_addr;
    unsigned size = vcpu->run->mmio.len;
    if (size > sizeof vcpu->run->mmio.data)
        size = sizeof vcpu->run->mmio.data;
    if (vcpu->run->mmio.is_write)
        vmm_bus_write(bus, address, vcpu->run->mmio.data, size);
    else
        vmm_bus_read(bus, address, vcpu->run->mmio.data, size);
}

static void system_event(VmmMachine *machine, uint32_t type)
{
    if (type == KVM_SYSTEM_EVENT_SHUTDOWN)
        vmm_machine_request(machine, VMM_REQUEST_SHUTDOWN);
    else if (type == KVM_SYSTEM_EVENT_RESET)
        vmm_machine_request(machine, VMM_REQUEST_RESET);
    else
        vmm_machine_fail(machine, "the guest crashed (system event %u)", type);
}

static void take_exit(VmmVcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    switch (run->exit_reason) {
    case KVM_EXIT_MMIO:
        memory_access(vcpu);
        break;
    case KVM_EXIT_SHUTDOWN: /* a triple fault, which resets a PC */
        vmm_machine_request(vcpu->machine, VMM_REQUEST_RESET);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        system_event(vcpu->machine, run->system_event.type);
        break;
    case KVM_EXIT_INTR:
        break;
    case KVM_EXIT_FAIL_ENTRY:
        vmm_machine_fail(vcpu->machine, "vCPU %u cannot enter the guest (reason 0x%llx)",
                         vcpu->index,
                         (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        break;
    default:
        if (!vmm_arch_take_exit(vcpu))
            vmm_machine_fail(vcpu->machine, "vCPU %u stopped at 0x%llx (exit reason %u, %u)",
                             vcpu->index, (unsigned long long)vmm_arch_instruction(vcpu),
                             run->exit_reason, run->internal.suberror);
    }
}

/* Lets KVM finish the access that it left the guest for, so that registers are whole. It may come
 * back for the rest of the access, or, when it emulates, for the next round of a string
 * instruction; a guest that makes this long only harms its own snapshot. */
static void finish_access(VmmVcpu *vcpu)
{
    for (unsigned i = 0; i < FINISH_MAX; i++) {
        vcpu->run->immediate_exit = 1;
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0)
            break;
        take_exit(vcpu);
    }
    vcpu->run->immediate_exit = 0;
}

static void park(VmmVcpu *vcpu)
{
    VmmMachine *machine = vcpu->machine;
    if (vcpu->has_run)
        finish_access(vcpu);
    machine->n_parked++;
    pthread_cond_broadcast(&machine->parked);
    while (machine->is_paused && !machine->is_ending)
        pthread_cond_wait(&machine->resumed, &machine->lock);
    machine->n_parked--;
    if (!machine->is_ending)
        vmm_arch_resumed(vcpu);
}

/* False: the thread is to end. */
static bool wait_for_turn(VmmVcpu *vcpu)
{
    VmmMachine *machine = vcpu->machine;
    vcpu->run->immediate_exit = 0;
    while ((machine->is_paused || machine->is_congested) && !machine->is_ending)
        if (machine->is_paused)
            park(vcpu);
        else
            pthread_cond_wait(&machine->resumed, &machine->lock);
    return !machine->is_ending;
}

static void run_once(VmmVcpu *vcpu)
{
    VmmMachine *machine = vcpu->machine;
    vcpu->has_run = true;
    pthread_mutex_unlock(&machine->lock);
    int failed = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? errno : 0;
    pthread_mutex_lock(&machine->lock);
    if (failed == 0)
        take_exit(vcpu);
    else if (failed != EINTR && failed != EAGAIN)
        vmm_machine_fail(machine, "vCPU %u: %s", vcpu->index, strerror(failed));
}

static void *run_thread(void *data)
{
    VmmVcpu *vcpu = data;
    VmmMachine *machine = vcpu->machine;
    pid_t number = gettid();
    int failed = machine->prepare_thread ? machine->prepare_thread() : 0;
    current_run = vcpu->run;
    pthread_mutex_lock(&machine->lock);
    vcpu->number = number;
    if (failed)
        machine->unprepared = failed;
    while (wait_for_turn(vcpu))
        run_once(vcpu);
    vcpu->number = 0;
    pthread_mutex_unlock(&machine->lock);
    return NULL;
}

int vmm_vcpu_start(VmmVcpu *vcpu)
{
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed)
        return -failed;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    failed = pthread_create(&vcpu->thread, &attributes, run_thread, vcpu);
    pthread_attr_destroy(&attributes);
    vcpu->has_thread = failed == 0;
    return -failed;
}
