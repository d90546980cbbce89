/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a guest's boot is, told from what it writes on its console. Pure: bytes in, events out;
 * no I/O and no clock.
 */
#pragma once

#include <glib.h>

/* In boot order. */
typedef enum {
    STEAD_STAGE_NONE,
    STEAD_STAGE_FIRMWARE,
    STEAD_STAGE_BOOTLOADER,
    STEAD_STAGE_KERNEL,
    STEAD_STAGE_INITRAMFS,
    STEAD_STAGE_INIT,
    STEAD_STAGE_NETWORK,
    STEAD_STAGE_SSH,
    STEAD_STAGE_CLOUD_INIT, /* cloud-init runs its modules */
    STEAD_STAGE_LOGIN,      /* a login prompt stands there */
    STEAD_STAGE_CONFIGURED, /* cloud-init has finished; guests without it never get here */
    STEAD_N_STAGES
} SteadStage;

/* "firmware", "cloud-init", ...; "none" is the name of NONE. */
const char *stead_stage_name(SteadStage stage);
/* -1 when there is no such stage. */
int stead_stage_from_name(const char *name);

/* The part of a typical boot that is over when the stage begins, 0 to 1: an estimate for people. */
double stead_stage_fraction(SteadStage stage);

typedef struct {
    SteadStage stage;    /* the stage reached; with `trouble` the one in which it happened */
    const char *line;    /* the cleaned line that showed it */
    const char *trouble; /* NULL, or what is wrong, as a phrase for people */
    gboolean reboot;     /* the guest began to boot anew by itself; `stage` starts over */
} SteadStageEvent;

/* The event and its strings are valid during the call. */
typedef void (*SteadStageFunc)(const SteadStageEvent *event, gpointer data);

typedef struct _SteadStages SteadStages;

SteadStages *stead_stages_new(void);
void stead_stages_free(SteadStages *stages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadStages, stead_stages_free)

/* A new boot: nothing is reached, no trouble was seen. */
void stead_stages_reset(SteadStages *stages);

/*
 * Looks at the next n bytes, which may be cut anywhere. Within a boot each stage comes at most once
 * and only forward (some may be skipped), and each kind of trouble at most once.
 */
void stead_stages_feed(SteadStages *stages, const void *bytes, gsize n, SteadStageFunc func,
                       gpointer data);

/* The latest stage of this boot. */
SteadStage stead_stages_current(const SteadStages *stages);
