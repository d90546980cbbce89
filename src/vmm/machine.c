/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pause is a promise of all vCPUs to keep out of the guest: the flag is set, each thread is
 * kicked out of KVM_RUN by a signal, and the last one that parks wakes who waits. A machine begins
 * paused, so that its threads park first and a start is a resume.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/vcpu.h"

static void take_request(void *data, uint32_t events)
{
    VmmMachine *machine = data;
    uint64_t count;
    (void)events;
    if (read(machine->request_fd, &count, sizeof count) != sizeof count)
        return;
    VmmRequest request = machine->request;
    if (request == VMM_REQUEST_NONE)
        return;
    vmm_machine_pause(machine);
    machine->request = VMM_REQUEST_NONE;
    if (machine->on_request)
        machine->on_request(machine->on_request_data, request);
}

static int add_loop(VmmMachine *machine)
{
    int failed = vmm_loop_new(&machine->loop, &machine->lock);
    if (failed)
        return failed;
    machine->request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (machine->request_fd < 0)
        return -errno;
    return vmm_loop_add(machine->loop, machine->request_fd, EPOLLIN, take_request, machine, NULL);
}

static int add_vcpus(VmmMachine *machine, unsigned n, VmmError *error)
{
    machine->vcpus = calloc(n, sizeof *machine->vcpus);
    if (machine->vcpus == NULL)
        return vmm_error_errno(error, -ENOMEM, "no room for %u vCPUs", n);
    for (; machine->n_vcpus < n; machine->n_vcpus++) {
        VmmVcpu *vcpu = &machine->vcpus[machine->n_vcpus];
        *vcpu = (VmmVcpu){.machine = machine, .index = machine->n_vcpus, .fd = -1};
        int failed = vmm_vcpu_open(vcpu, error);
        if (failed) {
            vmm_vcpu_close(vcpu);
            return failed;
        }
    }
    return 0;
}

static int build(VmmMachine *machine, unsigned n_vcpus, VmmError *error)
{
    int failed = add_loop(machine);
    if (failed)
        return vmm_error_errno(error, failed, "no event loop");
    failed = vmm_kvm_create(&machine->kvm, error);
    if (!failed)
        failed = vmm_kvm_map(&machine->kvm, machine->memory, error);
    if (!failed)
        failed = vmm_arch_new(machine, error);
    return failed ? failed : add_vcpus(machine, n_vcpus, error);
}

int vmm_machine_init(VmmMachine *machine, const VmmKvm *kvm, VmmMemory *memory, unsigned n_vcpus,
                     VmmError *error)
{
    *machine = (VmmMachine){
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .parked = PTHREAD_COND_INITIALIZER,
        .resumed = PTHREAD_COND_INITIALIZER,
        .kvm = *kvm,
        .memory = memory,
        .request_fd = -1,
        .is_paused = true,
        .n_planned = n_vcpus,
    };
    int failed;
    if (n_vcpus == 0 || n_vcpus > VMM_CPUS_MAX)
        failed = vmm_error(error, -EINVAL, "a machine has 1 to %d vCPUs", VMM_CPUS_MAX);
    else
        failed = build(machine, n_vcpus, error);
    if (failed)
        vmm_machine_free(machine);
    return failed;
}

static void end_threads(VmmMachine *machine)
{
    pthread_mutex_lock(&machine->lock);
    machine->is_paused = machine->is_ending = true;
    pthread_cond_broadcast(&machine->resumed);
    for (unsigned i = 0; i < machine->n_vcpus; i++)
        vmm_vcpu_kick(&machine->vcpus[i]);
    pthread_mutex_unlock(&machine->lock);
    for (unsigned i = 0; i < machine->n_vcpus; i++) {
        if (machine->vcpus[i].has_thread)
            pthread_join(machine->vcpus[i].thread, NULL);
        machine->vcpus[i].has_thread = false;
    }
}

