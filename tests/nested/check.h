/* SPDX-License-Identifier: Apache-2.0 */
/* Checks, each of which passes or fails with a reason on a line of its own; and figures. */
#pragma once

#include <setjmp.h>
#include <stdbool.h>

extern jmp_buf check_failed;

/* Ends the check under way. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define EXPECT(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))

/* "ok NAME" or "not ok NAME: why". */
void run_check(const char *name, void (*check)(void));
void report_figure(const char *name, double value, const char *unit);
