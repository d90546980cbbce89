/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon keeps by name (images, networks, volumes, pools, snapshots, jobs) is listed,
 * shown, created and removed in the same way. A command's table says by its `collection` of what;
 * the functions here are its `run`.
 */
#pragma once

#include "cli/table.h"

struct SteadCollection {
    const char *path;     /* "images": below /v1, or below an instance */
    gboolean of_instance; /* part of the instance that the first argument names; its own names
                             begin at the second */
    const SteadColumn *columns;
    const char *empty;         /* what a person with an empty list does next; NULL */
    const SteadColumn *fields; /* of a single one */
    const char *part;          /* a list within a single one, shown below it; NULL: none */
    const SteadColumn *part_columns;
    gboolean at_once; /* a removal has happened when it is answered; else it begins a job */
};

/* "/v1/images/NAME/ACTION"; the latter two may be NULL. Owned by the caller. */
char *stead_collection_path(SteadCall *call, const char *name, const char *action);

/* All of them; heeds --quiet and --format, which the command must have. */
int stead_collection_list(SteadCall *call, GError **error);

/* The one that the argument names, as --format says. */
int stead_collection_show(SteadCall *call, GError **error);

/* Those that the arguments name, in their order, until one cannot be removed. */
int stead_collection_remove(SteadCall *call, GError **error);

/* A new one with the name of the argument. Takes `spec`, an object, over. */
int stead_collection_create(SteadCall *call, JsonNode *spec, GError **error);