void vmm_machine_free(VmmMachine *machine)
{
    end_threads(machine);
    for (unsigned i = 0; i < machine->n_vcpus; i++)
        vmm_vcpu_close(&machine->vcpus[i]);
    free(machine->vcpus);
    machine->vcpus = NULL;
    machine->n_vcpus = 0;
    vmm_arch_free(machine);
    for (unsigned i = 0; i < machine->n_irqs; i++)
        close(machine->irqs[i].fd);
    machine->n_irqs = 0;
    vmm_kvm_close(&machine->kvm);
    vmm_loop_free(machine->loop);
    machine->loop = NULL;
    if (machine->request_fd >= 0)
        close(machine->request_fd);
    machine->request_fd = -1;
}

static void wait_for_all(VmmMachine *machine)
{
    unsigned n_threads = 0;
    for (unsigned i = 0; i < machine->n_vcpus; i++)
        n_threads += machine->vcpus[i].has_thread;
    while (machine->n_parked < n_threads)
        pthread_cond_wait(&machine->parked, &machine->lock);
}

int vmm_machine_start(VmmMachine *machine, VmmError *error)
{
    int failed = vmm_vcpu_prepare_kicks();
    for (unsigned i = 0; !failed && i < machine->n_vcpus; i++)
        failed = vmm_vcpu_start(&machine->vcpus[i]);
    if (failed)
        return vmm_error_errno(error, failed, "no thread for a vCPU");
    wait_for_all(machine);
    return machine->unprepared
               ? vmm_error_errno(error, machine->unprepared, "cannot restrict a vCPU's thread")
               : 0;
}

void vmm_machine_pause(VmmMachine *machine)
{
    machine->is_paused = true;
    pthread_cond_broadcast(&machine->resumed); /* those that wait for a device park instead */
    for (unsigned i = 0; i < machine->n_vcpus; i++)
        vmm_vcpu_kick(&machine->vcpus[i]);
    wait_for_all(machine);
}

void vmm_machine_resume(VmmMachine *machine)
{
    machine->is_paused = false;
    pthread_cond_broadcast(&machine->resumed);
}

void vmm_machine_set_congested(VmmMachine *machine, bool is_congested)
{
    machine->is_congested = is_congested;
    if (!is_congested)
        pthread_cond_broadcast(&machine->resumed);
}

void vmm_machine_request(VmmMachine *machine, VmmRequest request)
{
    uint64_t one = 1;
    if (machine->request == VMM_REQUEST_NONE)
        machine->request = request;
    machine->is_paused = true;
    if (write(machine->request_fd, &one, sizeof one) < 0)
        return; /* only when the counter is full: the loop will come */
}

void vmm_machine_fail(VmmMachine *machine, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (machine->request == VMM_REQUEST_NONE)
        vsnprintf(machine->why.text, sizeof machine->why.text, format, arguments);
    va_end(arguments);
    vmm_machine_request(machine, VMM_REQUEST_FAILED);
}

static void raise_line(void *self)
{
    VmmIrqLine *line = self;
    uint64_t one = 1;
    if (write(line->fd, &one, sizeof one) < 0)
        return; /* only when the counter is full: an interrupt is on its way */
}

int vmm_machine_irq(VmmMachine *machine, uint32_t gsi, VmmIrq *irq, VmmError *error)
{
    if (machine->n_irqs == VMM_IRQFDS_MAX)
        return vmm_error(error, -ENOSPC, "too many interrupt lines");
    VmmIrqLine *line = &machine->irqs[machine->n_irqs];
    line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (line->fd < 0)
        return vmm_error_errno(error, -errno, "no event for an interrupt line");
    int failed = vmm_kvm_irqfd(&machine->kvm, line->fd, gsi);
    if (failed) {
        close(line->fd);
        return vmm_error_errno(error, failed, "KVM does not take interrupt line %u", gsi);
    }
    machine->n_irqs++;
    *irq = (VmmIrq){.raise = raise_line, .self = line};
    return 0;
}
