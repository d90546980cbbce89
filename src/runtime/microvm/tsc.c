/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two readings of the counter and of the raw monotonic clock, far apart: the error is that of a
 * clock reading over the time between them, some parts in a million after a second.
 */
#include "runtime/microvm/tsc.h"

#include <string.h>
#include <time.h>

#define LEAST_NS G_GINT64_CONSTANT(20000000)

typedef struct {
    guint64 ticks;
    gint64 ns;
} Moment;

static Moment began;

static guint64 read_ticks(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

static Moment now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (Moment){read_ticks(), (gint64)time.tv_sec * 1000000000 + time.tv_nsec};
}

static gboolean is_constant(void)
{
    g_autofree char *text = NULL;
    return g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL) &&
           strstr(text, " constant_tsc") != NULL;
}

void stead_tsc_begin(void)
{
    began = now();
}

guint stead_tsc_khz(void)
{
    static gsize known;
    static gboolean constant;
    if (g_once_init_enter(&known)) {
        constant = is_constant();
        g_once_init_leave(&known, 1);
    }
    Moment end = now();
    while (constant && end.ns - began.ns < LEAST_NS)
        end = now();
    if (!constant || end.ticks <= began.ticks)
        return 0;
    return (guint)((double)(end.ticks - began.ticks) * 1e6 / (double)(end.ns - began.ns));
}
