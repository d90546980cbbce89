/* SPDX-License-Identifier: Apache-2.0 */
/* What templates and clones share with the rest of the engine. */
#pragma once

#include "engine/create.h"

/* "template:NAME" instead of an image. */
#define STEAD_TEMPLATE_PREFIX "template:"

/* The template that a spec asks for; NULL without an error when it asks for an image. NOT_FOUND;
 * STATE when it is not complete. Borrowed. */
SteadTemplate *stead_engine_template_of(SteadEngine *engine, const SteadInstanceSpec *spec,
                                        GError **error);

/* <state>/templates/<id>. Owned by the caller. */
char *stead_engine_template_dir(SteadEngine *engine, const char *id);

/* Makes the spec that of a clone: what a frozen machine is made of cannot be another. INVALID when
 * it asks for that. */
gboolean stead_clone_fit(const SteadTemplate *template, SteadInstanceSpec *spec, GError **error);

/* (body) The disks of a clone, each standing on the template's. */
gboolean stead_clone_disks(Create *create, GError **error);

/* SSH host keys, made while the engine starts. */
typedef struct _SteadCloneKeys SteadCloneKeys;
SteadCloneKeys *stead_clone_keys_begin(const SteadTemplate *template, const char *dir);
/* Waits for them; NULL upon failure. SteadIdentityFile; the array is owned by the caller. */
GPtrArray *stead_clone_keys_end(SteadCloneKeys *keys, GError **error);

/* (body) Gives a clone that has just gone on from its template its own identity; with `template`
 * NULL a guest that has no other means. */
gboolean stead_clone_renew(SteadRuntime *runtime, const SteadMachine *machine,
                           const SteadTemplate *template, const char *hostname,
                           const GPtrArray *networks, const GPtrArray *nics, GPtrArray *keys,
                           GCancellable *cancellable, GError **error);

/* (body) Removes what an earlier daemon left half-made. */
void stead_engine_settle_templates(SteadEngine *engine);

/* Adds the ids of all templates that are on record to a set. */
void stead_engine_add_template_ids(SteadEngine *engine, GHashTable *ids);
