/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor: each thing that the host needs, whether it is there, why it matters and the command
 * that mends it. The checks look and never change anything, and each ends after some seconds at
 * the latest. They block: call them from a job's thread or a program of their own.
 */
#pragma once

#include <gio/gio.h>

#include "base/paths.h"
#include "host/kvm.h"

typedef enum {
    STEAD_CHECK_OK,
    STEAD_CHECK_WARN, /* stead works, with less */
    STEAD_CHECK_FAIL, /* stead cannot work */
    STEAD_CHECK_N_STATUSES
} SteadCheckStatus;

typedef struct {
    const char *id;    /* "qemu-img"; static, unique, stable */
    const char *title; /* "QEMU disk tool"; static */
    SteadCheckStatus status;
    char *found;     /* what is there: path, version, amount; one line, never NULL */
    const char *why; /* what it is needed for; static */
    char *mend;      /* the command, or what else to do; NULL just when the status is OK */
} SteadCheckResult;

/* What to look at. All but `paths` may be zero; everything is borrowed for the call. */
typedef struct {
    const SteadPaths *paths;
    const char *search_path; /* where programs lie, separated by ':'; NULL: PATH and the sbin's */
    const char *system_root; /* goes before /proc, /dev, /run, /usr/share; NULL: the machine's */
    const char *kvm_program; /* as stead_kvm_probe() has it */
    const char *kvm_cache;   /* likewise */
    const SteadKvm *kvm;     /* its answer, where it is known already */
    GCancellable *cancellable;
} SteadCheckContext;

/* Runs all checks, in the order in which a person would mend them. The array owns its
 * SteadCheckResults; the caller owns the array. */
GPtrArray *stead_checks_run(const SteadCheckContext *context);

/* Whether nothing failed. Warnings are well enough. */
gboolean stead_checks_all_ok(const GPtrArray *results);

/* {"ok": true, "checks": [{"id", "title", "status", "found", "why", "mend": null}]}; owned by the
 * caller, no line end. */
char *stead_checks_to_json(const GPtrArray *results);

/* For people: one line a check; below those that are not well why it matters and what mends it; a
 * line with the totals. Owned by the caller. */
char *stead_checks_to_text(const GPtrArray *results);

/* "ok", "warn", "fail". */
const char *stead_check_status_name(SteadCheckStatus status);

void stead_check_result_free(SteadCheckResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadCheckResult, stead_check_result_free)
