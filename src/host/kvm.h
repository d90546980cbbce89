/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether guests can be run by the CPU. A /dev/kvm that opens is no proof: only a program that
 * runs guest code on it is (stead-kvm-probe). Its answer is kept in a file, so that a start does
 * not cost it each time.
 *
 * The environment's STEAD_KVM overrides: "off" reads as absent (everything is emulated), "probe"
 * asks the host without looking into the file; anything else is refused (INVALID).
 */
#pragma once

#include <gio/gio.h>

/* More output than this is no answer, in bytes. */
#define STEAD_KVM_OUTPUT_MAX 4096
/* Longer texts in an answer are cut off, in bytes. */
#define STEAD_KVM_TEXT_MAX 256
/* An answer that KVM is unusable is asked for anew after this time: it may have had another
 * reason. A good answer holds until the next boot. */
#define STEAD_KVM_RETRY_SECONDS 3600

typedef enum {
    STEAD_KVM_USABLE,
    STEAD_KVM_UNUSABLE, /* it opens, but does not run what a stock kernel needs, or far too slowly
                         */
    STEAD_KVM_ABSENT,
    STEAD_KVM_DENIED, /* it is there, but this user may not open it */
    STEAD_KVM_N_STATUSES
} SteadKvmStatus;

typedef struct {
    SteadKvmStatus status;
    char *step;      /* what failed first: "lock cmpxchg16b"; NULL when nothing did */
    char *detail;    /* how it failed, one line; "" when nothing did */
    double slowdown; /* of a loop in the guest against the host; 0 when it was not measured */
} SteadKvm;

/*
 * Asks probe_program (NULL: the one of this build tree, else the installed one), or takes the
 * answer from cache_file (NULL: none) if it is about this boot, kernel, device, user and program.
 * A new answer is written there; that this fails is no error. Blocks for at most some 2 s.
 * Owned by the caller. Errors: MISSING when the program is not there, INTERNAL when it fails or
 * its output makes no sense, CANCELLED.
 */
SteadKvm *stead_kvm_probe(const char *probe_program, const char *cache_file,
                          GCancellable *cancellable, GError **error);

/* The program's output as an answer; INTERNAL when it is none. */
SteadKvm *stead_kvm_parse(const char *output, GError **error);

/* "usable", "unusable", "absent", "denied". */
const char *stead_kvm_status_name(SteadKvmStatus status);

/* One line for people: "unusable: lock cmpxchg16b: KVM cannot ...". Owned by the caller. */
char *stead_kvm_describe(const SteadKvm *kvm);

void stead_kvm_free(SteadKvm *kvm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadKvm, stead_kvm_free)
