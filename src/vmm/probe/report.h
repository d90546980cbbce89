/* SPDX-License-Identifier: Apache-2.0 */
/* The report as the one JSON object that the program prints. */
#pragma once

#include <stdio.h>

#include "vmm/probe/steps.h"

/*
 * {"status": "usable" | "unusable" | "absent" | "denied",
 *  "step": the first step that failed or null, "detail": why, "",
 *  "failed": [all steps that did], "loop_ms", "host_loop_ms", "slowdown": numbers, or null where
 *  the loop was not reached}
 * and a line end. Returns 0, or -1 when it cannot be written.
 */
int probe_report_print(const ProbeReport *report, FILE *out);

/* Completes the report of a process that did not come back: the step under way is the one. */
void probe_report_give_up(ProbeReport *report, const char *why);
