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

/* (body) The same for the id and name of anybody; adds SteadDiskRecords to `disks`. */
gboolean stead_clone_make_disks(const SteadPaths *paths, const SteadTemplate *template,
                                const char *id, const char *name, GPtrArray *disks, GError **error);

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

/* (body) The same with an identity that is its template's, before anybody is that clone. */
gboolean stead_clone_rehearse(SteadRuntime *runtime, const SteadMachine *machine,
                              const SteadTemplate *template, const GPtrArray *networks,
                              GCancellable *cancellable, GError **error);

/* ---- warm.c ---- */

GPtrArray *stead_warm_new(void);
/* How many engines of a template were started ahead and are ready. */
guint stead_warm_ready(SteadEngine *engine, const char *template);
/* What these own of the host's memory, in bytes. */
guint64 stead_warm_memory(SteadEngine *engine, const char *template);
/* Starts engines ahead, one after the other, until there are as many as the template wants. */
void stead_warm_refill(SteadEngine *engine, const SteadTemplate *template);
void stead_warm_refill_all(SteadEngine *engine);
void stead_warm_on_job_ended(SteadJob *job, SteadEngine *engine);
/* Makes an instance that is about to be on record the owner of one, id and disks; FALSE when none
 * is ready. */
gboolean stead_warm_take(SteadEngine *engine, const SteadTemplate *template,
                         SteadInstance *instance);
/* Takes that back, when there will be no such record. */
void stead_warm_give_back(SteadEngine *engine, const SteadInstance *instance);
/* Ends those of a template; and at the daemon's end all. */
void stead_warm_drop(SteadEngine *engine, const SteadTemplate *template);
void stead_warm_end(SteadEngine *engine);

/* (body) Removes what an earlier daemon left half-made. */
void stead_engine_settle_templates(SteadEngine *engine);
