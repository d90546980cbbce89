/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a vCPU may leave its guest, and what is made of it. No guest can bring all of these about, or
 * not on every KVM: so KVM_RUN ends as the test says. What guests can is in test-machine.c and
 * test-vm.c.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine-fixture.h"

#define PROBE 0xe1000000ULL /* registers of the test's */

/* What the first KVM_RUN says; those after it say that the guest switched the machine off. */
typedef struct {
    const char *name;
    int error; /* of KVM_RUN itself */
    struct kvm_run run;
    VmmRequest request;
    const char *why;    /* the machine failed; NULL: it did not */
    gboolean is_no_end; /* the guest is entered again */
} Exit;

static struct {
    const Exit *exit; /* NULL: KVM's own */
    struct kvm_run *run;
    unsigned n_runs;
    uint8_t data[8]; /* that the guest reads from registers */
} fake;

static int end_run(void)
{
    const Exit *exit = fake.exit;
    if (fake.run->immediate_exit) {
        errno = EINTR;
        return -1;
    }
    if (fake.n_runs++ > 0) {
        memcpy(fake.data, fake.run->mmio.data, sizeof fake.data);
        fake.run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
        fake.run->system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
        return 0;
    }
    *fake.run = exit->run;
    errno = exit->error;
    return exit->error ? -1 : 0;
}

/* The linker puts it in the place of ioctl() (meson.build). */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    unsigned long argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    return fake.exit && request == KVM_RUN ? end_run() : __real_ioctl(fd, request, argument);
}

static struct {
    unsigned size;
    gboolean is_write;
} probe;

static void probe_read(void *self, uint64_t offset, void *data, unsigned size)
{
    probe.size = size;
    probe.is_write = FALSE;
    memset(data, 0x5a, size);
}

static void probe_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    probe.size = size;
    probe.is_write = TRUE;
}

static const VmmBusOps PROBE_OPS = {probe_read, probe_write};

static gboolean set_up(Fixture *fixture, const Exit *exit)
{
    if (!fixture_init(fixture, 1))
        return FALSE;
    g_assert_cmpint(vmm_bus_add(&fixture->machine.mmio, PROBE, 16, &PROBE_OPS, NULL), ==, 0);
    FIXTURE_LOAD(fixture, halt);
    probe.size = 0;
    fake.run = fixture->machine.vcpus[0].run;
    fake.n_runs = 0;
    fake.exit = exit;
    return TRUE;
}

static void tear_down(Fixture *fixture)
{
    fixture_free(fixture);
    fake.exit = NULL;
}

static const Exit ENDS[] = {
    {"shutdown", 0, {.exit_reason = KVM_EXIT_SHUTDOWN}, VMM_REQUEST_RESET, NULL},
    {"event/shutdown",
     0,
     {.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN},
     VMM_REQUEST_SHUTDOWN,
     NULL},
    {"event/reset",
     0,
     {.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = KVM_SYSTEM_EVENT_RESET},
     VMM_REQUEST_RESET,
     NULL},
    {"event/crash",
     0,
     {.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = KVM_SYSTEM_EVENT_CRASH},
     VMM_REQUEST_FAILED,
     "the guest crashed (system event 3)"},
    {"fail-entry",
     0,
     {.exit_reason = KVM_EXIT_FAIL_ENTRY, .fail_entry.hardware_entry_failure_reason = 0x80000021},
     VMM_REQUEST_FAILED,
     "vCPU 0 cannot enter the guest (reason 0x80000021)"},
    {"internal-error",
     0,
     {.exit_reason = KVM_EXIT_INTERNAL_ERROR, .internal.suberror = KVM_INTERNAL_ERROR_EMULATION},
     VMM_REQUEST_FAILED,
     "vCPU 0 stopped at 0x1000 (exit reason 17, 1)"},
    {"halt",
     0,
     {.exit_reason = KVM_EXIT_HLT},
     VMM_REQUEST_FAILED,
     "vCPU 0 stopped at 0x1000 (exit reason 5, 0)"},
    {"unknown",
     0,
     {.exit_reason = 12345},
     VMM_REQUEST_FAILED,
     "vCPU 0 stopped at 0x1000 (exit reason 12345, 0)"},
    {"interrupted", 0, {.exit_reason = KVM_EXIT_INTR}, VMM_REQUEST_SHUTDOWN, NULL, TRUE},
    {"port-data-outside",
     0,
     {.exit_reason = KVM_EXIT_IO, .io = {.size = 4, .count = 1, .data_offset = 1ULL << 40}},
     VMM_REQUEST_FAILED,
     "KVM told of more port data than it shares"},
    {"port-data-too-much",
     0,
     {.exit_reason = KVM_EXIT_IO, .io = {.size = 4, .count = 1U << 31, .data_offset = 4096}},
     VMM_REQUEST_FAILED,
     "KVM told of more port data than it shares"},
    {"signal", EINTR, {.exit_reason = 0}, VMM_REQUEST_SHUTDOWN, NULL, TRUE},
    {"again", EAGAIN, {.exit_reason = 0}, VMM_REQUEST_SHUTDOWN, NULL, TRUE},
    {"error", EFAULT, {.exit_reason = 0}, VMM_REQUEST_FAILED, "vCPU 0: Bad address"},
};

static void test_end(const void *data)
{
    const Exit *exit = data;
    Fixture fixture;
    if (!set_up(&fixture, exit))
        return;
    fixture_run(&fixture);
    g_assert_cmpint(fixture.request, ==, exit->request);
    g_assert_cmpstr(fixture.machine.why.text, ==, exit->why ? exit->why : "");
    g_assert_cmpuint(fake.n_runs, ==, exit->is_no_end ? 2 : 1);
    tear_down(&fixture);
}

/* Registers of all widths, and of some that there are not: the room is never left. */
static void test_registers(void)
{
    static const unsigned lengths[][2] = {{1, 1}, {2, 2}, {4, 4}, {8, 8}, {9, 8}, {4096, 8}};
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(lengths); i++) {
        const unsigned *length = lengths[i / 2];
        Exit exit = {.run = {.exit_reason = KVM_EXIT_MMIO,
                             .mmio = {.phys_addr = PROBE, .len = length[0], .is_write = i % 2}}};
        Fixture fixture;
        if (!set_up(&fixture, &exit))
            return;
        fixture_run(&fixture);
        g_assert_cmpint(fixture.request, ==, VMM_REQUEST_SHUTDOWN);
        g_assert_cmpuint(probe.size, ==, length[1]);
        g_assert_cmpint(probe.is_write, ==, i % 2);
        for (unsigned k = 0; k < sizeof fake.data; k++)
            g_assert_cmphex(fake.data[k], ==, i % 2 == 0 && k < length[1] ? 0x5a : 0);
        tear_down(&fixture);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(ENDS); i++) {
        g_autofree char *path = g_strdup_printf("/vmm/exits/%s", ENDS[i].name);
        g_test_add_data_func(path, &ENDS[i], test_end);
    }
    g_test_add_func("/vmm/exits/registers", test_registers);
    return g_test_run();
}
