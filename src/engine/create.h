/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of an instance's creation share: create.c, create_nics.c, create_disks.c. */
#pragma once

#include "engine/state.h"

typedef struct {
    SteadEngine *engine;
    SteadJob *job;
    const char *id;
    SteadInstance *instance; /* a copy */
    SteadImage *image;       /* a copy; NULL until it is there, and for a clone */
    SteadJob *pull;          /* the job that fetches the image; NULL */
    GPtrArray *networks;     /* SteadNetwork copies, one for each interface */
    GPtrArray *volumes;      /* SteadVolume copies, one for each disk; NULL entries */
} Create;

/* (body) Gives each interface its address and MAC, and makes the network `default` where it is
 * asked for; fills in `networks`, and `instance` anew. */
gboolean stead_create_nics(Create *create, GError **error);

/* (body) Clones the root disk, makes the others, claims named volumes; fills in `volumes` and the
 * disks of `instance`, and touches nothing else of it. */
gboolean stead_create_disks(Create *create, GError **error);
