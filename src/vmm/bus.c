/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted array, searched by halves. An access that begins in one device's range and ends outside
 * it belongs to nobody: no device has to think of it.
 */
#include "vmm/bus.h"

#include <errno.h>
#include <string.h>

/* The number of ranges that begin at or below the address. */
static unsigned count_below(const VmmBus *bus, uint64_t address)
{
    unsigned low = 0, high = bus->n_ranges;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (bus->ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int vmm_bus_add(VmmBus *bus, uint64_t base, uint64_t length, const VmmBusOps *ops, void *self)
{
    uint64_t end;
    if (length == 0 || __builtin_add_overflow(base, length - 1, &end))
        return -EINVAL;
    if (bus->n_ranges == VMM_BUS_RANGES_MAX)
        return -ENOSPC;
    unsigned at = count_below(bus, base);
    if (at > 0 && base - bus->ranges[at - 1].base < bus->ranges[at - 1].length)
        return -EEXIST;
    if (at < bus->n_ranges && bus->ranges[at].base <= end)
        return -EEXIST;
    memmove(bus->ranges + at + 1, bus->ranges + at, (bus->n_ranges - at) * sizeof *bus->ranges);
    bus->ranges[at] = (VmmBusRange){.base = base, .length = length, .ops = ops, .self = self};
    bus->n_ranges++;
    return 0;
}

static bool is_size(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static const VmmBusRange *find(const VmmBus *bus, uint64_t address, unsigned size)
{
    unsigned at = count_below(bus, address);
    if (at == 0 || !is_size(size))
        return NULL;
    const VmmBusRange *range = &bus->ranges[at - 1];
    uint64_t offset = address - range->base;
    return offset < range->length && range->length - offset >= size ? range : NULL;
}

bool vmm_bus_read(VmmBus *bus, uint64_t address, void *data, unsigned size)
{
    const VmmBusRange *range = find(bus, address, size);
    if (range) {
        range->ops->read(range->self, address - range->base, data, size);
        return true;
    }
    memset(data, 0xff, size);
    bus->unknown_reads++;
    return false;
}

bool vmm_bus_write(VmmBus *bus, uint64_t address, const void *data, unsigned size)
{
    const VmmBusRange *range = find(bus, address, size);
    if (range) {
        range->ops->write(range->self, address - range->base, data, size);
        return true;
    }
    bus->unknown_writes++;
    return false;
}
