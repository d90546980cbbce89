/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a host's KVM, one named step after the other, and what came of it. The first
 * step that fails decides; those after it are tried all the same where that is possible, so that
 * a report can name everything that is broken.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/probe/vm.h"

#define PROBE_STEP_NAME_MAX 32
#define PROBE_DETAIL_MAX 256
#define PROBE_STEPS_MAX 32
/* A guest slower than this against the same loop on the host is not run by the CPU. An emulator
 * that translates, like QEMU's, stays below it: KVM that does not is of no use. */
#define PROBE_SLOWDOWN_MAX 20.0

typedef enum { PROBE_PASSED, PROBE_FAILED, PROBE_SKIPPED } ProbeVerdict;
typedef enum { PROBE_USABLE, PROBE_UNUSABLE, PROBE_ABSENT, PROBE_DENIED } ProbeStatus;

/* Plain and without pointers: it lies in memory that two processes share. Before the first step
 * `status` is PROBE_UNUSABLE, so that a process that dies midway leaves a true report behind. */
typedef struct {
    ProbeStatus status;
    int current;     /* the step under way: an index of probe_steps */
    bool is_done;    /* all steps were tried */
    bool has_failed; /* a step did; `failed` is the first of them */
    int failed;
    bool is_failed[PROBE_STEPS_MAX]; /* by step */
    char detail[PROBE_DETAIL_MAX];   /* why the first one failed; "" when none did */
    double loop_ms;                  /* of the whole loop in the guest, 0 when not measured */
    double host_loop_ms;             /* likewise on the host */
    double slowdown;                 /* their ratio, or 0 */
} ProbeReport;

typedef struct ProbeStep ProbeStep;
struct ProbeStep {
    const char *name;
    /* Does the step. Writes why it failed to detail (PROBE_DETAIL_MAX bytes). */
    ProbeVerdict (*run)(const ProbeStep *step, ProbeVm *vm, ProbeReport *report, char *detail);
    int (*host)(ProbeVm *vm); /* for a step of the host's: 0 or a negative errno */
    const uint8_t *entry;     /* for a step of the guest's: a label of guest.S */
    bool is_vital;            /* nothing can be tried when this fails */
};

extern const ProbeStep probe_steps[];
extern const size_t probe_n_steps;

/* The step of that index, "" beyond the table. */
const char *probe_step_name(int index);

/* The name of a status: "usable", "unusable", "absent", "denied". */
const char *probe_status_name(ProbeStatus status);

/* Tries all steps on the device at `path` and fills the report. */
void probe_run_steps(const char *path, ProbeReport *report);

/* What a run's end says about a step that should have ended with PROBE_PASS. */
ProbeVerdict probe_judge(const ProbeEnd *end, unsigned limit_ms, char *detail);

/* Whether a loop of that speed is run by the CPU. */
ProbeVerdict probe_judge_speed(double slowdown, char *detail);
