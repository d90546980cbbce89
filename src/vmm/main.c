/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead-vmm: one guest on KVM, from its command line to its end.
 *
 * Exit codes: 0 when the guest or its user ended it, 1 when something failed, 2 on wrong usage.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/constant.h"
#include "vmm/jail.h"
#include "vmm/qmp.h"
#include "vmm/seccomp.h"
#include "vmm/vm.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2

static int complain(const VmmError *error, int code)
{
    fprintf(stderr, "stead-vmm: %s\n", error->text);
    return code;
}

/* Each thread seals itself before it touches the guest, this one last. */
static int start(VmmVm *vm, VmmJail *jail, VmmError *error)
{
    int failed = vmm_vm_start(vm, error);
    if (failed)
        return failed;
    failed = vm->options->no_seccomp ? 0 : vmm_seccomp_seal(VMM_THREAD_LOOP);
    if (failed)
        return vmm_error_errno(error, failed, "cannot restrict system calls");
    vmm_vm_begin(vm);
    vmm_jail_ready(jail);
    return 0;
}

static int run(VmmVm *vm, VmmJail *jail, VmmError *error)
{
    pthread_mutex_lock(&vm->machine.lock);
    int failed = start(vm, jail, error);
    pthread_mutex_unlock(&vm->machine.lock);
    if (failed)
        return failed;
    failed = vmm_loop_run(vm->machine.loop);
    if (failed)
        return vmm_error_errno(error, failed, "cannot wait for events");
    if (vm->state == VMM_VM_FAILED)
        return vmm_error(error, -EIO, "%s", vm->machine.why.text);
    return 0;
}

static int control_and_run(VmmVm *vm, VmmJail *jail, VmmError *error)
{
    VmmQmp *qmp = NULL;
    int failed = vm->options->qmp >= 0 ? vmm_qmp_new(&qmp, vm, vm->options->qmp) : 0;
    if (failed)
        return vmm_error_errno(error, failed, "no control socket");
    failed = run(vm, jail, error);
    pthread_mutex_lock(&vm->machine.lock);
    vmm_qmp_free(qmp);
    pthread_mutex_unlock(&vm->machine.lock);
    return failed;
}

static int run_guest(const VmmOptions *options, const VmmKvm *kvm)
{
    VmmError error = {""};
    VmmJail jail;
    VmmVm vm;
    VmmJailOptions jail_options = {
        .uid = options->uid,
        .gid = options->gid,
        .memory = options->memory,
        .no_seccomp = options->no_seccomp,
        .no_jail = options->no_jail,
        .daemonize = options->daemonize,
        .pid_fd = options->pid_fd,
    };
    int failed = vmm_constant_protect();
    if (failed)
        vmm_error_errno(&error, failed, "cannot protect what is constant");
    if (failed || vmm_jail_enter(&jail, &jail_options, &error))
        return complain(&error, EXIT_FAILED);
    if (!jail.is_inside)
        _exit(jail.exit_code);
    if (vmm_vm_init(&vm, options, kvm, &error))
        return complain(&error, EXIT_FAILED);
    failed = control_and_run(&vm, &jail, &error);
    vmm_vm_free(&vm);
    return failed ? complain(&error, EXIT_FAILED) : 0;
}

int main(int argc, char **argv)
{
    VmmError error = {""};
    VmmOptions options;
    VmmKvm kvm;
    if (vmm_options_parse(&options, argc, argv, &error))
        return complain(&error, EXIT_USAGE);
    if (options.help)
        vmm_options_print_help();
    if (options.version)
        puts("stead-vmm " STEAD_VERSION);
    if (options.help || options.version)
        return 0;
    if (vmm_kvm_open(&kvm, options.kvm, &error))
        return complain(&error, EXIT_FAILED);
    if (options.check) {
        vmm_kvm_close(&kvm);
        return 0;
    }
    return run_guest(&options, &kvm);
}
