/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: what stead is on one host. It owns the records and the jobs, and makes the host
 * match them. The API is a thin layer over these functions; all are for the main loop.
 *
 * Functions that begin something long return the job, borrowed, as soon as its intent is on
 * record. Records that are returned are borrowed, and valid until the main loop runs again.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "base/paths.h"
#include "console/console.h"
#include "engine/events.h"
#include "engine/job.h"
#include "model/instance.h"
#include "runtime/runtime.h"

typedef struct _SteadEngine SteadEngine;

/*
 * Opens the records below `paths` (borrowed for the engine's life) and begins to adopt what runs
 * and to finish or undo what an earlier daemon left half-done; that goes on in jobs.
 * `version` is shown by clients.
 */
SteadEngine *stead_engine_open(const SteadPaths *paths, GError **error);
/* Ends all jobs; instances go on. */
void stead_engine_close(SteadEngine *engine);

const SteadPaths *stead_engine_paths(SteadEngine *engine);
SteadEvents *stead_engine_events(SteadEngine *engine);
SteadJobs *stead_engine_jobs(SteadEngine *engine);
/* About the host: accel and why, libvirt, counts; for GET /v1. */
JsonNode *stead_engine_describe(SteadEngine *engine);

/* ---- instances ---- */

SteadInstance *stead_engine_instance(SteadEngine *engine, const char *name_or_id, GError **error);
/* Running or paused; NULL is neither. */
gboolean stead_instance_is_up(const SteadInstance *instance);
/* In the order of names; `project` NULL for all. The array is owned by the caller. */
GPtrArray *stead_engine_instances(SteadEngine *engine, const char *project);
/* The short form is for lists. */
JsonNode *stead_engine_show_instance(SteadEngine *engine, const SteadInstance *instance,
                                     gboolean is_short);

/* Takes `spec` over, also upon failure. `project` may be NULL. With `start` the instance is
 * running when the job is done. If the job fails nothing of the instance remains. */
SteadJob *stead_engine_create(SteadEngine *engine, const char *name, SteadInstanceSpec *spec,
                              const char *project, gboolean start, GError **error);
/* Applies a changed spec (taken over): what can be done at once is, the rest waits for a restart.
 * Refused (STATE) when a field changed that only a new instance could have. */
SteadJob *stead_engine_change(SteadEngine *engine, const char *id, SteadInstanceSpec *spec,
                              GError **error);

typedef struct {
    gboolean force;     /* STOP: end it at once; REMOVE: also a running one */
    guint64 timeout_ms; /* STOP, RESTART: how long the guest may take; 0: the default */
    gboolean on_record; /* by the record's state, with which recovery goes on */
} SteadActionOptions;

/* The action is on record when this returns: the next daemon does it if this one is killed. */
SteadJob *stead_engine_act(SteadEngine *engine, const char *id, SteadAction action,
                           const SteadActionOptions *options, GError **error);

/* Runs a command in the guest; the job's result is the API's exec object. */
SteadJob *stead_engine_exec(SteadEngine *engine, const char *id, const char *const command[],
                            const char *input, guint64 timeout_ms, GError **error);
SteadJob *stead_engine_stats(SteadEngine *engine, const char *id, GError **error);
/* Of all that run, as an array. */
SteadJob *stead_engine_all_stats(SteadEngine *engine, GError **error);
SteadJob *stead_engine_display(SteadEngine *engine, const char *id, GError **error);
/* Gives the guest's terminal a size, if its agent answers; no error when it does not. */
void stead_engine_set_window(SteadEngine *engine, const char *id, guint rows, guint columns);

/* The console of an instance, borrowed; also of a stopped one, for its log. */
SteadConsole *stead_engine_console(SteadEngine *engine, const char *id, GError **error);

/* ---- snapshots ---- */

GPtrArray *stead_engine_snapshots(SteadEngine *engine, const char *instance_id);
/* memory: 1 with, 0 without, -1 with when it is running. */
SteadJob *stead_engine_snapshot(SteadEngine *engine, const char *instance_id, const char *name,
                                int memory, GError **error);
SteadJob *stead_engine_restore(SteadEngine *engine, const char *instance_id, const char *name,
                               GError **error);
SteadJob *stead_engine_remove_snapshot(SteadEngine *engine, const char *instance_id,
                                       const char *name, GError **error);

/* ---- images ---- */

SteadImage *stead_engine_image(SteadEngine *engine, const char *name, GError **error);
GPtrArray *stead_engine_images(SteadEngine *engine);
JsonNode *stead_engine_show_image(SteadEngine *engine, const SteadImage *image);
JsonNode *stead_engine_catalogue(SteadEngine *engine, GError **error);
SteadJob *stead_engine_pull(SteadEngine *engine, const char *name, GError **error);
SteadJob *stead_engine_build(SteadEngine *engine, const char *release, const char *as,
                             GError **error);
SteadJob *stead_engine_import(SteadEngine *engine, const char *path, const char *name,
                              GError **error);
gboolean stead_engine_remove_image(SteadEngine *engine, const char *name, GError **error);

/* ---- networks ---- */

SteadNetwork *stead_engine_network(SteadEngine *engine, const char *name, GError **error);
GPtrArray *stead_engine_networks(SteadEngine *engine);
JsonNode *stead_engine_show_network(SteadEngine *engine, const SteadNetwork *network);
/* A question, whose result is that and the leases, or why they are not known. */
SteadJob *stead_engine_inspect_network(SteadEngine *engine, const char *name, GError **error);
/* Takes `spec` over, also upon failure. */
SteadJob *stead_engine_create_network(SteadEngine *engine, const char *name, SteadNetworkSpec *spec,
                                      const char *project, GError **error);
SteadJob *stead_engine_remove_network(SteadEngine *engine, const char *name, GError **error);

/* ---- pools and volumes ---- */

/* The job's result is the API's list of pools. */
SteadJob *stead_engine_pools(SteadEngine *engine, GError **error);
SteadVolume *stead_engine_volume(SteadEngine *engine, const char *name, GError **error);
GPtrArray *stead_engine_volumes(SteadEngine *engine);
JsonNode *stead_engine_show_volume(SteadEngine *engine, const SteadVolume *volume);
/* Takes `spec` over, also upon failure. */
SteadJob *stead_engine_create_volume(SteadEngine *engine, const char *name, SteadVolumeSpec *spec,
                                     const char *project, GError **error);
SteadJob *stead_engine_remove_volume(SteadEngine *engine, const char *name, GError **error);
SteadJob *stead_engine_resize_volume(SteadEngine *engine, const char *name, guint64 size,
                                     GError **error);
SteadJob *stead_engine_attach(SteadEngine *engine, const char *instance_id, const char *volume,
                              gboolean read_only, GError **error);
SteadJob *stead_engine_detach(SteadEngine *engine, const char *instance_id, const char *volume,
                              GError **error);
SteadJob *stead_engine_resize_root(SteadEngine *engine, const char *instance_id, guint64 size,
                                   GError **error);

/* ---- whole specs ---- */

/* What `up` would do, as the API's plan object. */
JsonNode *stead_engine_plan(SteadEngine *engine, const SteadSpec *spec, GError **error);
/* Takes `spec` over, also upon failure. */
SteadJob *stead_engine_up(SteadEngine *engine, SteadSpec *spec, GError **error);
SteadJob *stead_engine_down(SteadEngine *engine, const char *project, gboolean volumes,
                            GError **error);

/* Runs the checks of `stead doctor`; the job's result is their list. */
SteadJob *stead_engine_doctor(SteadEngine *engine, GError **error);
