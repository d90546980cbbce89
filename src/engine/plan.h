/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what `up` has to do so that the records match a spec. Pure: records and a spec go in,
 * a list of steps comes out, in the order in which they are to be done (networks, volumes, then
 * instances after those they depend on).
 */
#pragma once

#include "model/instance.h"

typedef enum {
    STEAD_STEP_CREATE,
    STEAD_STEP_CHANGE,  /* some fields differ; `effect` says what it takes */
    STEAD_STEP_START,   /* it is there and as wanted, but does not run */
    STEAD_STEP_KEEP,    /* nothing to do */
    STEAD_STEP_SURPLUS, /* belongs to the project, but the spec no longer has it: left alone */
    STEAD_N_STEPS
} SteadStepKind;

extern const SteadNames stead_step_names;

typedef enum {
    STEAD_PART_NETWORK,
    STEAD_PART_VOLUME,
    STEAD_PART_INSTANCE,
    STEAD_N_PARTS
} SteadPart;

extern const SteadNames stead_part_names;

typedef struct {
    SteadStepKind kind;
    SteadPart part;
    char *name;
    gconstpointer spec;  /* the part's spec, borrowed from the SteadSpec; NULL for SURPLUS */
    GPtrArray *changes;  /* SteadChange; NULL unless CHANGE */
    SteadEffect effect;  /* the greatest among the changes */
    gboolean then_start; /* CHANGE of an instance that does not run: it is started afterwards */
    GStrv after;         /* names of instances that must be ready before; NULL: none */
} SteadStep;

/* Records as they are; arrays of borrowed pointers. */
typedef struct {
    GPtrArray *instances; /* SteadInstance */
    GPtrArray *networks;  /* SteadNetwork */
    GPtrArray *volumes;   /* SteadVolume */
} SteadWorld;

/*
 * The steps, owned by the array. Fails with CONFLICT when a name is taken by something that does
 * not belong to the spec's project, and INVALID when the spec names a network, or a volume, that
 * neither it nor the records have.
 */
GPtrArray *stead_plan_new(const SteadSpec *spec, const SteadWorld *world, GError **error);

/* The API's plan object: {"actions": [...]}. */
JsonNode *stead_plan_to_json(GPtrArray *steps);
