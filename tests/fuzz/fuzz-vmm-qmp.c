/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a control client, cut by the first one: what is answered is one JSON value a line.
 * The machine behind it has no vCPU and no KVM.
 */
#include <string.h>

#include <glib.h>

#include "fuzz.h"
#include "vmm/arch/x86_64/x86.h"
#include "vmm/json.h"
#include "vmm/qmp.h"

#define BYTES_MAX 65536

static void set_nothing(void *owner, bool level)
{
    (void)owner;
    (void)level;
}

static void on_sent(void *data, const char *bytes, size_t length)
{
    VmmJson json;
    g_assert_cmpuint(length, >, 2);
    g_assert_true(bytes[length - 2] == '\r' && bytes[length - 1] == '\n');
    g_assert_cmpint(vmm_json_parse(&json, bytes, length), ==, 0);
    ++*(unsigned *)data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static VmmOptions options = {.memory_fd = -1, .is_paused = true};
    VmmArch arch = {.power.set_interrupt = set_nothing};
    VmmVm vm = {.options = &options, .state = VMM_VM_PAUSED, .machine.arch = &arch};
    VmmQmp *qmp;
    unsigned sent = 0;
    if (size == 0 || size > BYTES_MAX)
        return 0;
    g_assert_cmpint(vmm_loop_new(&vm.machine.loop, NULL), ==, 0);
    g_assert_cmpint(vmm_terminal_new(&vm.terminal, vm.machine.loop, &vm.serial, -1, NULL), ==, 0);
    g_assert_cmpint(vmm_qmp_new_detached(&qmp, &vm, on_sent, &sent), ==, 0);
    size_t step = (size_t)data[0] + 1;
    for (size_t at = 1; at < size; at += step)
        vmm_qmp_feed(qmp, data + at, MIN(step, size - at));
    vmm_qmp_free(qmp);
    vmm_terminal_free(vm.terminal);
    vmm_loop_free(vm.machine.loop);
    return 0;
}
