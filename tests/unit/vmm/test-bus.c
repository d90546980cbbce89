/* SPDX-License-Identifier: Apache-2.0 */
/* Who answers at which address, and what happens where nobody does. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "vmm/bus.h"

typedef struct {
    uint64_t offset;
    unsigned size;
    uint64_t written;
    unsigned reads;
} Device;

static void device_read(void *self, uint64_t offset, void *data, unsigned size)
{
    Device *device = self;
    device->offset = offset;
    device->size = size;
    device->reads++;
    memset(data, 0x5a, size);
}

static void device_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    Device *device = self;
    device->offset = offset;
    device->size = size;
    device->written = 0;
    memcpy(&device->written, data, size);
}

static const VmmBusOps OPS = {device_read, device_write};

static void test_access_reaches_its_device(void)
{
    Device low = {0}, high = {0};
    VmmBus bus = {0};
    uint64_t value = 0;
    g_assert_cmpint(vmm_bus_add(&bus, 0x2000, 0x10, &OPS, &high), ==, 0);
    g_assert_cmpint(vmm_bus_add(&bus, 0x1000, 0x1000, &OPS, &low), ==, 0);
    g_assert_true(vmm_bus_read(&bus, 0x2004, &value, 4));
    g_assert_cmphex(value, ==, 0x5a5a5a5a);
    g_assert_cmphex(high.offset, ==, 4);
    g_assert_cmpuint(high.size, ==, 4);
    value = 0x1234;
    g_assert_true(vmm_bus_write(&bus, 0x1fff, &value, 1));
    g_assert_cmphex(low.offset, ==, 0xfff);
    g_assert_cmphex(low.written, ==, 0x34);
    g_assert_cmpuint(bus.unknown_reads + bus.unknown_writes, ==, 0);
}

static void test_nobody_reads_as_all_ones_and_is_counted(void)
{
    VmmBus bus = {0};
    uint64_t value = 0;
    g_assert_false(vmm_bus_read(&bus, 0x3f8, &value, 2));
    g_assert_cmphex(value, ==, 0xffff);
    g_assert_false(vmm_bus_write(&bus, UINT64_MAX, &value, 8));
    g_assert_cmpuint(bus.unknown_reads, ==, 1);
    g_assert_cmpuint(bus.unknown_writes, ==, 1);
}

static void test_access_over_the_end_is_nobodys(void)
{
    Device device = {0};
    VmmBus bus = {0};
    uint64_t value = 0;
    g_assert_cmpint(vmm_bus_add(&bus, 0x100, 6, &OPS, &device), ==, 0);
    g_assert_false(vmm_bus_read(&bus, 0x104, &value, 4));
    g_assert_false(vmm_bus_read(&bus, 0xff, &value, 2));
    g_assert_false(vmm_bus_read(&bus, 0x106, &value, 1));
    g_assert_cmpuint(device.reads, ==, 0);
    g_assert_true(vmm_bus_read(&bus, 0x104, &value, 2));
}

static void test_odd_sizes_are_nobodys(void)
{
    Device device = {0};
    VmmBus bus = {0};
    uint64_t value = 0;
    g_assert_cmpint(vmm_bus_add(&bus, 0, 0x100, &OPS, &device), ==, 0);
    g_assert_false(vmm_bus_read(&bus, 0, &value, 3));
    g_assert_cmphex(value, ==, 0xffffff);
    g_assert_cmpuint(device.reads, ==, 0);
}

static void test_ranges_do_not_overlap(void)
{
    VmmBus bus = {0};
    g_assert_cmpint(vmm_bus_add(&bus, 0x100, 0x100, &OPS, NULL), ==, 0);
    g_assert_cmpint(vmm_bus_add(&bus, 0x1ff, 1, &OPS, NULL), ==, -EEXIST);
    g_assert_cmpint(vmm_bus_add(&bus, 0, 0x101, &OPS, NULL), ==, -EEXIST);
    g_assert_cmpint(vmm_bus_add(&bus, 0, 0x100, &OPS, NULL), ==, 0);
    g_assert_cmpint(vmm_bus_add(&bus, 0x200, 1, &OPS, NULL), ==, 0);
}

static void test_range_ends_within_the_address_space(void)
{
    VmmBus bus = {0};
    g_assert_cmpint(vmm_bus_add(&bus, 0, 0, &OPS, NULL), ==, -EINVAL);
    g_assert_cmpint(vmm_bus_add(&bus, UINT64_MAX, 2, &OPS, NULL), ==, -EINVAL);
    g_assert_cmpint(vmm_bus_add(&bus, UINT64_MAX, 1, &OPS, NULL), ==, 0);
}

static void test_room_is_limited(void)
{
    VmmBus bus = {0};
    for (unsigned i = 0; i < VMM_BUS_RANGES_MAX; i++)
        g_assert_cmpint(vmm_bus_add(&bus, i * 2, 1, &OPS, NULL), ==, 0);
    g_assert_cmpint(vmm_bus_add(&bus, 1000, 1, &OPS, NULL), ==, -ENOSPC);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/bus/access-reaches-its-device", test_access_reaches_its_device);
    g_test_add_func("/vmm/bus/nobody-reads-as-all-ones",
                    test_nobody_reads_as_all_ones_and_is_counted);
    g_test_add_func("/vmm/bus/over-the-end", test_access_over_the_end_is_nobodys);
    g_test_add_func("/vmm/bus/odd-sizes", test_odd_sizes_are_nobodys);
    g_test_add_func("/vmm/bus/no-overlap", test_ranges_do_not_overlap);
    g_test_add_func("/vmm/bus/range-ends", test_range_ends_within_the_address_space);
    g_test_add_func("/vmm/bus/room", test_room_is_limited);
    return g_test_run();
}
