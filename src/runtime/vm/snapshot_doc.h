/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents that snapshots are made of: what is kept on record, what libvirt is asked for, and
 * a saved guest's definition with its disks moved. Pure.
 */
#pragma once

#include "runtime/runtime.h"

/* One disk of a snapshot. */
typedef struct {
    char *target;  /* "vda" */
    char *frozen;  /* the file that holds the disk at that time */
    char *format;  /* of that file */
    char *current; /* the layer that was put on top of it */
    guint64 size;  /* bytes that the frozen file took */
} SteadFrozenDisk;

typedef struct {
    GPtrArray *disks; /* SteadFrozenDisk */
    char *memory;     /* the file with the guest's memory; NULL: none */
    char *nvram;      /* a copy of the firmware's variables; NULL: none */
} SteadLayers;

/* Without disks; owned by the caller. */
SteadLayers *stead_layers_new(void);
void stead_layers_free(SteadLayers *layers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadLayers, stead_layers_free)

/* {"disks": [{"target", "frozen", "format", "current", "size"}], "memory", "nvram", "size"}. */
JsonNode *stead_layers_to_json(const SteadLayers *layers);
/* NULL with INTERNAL when it is not what stead_layers_to_json() wrote. */
SteadLayers *stead_layers_from_json(JsonNode *node, GError **error);
/* The frozen file of the same disk as `path`, or NULL. Borrowed. */
const SteadFrozenDisk *stead_layers_of(const SteadLayers *layers, const char *path);

/* What libvirt is asked for; other disks (`left_alone`, NULL-terminated targets) stay out of it.
 * Owned by the caller. */
char *stead_vm_snapshot_xml(const SteadLayers *layers, const char *const left_alone[]);

/* `xml` with each disk on the file of `machine` that belongs to the same disk. NULL upon failure.
 * Owned by the caller. */
char *stead_vm_move_disks(const char *xml, const SteadMachine *machine, GError **error);
