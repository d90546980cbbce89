/* SPDX-License-Identifier: Apache-2.0 */
/* sysinfo(2) for all but what only /proc/meminfo has. */
#include "guest/facts.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "guest/text.h"

#define MEMINFO_MAX 8192
#define KIB 1024U

uint64_t guest_meminfo_value(const char *content, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = content; *line;) {
        const char *value = line + length + 1;
        uint64_t number;
        if (strncmp(line, name, length) == 0 && line[length] == ':' &&
            guest_number(value + strspn(value, " "), &number) > 0)
            return number * KIB;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return 0;
}

static uint64_t uptime_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int guest_memory(GuestMemory *memory)
{
    static char content[MEMINFO_MAX];
    struct sysinfo info;
    int64_t length = guest_read_file("/proc/meminfo", content, sizeof content);
    if (length < 0)
        return (int)length;
    sysinfo(&info);
    *memory = (GuestMemory){
        .total = guest_meminfo_value(content, "MemTotal"),
        .free = guest_meminfo_value(content, "MemFree"),
        .available = guest_meminfo_value(content, "MemAvailable"),
        .cached = guest_meminfo_value(content, "Cached"),
        .swap_total = guest_meminfo_value(content, "SwapTotal"),
        .swap_free = guest_meminfo_value(content, "SwapFree"),
        .uptime = uptime_ms(),
        .load = {(uint32_t)info.loads[0], (uint32_t)info.loads[1], (uint32_t)info.loads[2]},
        .processes = info.procs,
    };
    return 0;
}
