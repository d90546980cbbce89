/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port's output is taken before the terminal sees it, so that a test need not wait. */
#include "vm-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf-kernel.h"

#define TIME_LIMIT_NS (20ULL * 1000000000)

static void on_output(void *owner, uint8_t byte)
{
    Vm *vm = owner;
    g_string_append_c(vm->output, (char)byte);
    if (vm->wanted && vm->output->len == vm->wanted) /* once */
        vmm_loop_quit(vm->vm.machine.loop);
}

static void on_sent(void *data, const char *bytes, size_t length)
{
    Vm *vm = data;
    g_string_append_len(vm->sent, bytes, (gssize)length);
}

static void on_time_limit(void *data, uint32_t events)
{
    Vm *vm = data;
    vm->is_late = TRUE;
    vmm_loop_quit(vm->vm.machine.loop);
}

int vm_file(gsize size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    return fd;
}

gboolean vm_init(Vm *vm)
{
    VmmError error;
    char *none[] = {(char *)"test", (char *)"--help", NULL};
    *vm = (Vm){.folder = -1};
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        g_test_skip("no /dev/kvm");
        return FALSE;
    }
    vm->sent = g_string_new("");
    vm->output = g_string_new("");
    g_assert_cmpint(vmm_options_parse(&vm->options, 2, none, &error), ==, 0);
    vm->options.memory = VM_MEMORY;
    vm->options.no_seccomp = true; /* which the test's own threads would share */
    return TRUE;
}

void vm_set_kernel(Vm *vm, const uint8_t *start, const uint8_t *end, gboolean has_note)
{
    vm->options.kernel = elf_kernel(start, end, has_note, MFD_CLOEXEC);
}

void vm_build(Vm *vm)
{
    VmmError error = {""};
    VmmKvm kvm;
    if (vmm_kvm_open(&kvm, "/dev/kvm", &error) || vmm_vm_init(&vm->vm, &vm->options, &kvm, &error))
        g_error("%s", error.text);
    vm->vm.serial.output = on_output;
    vm->vm.serial.owner = vm;
    g_assert_cmpint(vmm_qmp_new_detached(&vm->qmp, &vm->vm, on_sent, vm), ==, 0);
    pthread_mutex_lock(&vm->vm.machine.lock);
    if (vmm_vm_start(&vm->vm, &error))
        g_error("%s", error.text);
    pthread_mutex_unlock(&vm->vm.machine.lock);
}

void vm_run(Vm *vm)
{
    VmmMachine *machine = &vm->vm.machine;
    VmmSource *timer;
    pthread_mutex_lock(&machine->lock);
    g_assert_cmpint(vmm_loop_add_timer(machine->loop, on_time_limit, vm, &timer), ==, 0);
    g_assert_cmpint(vmm_source_arm(timer, TIME_LIMIT_NS), ==, 0);
    if (!vm->has_begun)
        vmm_vm_begin(&vm->vm);
    vm->has_begun = TRUE;
    pthread_mutex_unlock(&machine->lock);
    g_assert_cmpint(vmm_loop_run(machine->loop), ==, 0);
    pthread_mutex_lock(&machine->lock);
    vmm_source_remove(timer);
    pthread_mutex_unlock(&machine->lock);
    g_assert_false(vm->is_late);
}

const char *vm_command(Vm *vm, const char *command)
{
    gsize before = vm->sent->len;
    pthread_mutex_lock(&vm->vm.machine.lock);
    vmm_qmp_feed(vm->qmp, command, strlen(command));
    pthread_mutex_unlock(&vm->vm.machine.lock);
    return vm->sent->str + before;
}

void vm_free(Vm *vm)
{
    pthread_mutex_lock(&vm->vm.machine.lock);
    vmm_qmp_free(vm->qmp);
    pthread_mutex_unlock(&vm->vm.machine.lock);
    vmm_vm_free(&vm->vm);
    if (vm->options.kernel >= 0)
        close(vm->options.kernel);
    if (vm->options.memory_fd >= 0)
        close(vm->options.memory_fd);
    g_string_free(vm->sent, TRUE);
    g_string_free(vm->output, TRUE);
}
