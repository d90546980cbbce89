/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead-vmm: one guest on KVM, from its command line to its end.
 *
 * Exit codes: 0 when the guest or its user ended it, 1 when something failed, 2 on wrong usage.
 */
#include <errno.h>
#include <stdio.h>

#include "vmm/qmp.h"
#include "vmm/vm.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2

static int complain(const VmmError *error, int code)
{
    fprintf(stderr, "stead-vmm: %s\n", error->text);
    return code;
}

static int run(VmmVm *vm, VmmError *error)
{
    pthread_mutex_lock(&vm->machine.lock);
    int failed = vmm_vm_start(vm, error);
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

static int control_and_run(VmmVm *vm, VmmError *error)
{
    VmmQmp *qmp = NULL;
    int failed = vm->options->qmp >= 0 ? vmm_qmp_new(&qmp, vm, vm->options->qmp) : 0;
    if (failed)
        return vmm_error_errno(error, failed, "no control socket");
    failed = run(vm, error);
    pthread_mutex_lock(&vm->machine.lock);
    vmm_qmp_free(qmp);
    pthread_mutex_unlock(&vm->machine.lock);
    return failed;
}

static int run_guest(const VmmOptions *options, const VmmKvm *kvm)
{
    VmmError error = {""};
    VmmVm vm;
    if (vmm_vm_init(&vm, options, kvm, &error))
        return complain(&error, EXIT_FAILED);
    int failed = control_and_run(&vm, &error);
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
