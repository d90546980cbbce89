/* SPDX-License-Identifier: Apache-2.0 */
/* The run ends in a callback of the loop, as the program's own would. */
#include "machine-fixture.h"

#include <string.h>
#include <unistd.h>

#include "vmm/arch/x86_64/x86.h"

#define ECHO_PORT 0xe0
#define GUEST_CODE 0x1000

static void echo_read(void *self, uint64_t offset, void *data, unsigned size)
{
    Fixture *fixture = self;
    uint32_t value = ~fixture->echo;
    memcpy(data, &value, size);
}

static void echo_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    Fixture *fixture = self;
    memcpy(&fixture->echo, data, size);
    fixture->echoed++;
}

static const VmmBusOps ECHO_OPS = {echo_read, echo_write};

static void on_output(void *owner, uint8_t byte)
{
    Fixture *fixture = owner;
    g_byte_array_append(fixture->output, &byte, 1);
    if (fixture->wanted && fixture->output->len == fixture->wanted) /* once */
        vmm_loop_quit(fixture->machine.loop);
}

static void on_request(void *data, VmmRequest request)
{
    Fixture *fixture = data;
    fixture->request = request;
    vmm_loop_quit(fixture->machine.loop);
}

static void on_time_limit(void *data, uint32_t events)
{
    Fixture *fixture = data;
    fixture->is_late = TRUE;
    vmm_loop_quit(fixture->machine.loop);
}

gboolean fixture_init(Fixture *fixture, unsigned n_vcpus)
{
    VmmError error = {""};
    *fixture = (Fixture){.output = g_byte_array_new()};
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        g_test_skip("no /dev/kvm");
        g_clear_pointer(&fixture->output, g_byte_array_unref);
        return FALSE;
    }
    g_assert_cmpint(vmm_memory_new(&fixture->memory, FIXTURE_MEMORY, -1, false), ==, 0);
    VmmKvm kvm;
    if (vmm_kvm_open(&kvm, "/dev/kvm", &error) ||
        vmm_machine_init(&fixture->machine, &kvm, fixture->memory, n_vcpus, &error))
        g_error("%s", error.text);
    fixture->serial = (VmmSerial){.output = on_output, .owner = fixture};
    if (vmm_arch_add_platform(&fixture->machine, &fixture->serial, &error))
        g_error("%s", error.text);
    g_assert_cmpint(vmm_bus_add(&fixture->machine.ports, ECHO_PORT, 4, &ECHO_OPS, fixture), ==, 0);
    fixture->machine.on_request = on_request;
    fixture->machine.on_request_data = fixture;
    return TRUE;
}

void fixture_free(Fixture *fixture)
{
    vmm_machine_free(&fixture->machine);
    vmm_memory_free(fixture->memory);
    g_byte_array_unref(fixture->output);
}

void fixture_load(Fixture *fixture, const uint8_t *start, const uint8_t *end)
{
    VmmError error = {""};
    uint64_t length = (uint64_t)(end - start);
    g_assert_cmpint(vmm_memory_write(fixture->memory, GUEST_CODE, start, length), ==, 0);
    if (x86_set_real_mode(&fixture->machine, GUEST_CODE, &error))
        g_error("%s", error.text);
}

void fixture_run(Fixture *fixture)
{
    VmmMachine *machine = &fixture->machine;
    VmmError error = {""};
    VmmSource *timer;
    pthread_mutex_lock(&machine->lock);
    if (!machine->vcpus[0].has_thread && vmm_machine_start(machine, &error))
        g_error("%s", error.text);
    fixture->request = VMM_REQUEST_NONE;
    g_assert_cmpint(vmm_loop_add_timer(machine->loop, on_time_limit, fixture, &timer), ==, 0);
    g_assert_cmpint(vmm_source_arm(timer, FIXTURE_TIME_LIMIT_NS), ==, 0);
    vmm_machine_resume(machine);
    pthread_mutex_unlock(&machine->lock);
    g_assert_cmpint(vmm_loop_run(machine->loop), ==, 0);
    pthread_mutex_lock(&machine->lock);
    vmm_machine_pause(machine);
    vmm_source_remove(timer);
    pthread_mutex_unlock(&machine->lock);
    g_assert_false(fixture->is_late);
}

void fixture_expect(Fixture *fixture, const void *bytes, gsize length)
{
    g_assert_cmpmem(fixture->output->data, fixture->output->len, bytes, length);
    g_byte_array_set_size(fixture->output, 0);
}
